"""What each loss makes a model believe: the distribution that minimises the expected loss.

If the next token is k with probability p_k, the expectation of a loss that is given q is least at
some q, its belief. For a proper loss (cross-entropy, squared error) that is p. The functions here
give the beliefs of losses that are not proper, and, where the belief determines the truth, the way
back. All take and return distributions along the last axis, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.losses.checks import check_share, check_values


def smoothed_belief(p: ArrayLike, smoothing: float) -> np.ndarray:
    """Return (1 - smoothing) p + smoothing / vocab: that of `smoothed_cross_entropy`."""
    check_share("smoothing", smoothing)
    p = np.asarray(p, np.float64)
    return (1 - smoothing) * p + smoothing / p.shape[-1]


def smoothed_truth(q: ArrayLike, smoothing: float) -> np.ndarray:
    """Return the truth behind a smoothed belief; what would be negative is taken as 0."""
    check_share("smoothing", smoothing)
    q = np.asarray(q, np.float64)
    return _normalised(np.maximum(q - smoothing / q.shape[-1], 0.0))


def weighted_belief(p: ArrayLike, weights: Sequence[float]) -> np.ndarray:
    """Return p times the weights, rescaled: the belief of `weighted_cross_entropy`.

    Raises:
        ValueError: if no token has both a weight and a probability.
    """
    return _normalised(np.asarray(p, np.float64) * check_values(np.asarray(weights)))


def absolute_belief(p: ArrayLike, weights: Sequence[float] | None = None) -> np.ndarray:
    """Return certainty of the token with the least w_k (1 - 2 p_k): that of `absolute_error`.

    Without weights it is the most probable token. Of equals the first is taken.
    """
    p = np.asarray(p, np.float64)
    weights = np.ones(p.shape[-1]) if weights is None else check_values(np.asarray(weights))
    return np.eye(p.shape[-1])[np.argmin(weights * (1 - 2 * p), axis=-1)]


def focal_belief(p: ArrayLike, gamma: float) -> np.ndarray:
    """Return the belief of `focal`: between two tokens flatter than p, among many perhaps sharper.

    Let r(q) be minus the derivative of the loss by q; it falls from infinity to 0. At the minimum
    p_k r(q_k) is one number s for all k, and that number is found by bisection.

    Raises:
        ValueError: if `gamma` is negative or not finite.
    """
    p, some = np.asarray(p, np.float64), np.asarray(p) > 0
    logits = np.linspace(-30.0, 30.0, 6001)
    log_r = np.log(_pull(logits, gamma))
    log_p, q = np.log(p[some]), np.zeros_like(p)
    low, high = (np.full((*p.shape[:-1], 1), end) for end in (-80.0, 80.0))
    for _ in range(50):
        log_s = (low + high) / 2
        wanted = np.broadcast_to(log_s, p.shape)[some] - log_p
        q[some] = 1 / (1 + np.exp(-np.interp(-wanted, -log_r, logits)))
        over = q.sum(axis=-1, keepdims=True) > 1
        low, high = np.where(over, log_s, low), np.where(over, high, log_s)
    return _normalised(q)


def focal_truth(q: ArrayLike, gamma: float) -> np.ndarray:
    """Return the truth behind a focal belief: proportional to 1 / r(q), see `focal_belief`.

    Source: N. Charoenphakdee et al., "On focal loss for class-posterior probability estimation: a
    theoretical perspective", 2021.
    """
    q = np.asarray(q, np.float64)
    inside = np.clip(q, 1e-13, 1 - 1e-13)
    weight = 1 / _pull(np.log(inside) - np.log1p(-inside), gamma)
    return _normalised(np.where(q > 0, weight, 0.0))


def _pull(logits: np.ndarray, gamma: float) -> np.ndarray:
    """Minus the derivative of -(1 - q)^gamma log q by q, at q = 1 / (1 + exp(-logits))."""
    if not 0 <= gamma < np.inf:
        raise ValueError(f"gamma must be a number of at least 0, got {gamma}")
    log_q, rest = -np.logaddexp(0.0, -logits), np.exp(-np.logaddexp(0.0, logits))
    return rest**gamma / np.exp(log_q) - gamma * rest ** (gamma - 1) * log_q


def _normalised(values: np.ndarray) -> np.ndarray:
    total = values.sum(axis=-1, keepdims=True)
    if not (total > 0).all():
        raise ValueError("nothing is left to believe: every token with a probability has weight 0")
    return values / total
