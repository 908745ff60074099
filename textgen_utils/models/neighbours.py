"""Memories of a recurrent network: what followed where its hidden vector was like the present one.

Both are language models of their own that say nothing but what they remember. A `Mixture` with
the network makes of them the neural cache and the kNN-LM of the literature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from textgen_utils.models.base import check_ids, log
from textgen_utils.models.distributions import of_tokens
from textgen_utils.models.recurrent import LSTMLanguageModel


class NearestNeighbours:
    """The k places of a stored text that are nearest to the present, and what followed there::

        p(w | h) = sum over the k nearest i of [x_i = w] exp(-|v(h) - v_i|^2 / T) / Z

    v is the hidden vector of the network's last layer: v(h) after the text so far, v_i where
    token x_i of the stored text is to be predicted. The search is exact, by all distances.

    Args:
        model: the network that reads; it is not changed.
        ids: the stored text, ints, shape (time,), at least k.
        k: the number of neighbours.
        temperature: T, above 0, in units of the squared distance.

    Attributes:
        vocab_size, boundary, max_context: the network's.

    Raises:
        ValueError: an argument out of range, or a stored text shorter than k.

    Source: U. Khandelwal et al., "Generalization through memorization: nearest neighbor language
    models", 2020.
    """

    def __init__(
        self, model: LSTMLanguageModel, ids: ArrayLike, *, k: int = 16, temperature: float = 1.0
    ) -> None:
        ids = check_ids(ids, model.vocab_size, ndim=1)
        if not 1 <= k <= len(ids):
            raise ValueError(f"k must lie in [1, {len(ids)}], the stored tokens; got {k}")
        _check_positive("temperature", temperature)
        self.model = model
        self.vocab_size, self.boundary = model.vocab_size, model.boundary
        self.max_context = model.max_context
        self.k, self.temperature = k, temperature
        self._keys, self._values = model.vectors(ids[None])[0], ids
        self._norms = np.square(self._keys).sum(axis=1)

    def initial_state(self, batch_size: int) -> Any:
        """Return the network's initial state."""
        return self.model.initial_state(batch_size)

    def step(self, tokens: ArrayLike, state: Any) -> tuple[np.ndarray, Any]:
        """Read one token of each text: see `models.base.LanguageModel`."""
        _, state = self.model.step(tokens, state)
        return self._predict(self.model.vector(state)), state

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token at every position: see `models.distributions`."""
        vectors = self.model.vectors(check_ids(ids, self.vocab_size, ndim=2))
        rows = vectors.reshape(-1, vectors.shape[-1])
        parts = [self._predict(rows[i : i + 256]) for i in range(0, len(rows), 256)]
        return np.concatenate(parts).reshape(*vectors.shape[:2], self.vocab_size)

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        return of_tokens(self.distributions(ids), ids)

    def _predict(self, vectors: np.ndarray) -> np.ndarray:
        """Log-probabilities, (batch, vocab), from hidden vectors, (batch, width)."""
        # |v - v_i|^2 without |v|^2, which all neighbours share
        distance = self._norms - 2 * vectors @ self._keys.T
        nearest = np.argpartition(distance, self.k - 1, axis=1)[:, : self.k]
        similarity = -np.take_along_axis(distance, nearest, axis=1) / self.temperature
        return _kernel_counts(similarity, self._values[nearest], self.vocab_size)


class NeuralCache:
    """The text so far as a memory: what followed where the hidden vector was like this one::

        p(w | h) = sum over the last n places i of [x_i = w] exp(theta v(h) . v_i) / Z

    The letters are those of `NearestNeighbours`; the stored text is what was read. Before
    anything can be remembered, the prediction is uniform.

    Args:
        model: the network that reads; it is not changed.
        size: n, the most places that are remembered, at least 1; a shorter history is remembered
            whole.
        theta: how sharply likeness counts, above 0.

    Attributes:
        vocab_size, boundary, max_context: the network's.

    Raises:
        ValueError: an argument out of range.

    Source: E. Grave, A. Joulin and N. Usunier, "Improving neural language models with a
    continuous cache", 2017.
    """

    def __init__(self, model: LSTMLanguageModel, *, size: int = 2000, theta: float = 1.0) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1; got {size}")
        _check_positive("theta", theta)
        self.model = model
        self.vocab_size, self.boundary = model.vocab_size, model.boundary
        self.max_context = model.max_context
        self.size, self.theta = size, theta

    def initial_state(self, batch_size: int) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the network's state, the vectors (batch, n, width), what followed (batch, n)."""
        vectors = np.zeros((batch_size, 0, self.model.width), np.float32)
        followed = np.zeros((batch_size, 0), np.int32)
        return self.model.initial_state(batch_size), vectors, followed

    def step(self, tokens: ArrayLike, state: Any) -> tuple[np.ndarray, Any]:
        """Read one token of each text: see `models.base.LanguageModel`."""
        inner, vectors, followed = state
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        # There is one vector more than tokens that followed: the last one waits for its own.
        if vectors.shape[1]:
            followed = np.concatenate([followed, tokens[:, None]], axis=1)
        _, inner = self.model.step(tokens, inner)
        last = self.model.vector(inner)
        vectors = np.concatenate([vectors, last[:, None]], axis=1)
        vectors, followed = vectors[:, -self.size - 1 :], followed[:, -self.size :]
        return self._predict(last, vectors[:, :-1], followed), (inner, vectors, followed)

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token at every position: see `models.distributions`."""
        ids = check_ids(ids, self.vocab_size, ndim=2)
        vectors = self.model.vectors(ids)
        log_probs = np.empty((*ids.shape, self.vocab_size))
        for t in range(ids.shape[1]):
            past = slice(max(0, t - self.size), t)
            log_probs[:, t] = self._predict(vectors[:, t], vectors[:, past], ids[:, past])
        return log_probs

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        return of_tokens(self.distributions(ids), ids)

    def _predict(self, last: np.ndarray, vectors: np.ndarray, followed: np.ndarray) -> np.ndarray:
        if not followed.shape[1]:
            return np.full((len(last), self.vocab_size), -np.log(self.vocab_size))
        similarity = self.theta * np.einsum("bnd,bd->bn", vectors, last)
        return _kernel_counts(similarity, followed, self.vocab_size)


def _kernel_counts(similarity: np.ndarray, tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """Log of counts of tokens weighted by exp(similarity), normalised: (batch, n) to (batch, V)."""
    weights = np.exp(similarity - logsumexp(similarity, axis=1, keepdims=True))
    p = np.zeros((len(tokens), vocab_size))
    np.add.at(p, (np.arange(len(tokens))[:, None], tokens), weights)
    return log(p)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be above 0 and finite; got {value}")
