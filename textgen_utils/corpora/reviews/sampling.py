"""Many samples at once: all reviews make their next choice in one vectorised step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textgen_utils.corpora.reviews.grammar import Grammar
from textgen_utils.corpora.reviews.lexicon import LANGUAGES
from textgen_utils.corpora.reviews.meaning import END, Meaning, Review, State
from textgen_utils.corpora.reviews.realisation import Realiser
from textgen_utils.corpora.reviews.sentiment import Sentiment

_CHUNK = 1 << 14


class Choices:
    """Discrete distributions, one per row, that share one sorted array of cumulative sums.

    Row r occupies the interval [r, r + 1], so that one binary search serves all rows.
    """

    def __init__(self, rows: list[list[float]]) -> None:
        ends = [r + np.cumsum(row) for r, row in enumerate(rows)]
        for r, row in enumerate(ends):
            row[-1] = r + 1.0
        self._cumulative = np.concatenate(ends)

    def draw(self, rows: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Return flat indices of the entries drawn, (n,), one from each of ``rows`` (n,)."""
        below = np.nextafter(rows + 1.0, 0.0)  # r + u may round up to r + 1
        return np.searchsorted(self._cumulative, np.minimum(rows + uniforms, below), side="right")


class Sampler:
    """Ancestral sampling from the grammar."""

    def __init__(self, grammar: Grammar, realiser: Realiser) -> None:
        states = grammar.states()
        number = {state: i for i, state in enumerate(states)}
        rows = [[(s, *row) for row in grammar.successors(s)] for s in states if s != END]
        rows.append([(END, 1.0, None, END)])  # END, the last in topological order, waits
        flat = [choice for row in rows for choice in row]
        self._choices = Choices([[p for _, p, _, _ in row] for row in rows])
        self._after = np.array([number[after] for *_, after in flat])
        self._events = [event for _, _, event, _ in flat]
        self._steps = _longest_path(grammar, states)
        self._wordings, self._texts = {}, {}
        for language in LANGUAGES:
            worded = [realiser.realise(e, s, language) if e else [(1.0, ())] for s, _, e, _ in flat]
            self._wordings[language] = Choices([[p for p, _ in row] for row in worded])
            texts = ["".join(tokens) for row in worded for _, tokens in row]
            self._texts[language] = np.array(texts, dtype=object)

    def sample(self, n: int, seed: int, sentiment: Sentiment) -> list[Review]:
        """Return ``n`` reviews with their labels."""
        reviews: list[Review] = []
        for choices, uniforms in self._draw(n, seed):
            lines = [self._realise(choices, uniforms, language) for language in LANGUAGES]
            meanings = [self._meaning(row) for row in choices.tolist()]
            coins = uniforms[:, -1].tolist()
            labels = [int(u < sentiment.positive(m)) for u, m in zip(coins, meanings, strict=True)]
            reviews += map(Review, meanings, *lines, labels)
        return reviews

    def lines(self, n: int, seed: int, language: str) -> list[str]:
        """Return the wordings of ``sample(n, seed)`` in one language."""
        draws = self._draw(n, seed)
        return [line for draw in draws for line in self._realise(*draw, language)]

    def _draw(self, n: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (choices (chunk, steps), uniforms (chunk, 3 * steps + 1)) until ``n`` are made."""
        if n < 0:
            raise ValueError(f"the number of reviews must be >= 0, received {n}")
        rng = np.random.default_rng(seed)
        for start in range(0, n, _CHUNK):
            uniforms = rng.random((min(_CHUNK, n - start), 3 * self._steps + 1))
            state = np.zeros(len(uniforms), dtype=np.int64)
            choices = np.empty((len(uniforms), self._steps), dtype=np.int64)
            for t in range(self._steps):
                choices[:, t] = self._choices.draw(state, uniforms[:, t])
                state = self._after[choices[:, t]]
            yield choices, uniforms

    def _realise(self, choices: np.ndarray, uniforms: np.ndarray, language: str) -> list[str]:
        first = self._steps * (1 + LANGUAGES.index(language))
        text = np.full(len(choices), "", dtype=object)
        for t in range(self._steps):
            wording = self._wordings[language].draw(choices[:, t], uniforms[:, first + t])
            text = text + self._texts[language][wording]
        return text.tolist()

    def _meaning(self, choices: list[int]) -> Meaning:
        events = (self._events[choice] for choice in choices)
        return Meaning.from_events(tuple(event for event in events if event is not None))


def _longest_path(grammar: Grammar, states: list[State]) -> int:
    steps = dict.fromkeys(states, 0)
    for state in states:
        for _, _, after in grammar.successors(state):
            steps[after] = max(steps[after], steps[state] + 1)
    return steps[END]
