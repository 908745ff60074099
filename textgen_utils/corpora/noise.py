"""Noise with a seed: wrong targets, misspelt words, marks of mixed width, missing tokens.

Each function returns a new list and leaves what it was given as it is. The same seed gives the
same noise.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.corpora.cleaning import FULL_WIDTH

Item = TypeVar("Item")

EDITS = ("replace", "drop", "double")
WIDTHS = ("half", "full")


def exchange_targets(targets: Sequence[Item], share: float, seed: int) -> list[Item]:
    """Exchange a share of the targets among each other, so that each gets another one's.

    Two equal targets may be exchanged, which changes nothing.

    Args:
        targets: of n pairs.
        share: of the targets, 0 to 1; rounded to a whole number of them, which cannot be one.
        seed: chooses them and their new places.

    Raises:
        ValueError: if `share` is out of range or means one target, or `seed` is no seed.
    """
    rng = _generator(share, seed)
    number = round(share * len(targets))
    if number == 1:
        raise ValueError(
            f"share={share} of {len(targets)} targets is one, and one alone cannot be exchanged"
        )
    chosen = rng.permutation(len(targets))[:number]
    result = list(targets)
    for here, there in zip(chosen, np.roll(chosen, 1), strict=True):
        result[here] = targets[there]
    return result


def misspell(
    texts: Sequence[str], share: float, seed: int, edits: Sequence[str] = EDITS
) -> list[str]:
    """Misspell letters: each with probability `share`, by an edit drawn evenly from `edits`.

    Args:
        texts: any; what is no Latin letter stays.
        share: expected share of the letters, 0 to 1.
        seed: chooses letters and edits.
        edits: "replace" by another lower-case letter, "drop", or "double".

    Raises:
        ValueError: if `share` is out of range, an edit unknown, or `seed` is no seed.
    """
    if not edits or not set(edits) <= set(EDITS):
        raise ValueError(f"edits must be some of {', '.join(EDITS)}, got {edits!r}")
    rng = _generator(share, seed)
    return ["".join(_edited(c, share, rng, edits) for c in text) for text in texts]


def _edited(character: str, share: float, rng: np.random.Generator, edits: Sequence[str]) -> str:
    if character not in string.ascii_letters or rng.random() >= share:
        return character
    edit = edits[rng.integers(len(edits))]
    if edit == "drop":
        return ""
    if edit == "double":
        return 2 * character
    others = string.ascii_lowercase.replace(character.lower(), "")
    return others[rng.integers(len(others))]


def mix_width(texts: Sequence[str], share: float, seed: int, to: str = "half") -> list[str]:
    """Write marks in the other width, each with probability `share`.

    Args:
        texts: any; marks are those of `cleaning.FULL_WIDTH`.
        share: expected share of the marks of the other width, 0 to 1.
        seed: chooses the marks.
        to: "half" makes full-width marks half-width, as in careless Chinese text; "full" the
            other way round.

    Raises:
        ValueError: if `share` is out of range, `to` unknown, or `seed` is no seed.
    """
    if to not in WIDTHS:
        raise ValueError(f"to must be one of {', '.join(WIDTHS)}, got {to!r}")
    rng = _generator(share, seed)
    other = FULL_WIDTH if to == "full" else {full: half for half, full in FULL_WIDTH.items()}
    return [
        "".join(other[c] if c in other and rng.random() < share else c for c in text)
        for text in texts
    ]


def drop_tokens(sequences: Sequence[ArrayLike], share: float, seed: int) -> list[np.ndarray]:
    """Leave tokens out, each with probability `share`; of each sequence at least one stays.

    Args:
        sequences: of ids, each (time,) with at least one.
        share: expected share of the tokens, 0 to 1.
        seed: chooses the tokens.

    Raises:
        ValueError: if a sequence is empty, `share` out of range, or `seed` is no seed.
    """
    rng = _generator(share, seed)
    result = []
    for i, sequence in enumerate(sequences):
        ids = np.asarray(sequence)
        if ids.ndim != 1 or not len(ids):
            raise ValueError(f"sequence {i} must be (time,) and not empty, got shape {ids.shape}")
        kept = rng.random(len(ids)) >= share
        kept[rng.integers(len(ids))] |= not kept.any()
        result.append(ids[kept])
    return result


def _generator(share: float, seed: int) -> np.random.Generator:
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number from 0 to 1, got {share!r}")
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    return np.random.default_rng(seed)
