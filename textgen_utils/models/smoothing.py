"""Smoothing of n-gram counts: from the counts of one order to a share and a remainder.

Letters are those of Chen and Goodman (1998). A gram `h w` is a history `h` and a token `w`;
c(h w) is its count, c(h •) the sum over w. Every method here writes its estimate as

    p(w | h) = a(h w) + gamma(h) p_below(w)

and returns the two arrays `a`, one entry a gram, and `gamma`, one entry a history. Histories with
c(h •) = 0 get a = 0, gamma = 1: the estimate below decides alone.

Source: Chen and Goodman (1998), "An Empirical Study of Smoothing Techniques for Language
Modeling", TR-10-98, Harvard University; Kneser and Ney (1995), "Improved Backing-off for M-gram
Language Modeling".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Discounts(NamedTuple):
    """What modified Kneser-Ney subtracts from a count of 1, of 2, and of 3 or more."""

    D1: float
    D2: float
    D3plus: float


# Used where the counts of counts cannot tell: half of each of the largest admissible discounts.
UNINFORMED = Discounts(0.5, 1.0, 1.5)


def maximum_likelihood(
    c: np.ndarray, h: np.ndarray, histories: int
) -> tuple[np.ndarray, np.ndarray]:
    """p(w | h) = c(h w) / c(h •): nothing is left for what was not seen.

    Args:
        c: counts, shape (grams,).
        h: the history of each gram, ints in [0, histories), shape (grams,).
        histories: the number of histories.

    Returns:
        a, shape (grams,), and gamma, shape (histories,).
    """
    total = np.bincount(h, weights=c, minlength=histories)
    return c / np.maximum(total, 1)[h], (total == 0).astype(float)


def additive(
    c: np.ndarray, h: np.ndarray, histories: int, alpha: float, vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """p(w | h) = (c(h w) + alpha) / (c(h •) + alpha V); the estimate below is uniform, 1 / V.

    Args:
        c: counts, shape (grams,).
        h: the history of each gram, shape (grams,).
        histories: the number of histories.
        alpha: what is added to every count, above 0.
        vocab_size: V.

    Returns:
        a, shape (grams,), and gamma, shape (histories,).
    """
    total = np.bincount(h, weights=c, minlength=histories)
    room = total + alpha * vocab_size
    return c / room[h], alpha * vocab_size / room


def discounts(c: np.ndarray) -> Discounts:
    """The three discounts of one order, estimated from counts of counts.

    With n_i the number of grams that were counted exactly i times, Y = n1 / (n1 + 2 n2) and
    D_i = i - (i + 1) Y n_{i+1} / n_i. Small corpora may have no gram with one of the counts 1 to
    4, or give a discount outside [0, i]; the order then uses `UNINFORMED`.

    Args:
        c: counts, shape (grams,).
    """
    n = np.bincount(np.minimum(c, 5), minlength=6).astype(float)
    if (n[1:5] == 0).any():
        return UNINFORMED
    Y = n[1] / (n[1] + 2 * n[2])  # noqa: N806
    D = [i - (i + 1) * Y * n[i + 1] / n[i] for i in (1, 2, 3)]  # noqa: N806
    if any(not 0 <= d <= i for i, d in enumerate(D, 1)):
        return UNINFORMED
    return Discounts(*(float(d) for d in D))


def kneser_ney(
    c: np.ndarray,
    h: np.ndarray,
    histories: int,
    D: Discounts,  # noqa: N803
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated modified Kneser-Ney for one order.

    a(h w) = (c(h w) - D(c(h w))) / c(h •), and what was taken away goes to the order below:
    gamma(h) = (D1 N1(h •) + D2 N2(h •) + D3+ N3+(h •)) / c(h •), where N_i(h •) is the number of
    tokens that follow h exactly i times.

    Args:
        c: counts, shape (grams,); below the highest order those of `continuation_counts`.
        h: the history of each gram, shape (grams,).
        histories: the number of histories.
        D: the discounts of this order.

    Returns:
        a, shape (grams,), and gamma, shape (histories,).
    """
    taken = np.array([0.0, *D])[np.minimum(c, 3)]
    total = np.bincount(h, weights=c, minlength=histories)
    gamma = np.bincount(h, weights=taken, minlength=histories) / np.maximum(total, 1)
    return (c - taken) / np.maximum(total, 1)[h], np.where(total == 0, 1.0, gamma)


def continuation_counts(suffix: np.ndarray, starts: np.ndarray, grams: int) -> np.ndarray:
    """N1+(• g): how many different tokens stand to the left of each gram g.

    A gram at the very start of a text has nothing to its left; each such occurrence counts by
    itself, so that grams which *only* start texts keep their plain count.

    Args:
        suffix: for each distinct gram one token longer, the gram without its first token.
        starts: the grams, with repetition, that occur at the start of a text.
        grams: the number of grams.

    Returns:
        Counts, ints, shape (grams,).
    """
    return np.bincount(suffix, minlength=grams) + np.bincount(starts, minlength=grams)
