r"""Cleaning texts before anything is learnt from them: one spelling, no copies, no leaks.

Copies are named by their index: `exact_copies` and `near_copies` give, for each text, the index of
the first text that it repeats, its own if it is new; `distinct` keeps what is new.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

LANGUAGES = ("en", "zh")
FULL_WIDTH = dict(zip(",.!?:;()", "，。！？：；（）", strict=True))
"""Half-width marks and the full-width ones of Chinese text."""

# The full-width forms stand in the order of ASCII; the ideographic full stop has a narrow form too.
_FOLDED = {0xFEE0 + code: code for code in range(0x21, 0x7F)} | {0xFF61: "。", 0x3000: " "}
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\ufeff"))
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002a6df"
_CHINESE = _HAN + "".join(FULL_WIDTH.values())
_SPACE = re.compile(r"[^\S\n]+")
_SPACE_IN_CHINESE = re.compile(rf"(?<=[{_CHINESE}]) | (?=[{_CHINESE}])")
_MARK = re.compile("[,.!?:;()]")
# Between digits ("3.5", "10:30", "1, 2"), in names ("a.b"), "..." and "http://".
_KEPT = re.compile(r"(?<=[0-9]) ?[,.:] ?(?=[0-9])|(?<=[A-Za-z0-9])\.(?=[A-Za-z0-9])|\.{2,}|:(?=//)")
_NARROW = {ord(full): half for half, full in FULL_WIDTH.items()}


def normalise(text: str, language: str) -> str:
    """Write what reads the same in one way.

    Unicode is composed (NFC; "é" is one code point), letters and digits are half-width, white
    space within a line is one space and at its ends none, zero-width spaces go. Marks are
    half-width in English. In a Chinese line, one with a Chinese character, they are full-width,
    except between digits ("3.5") and in names ("a.b"), and there are no spaces next to Chinese
    characters. Quotation marks stay as they are: a straight one does not tell whether it opens.

    Args:
        text: any text; newlines stay.
        language: "en" or "zh". A "zh" line without Chinese characters is treated as English.

    Raises:
        ValueError: if `language` is another, or `text` no string.

    Source: Unicode Standard Annex 15 for NFC.
    """
    if language not in LANGUAGES:
        raise ValueError(f"unknown language {language!r}; accepted: {', '.join(LANGUAGES)}")
    if not isinstance(text, str):
        raise ValueError(f"expected a text (str), got {type(text).__name__}: {text!r:.60}")
    return "\n".join(_line(line, language) for line in text.split("\n"))


def _line(line: str, language: str) -> str:
    line = line.translate(_INVISIBLE).translate(_FOLDED)
    line = _SPACE.sub(" ", unicodedata.normalize("NFC", line)).strip()
    if language == "en" or not re.search(f"[{_HAN}]", line):
        return line.translate(_NARROW)
    kept = {i for found in _KEPT.finditer(line) for i in range(*found.span())}
    line = _MARK.sub(lambda m: m[0] if m.start() in kept else FULL_WIDTH[m[0]], line)
    return _SPACE_IN_CHINESE.sub("", line)


def exact_copies(
    items: Sequence[Item], key: Callable[[Item], Hashable] = lambda item: item
) -> list[int]:
    """Return, for each item, the index of the first one with the same key.

    Args:
        items: texts, pairs, or anything else.
        key: what is compared, e.g. a normalised text.
    """
    first: dict[Hashable, int] = {}
    return [first.setdefault(key(item), i) for i, item in enumerate(items)]


def near_copies(texts: Sequence[str], threshold: float = 0.8, n: int = 3) -> list[int]:
    """Return, for each text, the index of the first new one that it resembles, or its own.

    Two texts resemble each other if the Jaccard similarity of their sets of character n-grams,
    common ones over all, is at least `threshold`. A text is new if it resembles no new text
    before it. The result is exact; an index of rare n-grams saves most comparisons.

    Args:
        texts: in the order that decides which one is the first.
        threshold: above 0, at most 1.
        n: characters of an n-gram; a text that is shorter is one n-gram.

    Raises:
        ValueError: if `threshold` or `n` is out of range.

    Source: R. J. Bayardo, Y. Ma and R. Srikant, "Scaling up all pairs similarity search", 2007.
    """
    grams = [ngrams(text, n) for text in texts]
    index = _SimilarSets(grams, threshold)
    return [index.first(i, add=True) for i in range(len(texts))]


def near_leaks(
    texts: Sequence[str], references: Sequence[str], threshold: float = 0.8, n: int = 3
) -> list[bool]:
    """Return, for each text, whether it resembles one of the references; see `near_copies`."""
    grams = [ngrams(text, n) for text in (*references, *texts)]
    index = _SimilarSets(grams, threshold)
    for i in range(len(references)):
        index.add(i)
    return [index.first(i) != i for i in range(len(references), len(grams))]


def ngrams(text: str, n: int = 3) -> frozenset[str]:
    """Return the set of all runs of n characters; of a shorter text, the text itself.

    Raises:
        ValueError: if n is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return frozenset(text[i : i + n] for i in range(max(1, len(text) - n + 1)))


