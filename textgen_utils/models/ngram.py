"""N-gram language models of any order, with three kinds of smoothing.

Source: Chen and Goodman (1998), "An Empirical Study of Smoothing Techniques for Language
Modeling", TR-10-98, Harvard University.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.models import smoothing as smooth
from textgen_utils.models.archive import read_arrays, write_arrays
from textgen_utils.models.base import check_ids, log
from textgen_utils.models.grams import ABSENT, Grams, Order, number

SMOOTHINGS = ("kneser-ney", "additive", "maximum-likelihood")


class NGram:
    """Predicts a token from the order - 1 tokens before it. A `LanguageModel`.

    The text is read as boundary + text; near its start the history is as long as what was read,
    and the estimate is that of the order that fits. Histories that the training text does not
    contain: "kneser-ney" falls back to the order below, wholly; "additive" is uniform, as its
    formula says; "maximum-likelihood", whose formula is 0 / 0 there, uses the longest end of the
    history that was seen, and gives probability 0 (-inf nats) to a token that never followed it.

    Args:
        order: length of the longest gram, at least 1.
        vocab_size: number of tokens V.
        boundary: id that stands before the text.
        smoothing: "kneser-ney" (interpolated, modified; the lowest order is interpolated with
            the uniform distribution), "additive" or "maximum-likelihood".
        alpha: what "additive" adds to each count.
        independent_lines: nothing to the left of a boundary is used: right for lists of lines
            that have nothing to do with each other.

    Attributes:
        discounts_: after a Kneser-Ney fit, the (D1, D2, D3plus) of orders 1 to `order`.
        sizes_: after any fit, the number of distinct grams of orders 1 to `order`.

    Raises:
        ValueError: an argument out of range.
    """

    max_context = None

    def __init__(
        self,
        order: int,
        vocab_size: int,
        boundary: int,
        smoothing: str = "kneser-ney",
        *,
        alpha: float = 1.0,
        independent_lines: bool = False,
    ):
        if order < 1:
            raise ValueError(f"order must be at least 1; got {order}")
        if not 0 <= boundary < vocab_size:
            raise ValueError(f"boundary must lie in [0, {vocab_size}); got {boundary}")
        if smoothing not in SMOOTHINGS:
            raise ValueError(f"smoothing must be one of {SMOOTHINGS}; got {smoothing!r}")
        if not 0 < alpha < np.inf:
            raise ValueError(f"alpha must be positive and finite; got {alpha}")
        self.order = order
        self.vocab_size = vocab_size
        self.boundary = boundary
        self.smoothing = smoothing
        self.alpha = alpha
        self.independent_lines = independent_lines
        self.discounts_: list[smooth.Discounts] = []
        self._orders: list[Order] = []

    def __repr__(self) -> str:
        return f"NGram(order={self.order}, smoothing={self.smoothing!r}, V={self.vocab_size})"

    @property
    def sizes_(self) -> list[int]:
        """Number of distinct grams of each order; order 1 has the whole vocabulary."""
        return [len(order.keys) for order in self._fitted()]

    def fit(self, ids: ArrayLike) -> NGram:
        """Count the grams of a text.

        Args:
            ids: the text, ints in [0, vocab_size), shape (time,), at least one.

        Returns:
            The model itself.

        Raises:
            ValueError: no ids, the wrong shape or type, or an id out of range.
        """
        ids = self._checked(ids, ndim=1)
        if ids.size == 0:
            raise ValueError("cannot fit an n-gram model on an empty text: ids has length 0")
        self.discounts_, orders, histories = [], [], 1
        for grams, longer in pairwise(chain(self._grams(ids), [None])):
            c = self._counts(grams, longer)
            a, gamma = self._smooth(c, grams.keys // self.vocab_size, histories)
            orders.append(Order.build(grams.keys, a, gamma, self.vocab_size))
            histories = len(grams.keys)
        self._orders = orders
        return self

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Log-probability of every token given those on its left.

        Args:
            ids: ints, shape (batch, time).

        Returns:
            float64, nats, shape (batch, time).
        """
        ids = self._checked(ids, ndim=2)
        history = np.zeros_like(ids)  # the empty gram, number 0
        p = np.full(ids.shape, 1 / self.vocab_size)
        for k, order in enumerate(self._fitted(), 1):
            gram = order.find(history, ids)
            p = order.a[gram] + order.gamma[history] * self._below(p, history)
            history = self._shift(gram, ids, k)
        return log(p)

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Log-probability of every token at every position: see `models.distributions`."""
        ids = self._checked(ids, ndim=2)
        history = np.zeros_like(ids)  # the empty gram, number 0
        p = np.full((*ids.shape, self.vocab_size), 1 / self.vocab_size)
        for k, order in enumerate(self._fitted(), 1):
            shares = order.shares(history.ravel()).reshape(p.shape)
            p = shares + order.gamma[history][..., None] * self._below(p, history[..., None])
            history = self._shift(order.find(history, ids), ids, k)
        return log(p)

    def initial_state(self, batch_size: int) -> np.ndarray:
        """Nothing was read: ints, shape (batch, order - 1).

        Column k - 1 holds the number of the gram of the last k tokens, UNSEEN or ABSENT.
        """
        return np.full((batch_size, self.order - 1), ABSENT, dtype=np.int64)

    def step(self, tokens: ArrayLike, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read one token of each text and predict the next.

        Args:
            tokens: the tokens just read, ints, shape (batch,).
            state: shape (batch, order - 1).

        Returns:
            Log-probabilities, float64, nats, shape (batch, vocab_size), and the new state.
        """
        state = self._read(self._checked(tokens, ndim=1), state)
        p = np.full((len(state), self.vocab_size), 1 / self.vocab_size)
        for order, history in zip(self._fitted(), self._histories(state), strict=True):
            below = self._below(p, history[:, None])
            p = order.shares(history) + order.gamma[history][:, None] * below
        return log(p), state

    def order_weights(self, ids: ArrayLike) -> np.ndarray:
        """How much of the next prediction each order decides after a given text.

        Args:
            ids: what was read after the boundary, shape (time,); may be empty.

        Returns:
            Weights of orders 0 (uniform) to `order`, sum 1, shape (order + 1,).
        """
        ids = self._checked(np.asarray(ids, dtype=np.int64), ndim=1)
        state = self.initial_state(1)
        for token in np.append(self.boundary, ids):
            state = self._read(np.array([token]), state)
        weights = np.zeros(self.order + 1)
        weights[0] = 1.0
        for k, history in enumerate(self._histories(state), 1):
            below = weights.copy()
            if self.smoothing == "additive" and history[0] != ABSENT:
                below = np.eye(self.order + 1)[0]
            gamma = self._orders[k - 1].gamma[history[0]]
            weights = gamma * below
            weights[k] = 1 - gamma
        return weights

    def save(self, path: str | Path) -> None:
        """Write the fitted model to an .npz file, whole or not at all."""
        arrays = {"alpha": self.alpha, "discounts": np.array(self.discounts_)}
        for name in ("order", "vocab_size", "boundary", "smoothing", "independent_lines"):
            arrays[name] = getattr(self, name)
        for k, order in enumerate(self._fitted(), 1):
            arrays |= {f"keys{k}": order.keys, f"a{k}": order.a, f"gamma{k}": order.gamma}
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> NGram:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds something else.
        """
        try:
            f = read_arrays(path)
            model = cls(
                int(f["order"]),
                int(f["vocab_size"]),
                int(f["boundary"]),
                str(f["smoothing"]),
                alpha=float(f["alpha"]),
                independent_lines=bool(f["independent_lines"]),
            )
            model.discounts_ = [smooth.Discounts(*map(float, D)) for D in f["discounts"]]
            model._orders = [
                Order(f[f"keys{k}"], f[f"a{k}"], f[f"gamma{k}"], model.vocab_size)
                for k in range(1, model.order + 1)
            ]
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is not an n-gram model written by NGram.save") from error
        return model

    def _grams(self, ids: np.ndarray) -> Iterator[Grams]:
        """The grams of orders 1 to `order`; those of order 1 are the whole vocabulary."""
        everything = np.arange(self.vocab_size)
        grams = Grams(everything, ids, everything)
        yield grams
        for k in range(1, self.order):
            grams = number(self._shift(grams.at, ids, k), ids, self.vocab_size)
            yield grams

    def _counts(self, grams: Grams, longer: Grams | None) -> np.ndarray:
        """c of each gram: plain, or below the highest order of Kneser-Ney those of its lefts."""
        if self.smoothing == "kneser-ney" and longer is not None:
            suffix, starts = grams.at[longer.first], grams.at[longer.at == ABSENT]
            return smooth.continuation_counts(suffix, starts[starts >= 0], len(grams.keys))
        return np.bincount(grams.at[grams.at >= 0], minlength=len(grams.keys))

    def _smooth(
        self, c: np.ndarray, h: np.ndarray, histories: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.smoothing == "maximum-likelihood":
            return smooth.maximum_likelihood(c, h, histories)
        if self.smoothing == "additive":
            return smooth.additive(c, h, histories, self.alpha, self.vocab_size)
        self.discounts_.append(smooth.discounts(c))
        return smooth.kneser_ney(c, h, histories, self.discounts_[-1])

    def _below(self, p: np.ndarray, history: np.ndarray) -> np.ndarray:
        """What gamma(h) multiplies: the order below, or for "additive" 1 / V."""
        if self.smoothing == "additive":
            return np.where(history == ABSENT, p, 1 / self.vocab_size)
        return p

    def _shift(self, gram: np.ndarray, ids: np.ndarray, k: int) -> np.ndarray:
        """From the k-gram that ends at each position to the one that ends before it."""
        start = np.full((*gram.shape[:-1], 1), self.boundary if k == 1 else ABSENT)
        shifted = np.concatenate([start, self._cut(gram, ids, k)[..., :-1]], axis=-1)
        return shifted[..., : ids.shape[-1]]  # an empty text has no history

    def _cut(self, gram: np.ndarray, ids: np.ndarray, k: int) -> np.ndarray:
        """As a history, no gram reaches past the boundary that ends it, if lines are apart."""
        if self.independent_lines and k > 1:
            return np.where(ids == self.boundary, ABSENT, gram)
        return gram

    def _read(self, tokens: np.ndarray, state: np.ndarray) -> np.ndarray:
        columns = []
        for k, history in enumerate(self._histories(state)[: self.order - 1], 1):
            gram = self._fitted()[k - 1].find(history, tokens)
            columns.append(self._cut(gram, tokens, k))
        return np.stack(columns, axis=1) if columns else state

    def _histories(self, state: np.ndarray) -> list[np.ndarray]:
        """Grams of 0 to order - 1 tokens, each (batch,)."""
        return [np.zeros(len(state), dtype=np.int64), *state.T]

    def _fitted(self) -> list[Order]:
        if not self._orders:
            raise ValueError("this n-gram model is not fitted: call fit(ids) first")
        return self._orders

    def _checked(self, ids: ArrayLike, ndim: int) -> np.ndarray:
        return check_ids(ids, self.vocab_size, ndim).astype(np.int64)
