"""The truth as a language model: the floor that no model can go below."""

from __future__ import annotations

import numpy as np

from textgen_utils.corpora.reviews.automaton import Automaton


class Oracle:
    """A deterministic automaton behind the interface of every language model in this book.

    The state is an int64 array (batch,) of automaton states. A token that the language does not
    allow has log-probability -inf and leads to the dead state, where every token has -inf: a row of
    ``step`` then holds no distribution. Only the boundary leads out, as it leads from everywhere to
    the start of a review; so one impossible line does not spoil the score of the next. A window
    that begins in the middle of a review is impossible too: score whole lines (``context=None``).

    Args:
        automaton: from ``Reviews.automaton``.
        tokens: the vocabulary, id -> token; the automaton's own symbols by default. Symbols that
            it lacks are listed in ``missing``: their probability shows nowhere, and rows in which
            they are possible sum to less than 1. Tokens that are not symbols have -inf everywhere.

    Attributes:
        tokens, vocab_size: the vocabulary.
        boundary: id of the newline.
        max_context: None, the whole prefix counts.
        states: number of states, the dead one included.

    Raises:
        ValueError: ``tokens`` has no newline, or has duplicates; an id is out of range.
    """

    max_context = None

    def __init__(self, automaton: Automaton, tokens: list[str] | None = None) -> None:
        self.tokens = list(automaton.symbols if tokens is None else tokens)
        ids = {token: i for i, token in enumerate(self.tokens)}
        if "\n" not in ids or len(ids) < len(self.tokens):
            raise ValueError(f"tokens must be distinct and hold '\\n', received {self.tokens[:20]}")
        self.vocab_size, self.boundary = len(self.tokens), ids["\n"]
        self.missing = [symbol for symbol in automaton.symbols if symbol not in ids]
        self.states = automaton.states + 1
        self._dead = automaton.states

        token = np.array([ids.get(symbol, -1) for symbol in automaton.symbols])[automaton.symbol]
        known = token >= 0
        key = automaton.source[known] * self.vocab_size + token[known]
        order = np.argsort(key)
        # A last arc that nothing matches keeps every binary search inside the arrays.
        self._key = np.append(key[order], self.states * self.vocab_size)
        self._target = np.append(automaton.target[known][order], self._dead)
        self._log_prob = np.append(automaton.log_prob[known][order], -np.inf)
        bounds = np.arange(self.states + 1) * self.vocab_size
        self._first = np.searchsorted(self._key, bounds)  # arcs of state s: first[s] to first[s+1]

    def initial_state(self, batch_size: int) -> np.ndarray:
        """Return the state before the boundary that opens the text, (batch,) int64."""
        return np.full(batch_size, self._dead - 1, dtype=np.int64)

    def step(self, tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read one token each; return log-probabilities of the next (batch, vocab), new state."""
        _, state = self._read(np.asarray(tokens), state)
        first, last = self._first[state], self._first[state + 1]
        row = np.repeat(np.arange(len(state)), last - first)
        begins = np.cumsum(last - first) - (last - first)  # where each row's arcs begin, in ``row``
        arc = first[row] + np.arange(len(row)) - begins[row]
        log_probs = np.full((len(state), self.vocab_size), -np.inf)
        log_probs[row, self._key[arc] % self.vocab_size] = self._log_prob[arc]
        return log_probs, state

    def score(self, ids: np.ndarray) -> np.ndarray:
        """Return log p(ids[t] | boundary, ids[:t]) in nats, (batch, time) float64.

        Nothing is remembered across a boundary, so all lines are scored side by side.
        """
        ids = np.asarray(ids)
        starts = np.ones(ids.shape, dtype=bool)
        starts[:, 1:] = ids[:, :-1] == self.boundary
        starts, flat = np.flatnonzero(starts), ids.ravel()
        lengths = np.diff(np.append(starts, flat.size))
        order = np.argsort(-lengths, kind="stable")
        starts, lengths = starts[order], lengths[order]
        log_probs, state = np.empty(flat.size), np.zeros(len(starts), dtype=np.int64)
        for t in range(lengths.max(initial=0)):
            at = starts[: np.searchsorted(-lengths, -t)] + t  # the lines longer than t
            log_probs[at], state = self._read(flat[at], state[: len(at)])
        return log_probs.reshape(ids.shape)

    def _read(self, tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-probability of each token in its state, and the state after it."""
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < self.vocab_size:
            raise ValueError(f"ids must be in [0, {self.vocab_size}), received {tokens}")
        key = state * self.vocab_size + tokens
        arc = np.searchsorted(self._key, key)
        found = self._key[arc] == key
        target = np.where(found, self._target[arc], self._dead)
        return (
            np.where(found, self._log_prob[arc], -np.inf),
            np.where(tokens == self.boundary, 0, target),
        )
