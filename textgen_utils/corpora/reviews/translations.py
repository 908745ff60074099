"""All right translations of a review: every wording of its meaning in the other language."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from textgen_utils.corpora.reviews.meaning import Meaning

if TYPE_CHECKING:
    from textgen_utils.corpora.reviews.language import Reviews


class Translations:
    """The exact set of the wordings of one meaning, as a set that is not written out.

    Supports ``len``, ``in`` and iteration (possibly over many thousands).

    Attributes:
        meaning: what all of them say.
        language: the language they are in.
        best: the most probable one.
    """

    def __init__(self, reviews: Reviews, meaning: Meaning, language: str) -> None:
        self._reviews = reviews
        self.meaning, self.language = meaning, language
        slots = reviews.wordings(meaning, language)
        self._slots = [sorted(((-p, "".join(tokens)) for p, tokens in slot)) for slot in slots]
        self.best = "".join(slot[0][1] for slot in self._slots)

    def __len__(self) -> int:
        return math.prod(map(len, self._slots))

    def __iter__(self) -> Iterator[str]:
        for choice in product(*self._slots):
            yield "".join(text for _, text in choice)

    def __contains__(self, string: object) -> bool:
        if not isinstance(string, str):
            return False
        try:
            return self._reviews.parse(string, self.language) == self.meaning
        except ValueError:
            return False

    def log_prob(self, string: str) -> float:
        """Return log p(string | meaning) in nats, -inf for a wrong translation."""
        if string not in self:
            return -math.inf
        return self._reviews.log_prob(string, self.language) - self._reviews.meaning_log_prob(
            self.meaning
        )
