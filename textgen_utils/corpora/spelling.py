"""Spelling corrected with a list of the words that there are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

_WORD = re.compile(r"[^\W\d_]+")


def correct(texts: Sequence[str], words: Collection[str]) -> list[str]:
    """Replace each word that is not in the list by the most similar one that is.

    Similarity is `difflib`'s: twice the matching letters over the letters of both. Of equally
    similar words the first in alphabetical order is taken. The right word may be another one:
    only the word itself is looked at, not its neighbours.

    Args:
        texts: any; what is no letter stays.
        words: the words that there are, case and all; without white space.

    Raises:
        ValueError: if there are no words.
    """
    listed = sorted(set(words))
    if not listed:
        raise ValueError("there are no words to correct with")
    known = {word: word for word in listed}

    def right(match: re.Match[str]) -> str:
        word = match[0]
        if word not in known:
            known[word] = max(listed, key=lambda other: _similarity(word, other))
        return known[word]

    return [_WORD.sub(right, text) for text in texts]


def _similarity(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()
