"""The weights of a mixture, from held-out text: what each model gives to it is all one needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax


def linear_weights(
    log_probs: ArrayLike, *, steps: int = 1000, tolerance: float = 1e-10
) -> np.ndarray:
    """Return the weights of the `Mixture` under which a text is most probable, by EM.

    Expectation: r_k(t), the probability that model k gave token t. Maximisation: the weight of k
    is the mean of r_k. No step lowers the likelihood, which is concave in the weights.

    Args:
        log_probs: log p_k(token t), nats, shape (models, tokens), both at least 1.
        steps: at most so many.
        tolerance: stop when a step gained less than this, nats per token.

    Returns:
        float64, shape (models,), sum 1.

    Raises:
        ValueError: the wrong shape, NaN, or a token that all models give probability 0.
    """
    log_probs = _checked(log_probs, ndim=2)
    shift = log_probs.max(axis=0)
    if not np.isfinite(shift).all():
        raise ValueError(f"token {np.argmin(np.isfinite(shift))} has probability 0 in all models")
    p = np.exp(log_probs - shift)
    weights, before = np.full(len(p), 1 / len(p)), -np.inf
    for _ in range(steps):
        mixed = weights @ p
        if (now := np.log(mixed).mean()) - before < tolerance:
            break
        weights, before = weights * (p / mixed).mean(axis=1), now
    return weights / weights.sum()


def log_linear_weights(
    log_probs: ArrayLike, targets: ArrayLike, *, start: ArrayLike | None = None
) -> np.ndarray:
    """Return the weights of the `LogLinear` mixture under which a text is most probable.

    The mean of -log p is convex in the weights: a logistic regression whose features are the
    models' log-probabilities. It is minimised by L-BFGS-B with its gradient, the difference of
    log p_k(target) and its mean under the mixture.

    Args:
        log_probs: log p_k(w), nats, finite, shape (models, tokens, vocab).
        targets: ints, shape (tokens,): what came.
        start: weights to start from; None: equal ones of sum 1.

    Returns:
        float64, shape (models,), at least 0.

    Raises:
        ValueError: shapes that do not fit, or a log-probability that is not finite.
    """
    features = _checked(log_probs, ndim=3)
    targets = np.asarray(targets)
    if targets.shape != features.shape[1:2]:
        raise ValueError(f"{features.shape[1]} tokens need as many targets; got {targets.shape}")
    if not np.isfinite(features).all():
        raise ValueError("a log-linear mixture is fitted on finite log-probabilities; got -inf")
    start = np.full(len(features), 1 / len(features)) if start is None else np.asarray(start)
    rows = np.arange(len(targets))
    chosen = features[:, rows, targets]  # (models, tokens)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(weights, features, axes=1)
        value = -log_softmax(logits, axis=-1)[rows, targets].mean()
        mean = np.einsum("ktv,tv->kt", features, softmax(logits, axis=-1), optimize=True)
        return value, (mean - chosen).mean(axis=1)

    bounds = [(0, None)] * len(features)
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x


def _checked(log_probs: ArrayLike, ndim: int) -> np.ndarray:
    log_probs = np.asarray(log_probs, np.float64)
    if log_probs.ndim != ndim or not log_probs.size:
        raise ValueError(f"log_probs must have {ndim} axes, none empty; got {log_probs.shape}")
    if np.isnan(log_probs).any():
        raise ValueError("log_probs hold NaN")
    return log_probs
