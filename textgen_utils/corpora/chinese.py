r"""Chinese words and idioms: the phrase list of `pypinyin`, one phrase a line, with its pinyin.

About 47,000 phrases of two to ten characters, in simplified script, without a network.

Idioms have variants (同心协力, 同心合力, 协力同心), so the split is by family: phrases of four or
more characters that differ in one character, or are rearrangements of each other, are of one
family, and so are all that are linked through others. Each family goes to one part by its hash. A
family of valid or test with a character that no training phrase has is moved to train, so every
character that is scored could have been learnt. Lines are in hash order: the list's own order is
nearly alphabetical, which would let a model guess the next phrase from the one before.

Source: the package `pypinyin`, MIT licence (phrases from the phrase-pinyin-data project).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from textgen_utils.corpora import splits
from textgen_utils.corpora.types import Corpus, Pair, Pairs

IDIOM_LENGTH = 4


def phrases(idioms_only: bool = False) -> dict[str, tuple[str, ...]]:
    """All phrases with their readings.

    Args:
        idioms_only: keep the phrases of exactly four characters (nearly all are idioms).

    Returns:
        phrase -> readings, each a syllable per character with tone marks, joined by spaces.
    """
    from pypinyin.phrases_dict import phrases_dict

    return {
        phrase: tuple(" ".join(syllables) for syllables in product(*readings))
        for phrase, readings in phrases_dict.items()
        if not idioms_only or len(phrase) == IDIOM_LENGTH
    }


def load(idioms_only: bool = False) -> Corpus:
    r"""Loads the phrases as text, each ended by "\n".

    Args:
        idioms_only: keep the phrases of exactly four characters.
    """
    parts = _split(idioms_only)
    name = "chinese_idioms" if idioms_only else "chinese"
    return Corpus(name, *("".join(f"{phrase}\n" for phrase in part) for part in parts))


def load_pinyin(idioms_only: bool = False) -> Pairs:
    """Loads the same split as pairs of a phrase and its reading(s), e.g. 一定 -> "yí dìng"."""
    readings = phrases(idioms_only)
    parts = _split(idioms_only)
    name = "chinese_idioms_pinyin" if idioms_only else "chinese_pinyin"
    return Pairs(name, *(tuple(Pair(p, readings[p]) for p in part) for part in parts))


def variant_signs(phrase: str) -> Iterator[tuple[int, str]]:
    """What a phrase has in common with its variants; nothing for phrases below four characters."""
    if len(phrase) >= IDIOM_LENGTH:
        yield -1, "".join(sorted(phrase))
        for i in range(len(phrase)):
            yield i, phrase[:i] + phrase[i + 1 :]


def _split(idioms_only: bool) -> tuple[list[str], list[str], list[str]]:
    # Families of the whole list, so that the idioms are split in the same way on their own.
    family = splits.families(phrases(), variant_signs)
    items = splits.shuffled(list(phrases(idioms_only)))
    return splits.partition(items, key=family.__getitem__, symbols=set)
