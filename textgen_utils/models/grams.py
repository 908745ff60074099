"""The table behind an n-gram model: for each order, its grams as sorted integers.

A gram of k tokens gets a dense number: the rank of the pair (number of its first k - 1 tokens,
last token) among all such pairs of the training text. Pairs fit in 64 bits whatever the order,
and a lookup is one binary search.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

UNSEEN = -1  # a gram that the training text does not contain
ABSENT = -2  # a gram longer than all that was read

MANY = 500  # lookups at once; fewer are not worth sorting


class Grams(NamedTuple):
    """The k-grams of a text.

    Attributes:
        keys: history * vocab_size + last token of each distinct gram, ascending, shape (grams,).
        at: the gram that ends at each position of the text or ABSENT, shape (time,).
        first: a position where each distinct gram ends, shape (grams,).
    """

    keys: np.ndarray
    at: np.ndarray
    first: np.ndarray


def number(history: np.ndarray, tokens: np.ndarray, vocab_size: int) -> Grams:
    """Number the pairs (history, token).

    Args:
        history: the (k - 1)-gram that ends before each position, or ABSENT, shape (time,).
        tokens: the text, shape (time,).
        vocab_size: the number of tokens.
    """
    whole = np.flatnonzero(history != ABSENT)
    ascending, where = sort(history[whole] * vocab_size + tokens[whole], whole)
    first = np.flatnonzero(np.diff(ascending, prepend=-1))  # no key is below 0
    at = np.full(len(tokens), ABSENT, dtype=np.int64)
    at[where] = np.repeat(np.arange(len(first)), np.diff(first, append=len(where)))
    return Grams(ascending[first], at, where[first])


def sort(keys: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort keys, and their places with them; equal keys by place.

    Key and place are sorted as one number, in a tenth of the time of `np.argsort`.

    Args:
        keys: int64, shape (n,).
        places: ascending ints from 0, int64, shape (n,).
    """
    bits = int(places.max(initial=0)).bit_length()
    largest = max(int(keys.max(initial=0)), -int(keys.min(initial=0)))
    if largest.bit_length() + bits > 62:
        order = np.argsort(keys, kind="stable")
        return keys[order], places[order]
    pairs = np.sort(keys << bits | places)
    return pairs >> bits, pairs & ((1 << bits) - 1)


@dataclass(frozen=True)
class Order:
    """One order of a smoothed model: p(w | h) = a(h w) + gamma(h) p_below(w).

    The two last entries of `a` and `gamma` are those of ABSENT (-2) and UNSEEN (-1): indexing
    with either yields a = 0 and gamma = 1.

    Attributes:
        keys: history * vocab_size + token of each gram, ascending, int64, shape (grams,).
        a: the share of the gram itself, shape (grams + 2,).
        gamma: the share of the order below, shape (histories + 2,).
    """

    keys: np.ndarray
    a: np.ndarray
    gamma: np.ndarray
    vocab_size: int
    begin: np.ndarray = field(init=False, repr=False)  # first gram of each history
    count: np.ndarray = field(init=False, repr=False)  # number of grams of each history

    def __post_init__(self):
        histories = len(self.gamma) - 2
        edge = np.searchsorted(self.keys, np.arange(histories + 1) * self.vocab_size)
        object.__setattr__(self, "begin", np.append(edge[:-1], [0, 0]))
        object.__setattr__(self, "count", np.append(np.diff(edge), [0, 0]))

    @classmethod
    def build(cls, keys: np.ndarray, a: np.ndarray, gamma: np.ndarray, vocab_size: int) -> Order:
        """Append the entries of ABSENT and UNSEEN and return the order."""
        return cls(keys, np.append(a, [0.0, 0.0]), np.append(gamma, [1.0, 1.0]), vocab_size)

    def find(self, history: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The grams `history token`; ABSENT and UNSEEN histories give ABSENT and UNSEEN grams.

        Args:
            history: numbers of (k - 1)-grams, any shape.
            tokens: ids, same shape.
        """
        key = history * self.vocab_size + tokens
        if key.size < MANY:
            return np.where(history < 0, history, self._rank(key))
        ascending, order = sort(key.ravel(), np.arange(key.size))  # neighbours search close by
        gram = np.empty_like(order)
        gram[order] = self._rank(ascending)
        return np.where(history < 0, history, gram.reshape(key.shape))

    def _rank(self, key: np.ndarray) -> np.ndarray:
        if not len(self.keys):
            return np.full(key.shape, UNSEEN)
        gram = np.searchsorted(self.keys, key)
        return np.where(self.keys.take(gram, mode="clip") == key, gram, UNSEEN)

    def shares(self, history: np.ndarray) -> np.ndarray:
        """a(h w) of every token w: histories of shape (batch,) give (batch, vocab_size)."""
        count = self.count[history]
        row = np.repeat(np.arange(len(history)), count)
        before = np.cumsum(count) - count
        gram = np.arange(len(row)) + np.repeat(self.begin[history] - before, count)
        table = np.zeros((len(history), self.vocab_size))
        table[row, self.keys[gram] % self.vocab_size] = self.a[gram]
        return table