def jaccard(a: frozenset, b: frozenset) -> float:
    """Return `len(a & b) / len(a | b)`, from 0 to 1; of two empty sets 1."""
    return len(a & b) / len(a | b) if a or b else 1.0


def distinct(items: Sequence[Item], copies: Sequence[int]) -> list[Item]:
    """Return the items that are their own first copy, in their order.

    Raises:
        ValueError: if there are not as many copies as items.
    """
    if len(items) != len(copies):
        raise ValueError(f"got {len(items)} items but the copies of {len(copies)}")
    return [item for i, (item, first) in enumerate(zip(items, copies, strict=True)) if i == first]


class Leakage(NamedTuple):
    """Shares of held-out pairs, 0 to 1.

    Attributes:
        sources: whose source is in training.
        pairs: whose source is in training with the same target.
    """

    sources: float
    pairs: float


def leakage(
    train: Iterable[tuple[Hashable, Hashable]], held_out: Sequence[tuple[Hashable, Hashable]]
) -> Leakage:
    """Return how much of the held-out pairs training has already shown.

    Args:
        train: (source, target) pairs.
        held_out: at least one (source, target) pair.

    Raises:
        ValueError: if nothing is held out.
    """
    if not len(held_out):
        raise ValueError("there are no held-out pairs")
    pairs = set(train)
    sources = {source for source, _ in pairs}
    return Leakage(
        sum(source in sources for source, _ in held_out) / len(held_out),
        sum(tuple(pair) in pairs for pair in held_out) / len(held_out),
    )


def without_leaks(
    train: Sequence[Item],
    held_out: Iterable[Item],
    key: Callable[[Item], Hashable] = lambda item: item,
) -> list[Item]:
    """Return what is in `train` and shares its key with nothing that is held out, in its order."""
    keys = {key(item) for item in held_out}
    return [item for item in train if key(item) not in keys]


class _SimilarSets:
    """Finds the first of the sets added so far that is similar to another one.

    Sets that have a share t of their union in common have at least t of each in common. So they
    share one of the rarest n-grams of each, as many as may be missing and one: only those are
    indexed. And neither is smaller than t of the other.
    """

    def __init__(self, sets: Sequence[frozenset[str]], threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
        counts = Counter(gram for grams in sets for gram in grams)
        rarest = sorted(counts, key=lambda gram: (counts[gram], gram))
        rank = {gram: i for i, gram in enumerate(rarest)}
        self._threshold = threshold
        self._sets = [frozenset(map(rank.__getitem__, grams)) for grams in sets]
        self._index: dict[int, list[int]] = defaultdict(list)

    def add(self, i: int) -> None:
        for gram in self._rarest(i):
            self._index[gram].append(i)

    def first(self, i: int, add: bool = False) -> int:
        candidates = {j for gram in self._rarest(i) for j in self._index.get(gram, ())}
        for j in sorted(candidates):
            if self._similar(self._sets[i], self._sets[j]):
                return j
        if add:
            self.add(i)
        return i

    def _similar(self, a: frozenset[int], b: frozenset[int]) -> bool:
        sizes = sorted((len(a), len(b)))
        return sizes[0] >= self._threshold * sizes[1] and jaccard(a, b) >= self._threshold

    def _rarest(self, i: int) -> list[int]:
        grams = sorted(self._sets[i])
        # Less a little, so that rounding up never asks for one in common too many.
        common = math.ceil(self._threshold * len(grams) - 1e-9)
        return grams[: len(grams) - common + 1]
