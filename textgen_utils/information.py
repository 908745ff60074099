"""Entropy, cross-entropy, divergence: the units in which every model of the book is measured.

Distributions are float arrays whose last axis is the outcome; leading axes, if any, are a batch.
`0 log 0` is 0, and an outcome that happens although `q` gives it no probability costs infinity.

Source: Shannon (1948), "A Mathematical Theory of Communication"; Cover and Thomas (2006),
"Elements of Information Theory", chapter 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

TOLERANCE = 1e-6


def entropy(p: ArrayLike, base: str = "nats") -> float | np.ndarray:
    """H(P) = -sum_x p(x) log p(x).

    Args:
        p: probabilities, shape (..., outcomes).
        base: "nats" or "bits".

    Returns:
        A float for one distribution, else an array of shape (...).

    Raises:
        ValueError: `p` is not a distribution, or `base` is another word.
    """
    p = _distribution(p, "p")
    return _sum_over_outcomes(-p * _log(p, where=p > 0), base)


def cross_entropy(p: ArrayLike, q: ArrayLike, base: str = "nats") -> float | np.ndarray:
    """H(P, Q) = -sum_x p(x) log q(x): what it costs to expect Q where P holds.

    Args:
        p: the truth, shape (..., outcomes).
        q: the model, same shape.
        base: "nats" or "bits".

    Returns:
        A float for one pair, else an array of shape (...); infinite where q(x) = 0 < p(x).

    Raises:
        ValueError: not two distributions of one shape, or an unknown `base`.
    """
    p, q = _pair(p, q)
    return _sum_over_outcomes(-p * _log(q, where=p > 0), base)


def kl_divergence(p: ArrayLike, q: ArrayLike, base: str = "nats") -> float | np.ndarray:
    """KL(P || Q) = sum_x p(x) log(p(x) / q(x)) = H(P, Q) - H(P), never negative.

    Args:
        p: the truth, shape (..., outcomes).
        q: the model, same shape.
        base: "nats" or "bits".

    Returns:
        A float for one pair, else an array of shape (...); infinite where q(x) = 0 < p(x).

    Raises:
        ValueError: not two distributions of one shape, or an unknown `base`.
    """
    p, q = _pair(p, q)
    return _sum_over_outcomes(p * (_log(p, where=p > 0) - _log(q, where=p > 0)), base)


def jensen_shannon(p: ArrayLike, q: ArrayLike, base: str = "nats") -> float | np.ndarray:
    """Jensen-Shannon divergence: mean KL of P and of Q to their midpoint; at most log 2.

    Args and Raises are those of `kl_divergence`; the result is symmetric and always finite.
    """
    p, q = _pair(p, q)
    m = (p + q) / 2
    return (kl_divergence(p, m, base) + kl_divergence(q, m, base)) / 2


def perplexity(nats: ArrayLike) -> float | np.ndarray:
    """exp(nats): the number of equally likely choices that would cost the same."""
    with np.errstate(over="ignore"):
        return np.exp(nats)


def to_bits(nats: ArrayLike) -> float | np.ndarray:
    """Nats to bits: divided by ln 2."""
    return np.asarray(nats, dtype=float)[()] / np.log(2)


def to_nats(bits: ArrayLike) -> float | np.ndarray:
    """Bits to nats: multiplied by ln 2."""
    return np.asarray(bits, dtype=float)[()] * np.log(2)


def empirical(ids: ArrayLike, vocab_size: int) -> np.ndarray:
    """Relative frequencies of the ids.

    Args:
        ids: integers in [0, vocab_size), any shape, at least one.
        vocab_size: the number of outcomes.

    Returns:
        Probabilities, float64, shape (vocab_size,).

    Raises:
        ValueError: no ids, ids that are not integers, or an id out of range.
    """
    ids = np.asarray(ids).ravel()
    if ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids must be at least one integer; got {ids.size} of {ids.dtype}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(f"ids must lie in [0, {vocab_size}); got {ids.min()} to {ids.max()}")
    return np.bincount(ids, minlength=vocab_size) / ids.size


def _log(p: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Log p where asked for, else 0; log 0 is -inf without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(p, out=np.zeros_like(p), where=where)


def _sum_over_outcomes(nats: np.ndarray, base: str) -> float | np.ndarray:
    if base not in ("nats", "bits"):
        raise ValueError(f"base must be 'nats' or 'bits'; got {base!r}")
    total = nats.sum(axis=-1) + 0.0  # -0.0 becomes 0.0
    total = total if base == "nats" else to_bits(total)
    return float(total) if np.ndim(total) == 0 else total


def _distribution(p: ArrayLike, name: str) -> np.ndarray:
    p = np.asarray(p, dtype=float)
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"{name} must have outcomes on its last axis; got shape {p.shape}")
    if not (p >= 0).all():
        raise ValueError(f"{name} must be non-negative; its minimum is {p.min()}")
    total = p.sum(axis=-1)
    if not np.allclose(total, 1, rtol=0, atol=TOLERANCE):
        worst = np.ravel(total)[np.argmax(np.abs(np.ravel(total) - 1))]
        raise ValueError(f"{name} must sum to 1 within {TOLERANCE}; it sums to {worst}")
    return p


def _pair(p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p, q = _distribution(p, "p"), _distribution(q, "q")
    if p.shape != q.shape:
        raise ValueError(f"p and q must have one shape; got {p.shape} and {q.shape}")
    return p, q
