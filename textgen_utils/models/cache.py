"""A cache: what was read a moment ago, counted, in front of a language model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.models.base import LanguageModel, check_ids, log, to_numpy
from textgen_utils.models.distributions import distributions, of_tokens


class Recent(NamedTuple):
    """What a cache remembers of the tokens that it has read, the latest last.

    Attributes:
        inner: the state of the model behind the cache.
        read: ints, (batch, n): the last tokens read.
        match: ints, (batch, n - 1): how many tokens that end at position i are equal to those
            that end at the last position, at most `longest`.
    """

    inner: Any
    read: np.ndarray
    match: np.ndarray


class Cached:
    """A language model with a cache of recent text in front. A `LanguageModel`.

    Where the last k tokens occurred before, the cache counts what followed: c_k(w). From k =
    `shortest` to `longest`, as in an n-gram model of the recent text,

        p_k(w) = (max(c_k(w) - D, 0) + (s + D n_k) p_{k-1}(w)) / (s + c_k)

    with the discount D, the strength s, c_k = sum of c_k(w) and n_k = the number of tokens with
    c_k(w) > 0. Below `shortest` stands the model's own p. So a context that was never seen before
    leaves the model's prediction as it is, and one that was seen often outvotes it.

    Args:
        model: any language model.
        size: how many tokens are remembered; None: all that were read. A text shorter than that
            is remembered whole.
        shortest: the least number of equal tokens that counts as a match, at least 1.
        longest: the most that is looked at, at least `shortest`.
        discount: D, in [0, 1].
        strength: s, at least 0: how many counts the order below is worth.

    Attributes:
        vocab_size, boundary, max_context: the model's.

    Raises:
        ValueError: an argument out of range.

    Source: R. Kuhn and R. De Mori, "A cache-based natural language model for speech recognition",
    1990; the formula is Y. W. Teh's, "A hierarchical Bayesian language model based on Pitman-Yor
    processes", 2006, with every seen token at one table.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        size: int | None = None,
        shortest: int = 3,
        longest: int = 10,
        discount: float = 0.8,
        strength: float = 1.0,
    ) -> None:
        if size is not None and size < 1:
            raise ValueError(f"size must be at least 1 token, or None for all; got {size}")
        if not 1 <= shortest <= longest:
            raise ValueError(f"need 1 <= shortest <= longest; got {shortest} and {longest}")
        if not 0 <= discount <= 1:
            raise ValueError(f"discount must lie in [0, 1]; got {discount}")
        if not 0 <= strength < np.inf:
            raise ValueError(f"strength must be at least 0 and finite; got {strength}")
        self.model = model
        self.vocab_size = model.vocab_size
        self.boundary = model.boundary
        self.max_context = model.max_context
        self.size = size
        self.shortest = shortest
        self.longest = longest
        self.discount = discount
        self.strength = strength

    def __repr__(self) -> str:
        return f"Cached({self.model!r}, size={self.size}, from {self.shortest} to {self.longest})"

    def initial_state(self, batch_size: int) -> Recent:
        """Nothing was read."""
        nothing = np.zeros((batch_size, 0), np.int32)
        return Recent(self.model.initial_state(batch_size), nothing, nothing)

    def step(self, tokens: ArrayLike, state: Recent) -> tuple[np.ndarray, Recent]:
        """Read one token of each text: see `models.base.LanguageModel`."""
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        log_probs, inner = self.model.step(tokens, state.inner)
        state = self._remember(tokens, state._replace(inner=inner))
        return log(self._predict(np.exp(to_numpy(log_probs)), state)), state

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Return log p(w | boundary, ids[:, :t]): see `models.distributions`."""
        ids = check_ids(ids, self.vocab_size, ndim=2)
        p = np.exp(distributions(self.model, ids))
        state = Recent(None, *self.initial_state(len(ids))[1:])
        tokens = np.full(len(ids), self.boundary, np.int32)
        for t in range(ids.shape[1]):
            state = self._remember(tokens, state)
            p[:, t] = self._predict(p[:, t], state)
            tokens = ids[:, t]
        return log(p)

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        ids = check_ids(ids, self.vocab_size, ndim=2)
        return of_tokens(self.distributions(ids), ids)

    def _remember(self, tokens: np.ndarray, state: Recent) -> Recent:
        read, match = state.read, np.zeros_like(state.read)
        row, i = np.nonzero(read == tokens[:, None])
        before = np.where(i > 0, state.match[row, i - 1] if state.match.size else 0, 0)
        match[row, i] = np.minimum(before + 1, self.longest)
        read = np.concatenate([read, tokens[:, None]], axis=1)
        if self.size is not None and read.shape[1] > self.size + 1:
            read, match = read[:, 1:], match[:, 1:]
        return state._replace(read=read, match=match)

    def _predict(self, p: np.ndarray, state: Recent) -> np.ndarray:
        """p_longest from p_{shortest - 1}, both (batch, vocab)."""
        for c in self._counts(state):
            seen = np.minimum(c, self.discount)
            below = self.strength + seen.sum(axis=1, keepdims=True)  # s + D n_k
            total = self.strength + c.sum(axis=1, keepdims=True)
            mixed = (c - seen + below * p) / np.where(total > 0, total, 1)
            p = np.where(total > 0, mixed, p)
        return p

    def _counts(self, state: Recent) -> np.ndarray:
        """c_k(w) of k = shortest to the longest match: ints, (orders, batch, vocab)."""
        row, i = np.nonzero(state.match >= self.shortest)
        if not len(i):
            return np.zeros((0, 0, 0))
        k = state.match[row, i] - self.shortest
        shape = (k.max() + 1, len(state.read), self.vocab_size)
        exactly = np.zeros(shape)
        np.add.at(exactly, (k, row, state.read[row, i + 1]), 1)
        return exactly[::-1].cumsum(axis=0)[::-1]
