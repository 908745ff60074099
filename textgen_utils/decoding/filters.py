"""Filters of a distribution over the next token.

They take and return log-probabilities of shape (..., vocab), in nats and normalised. Tensors of a
backend stay tensors, so that a filter can be compiled; NumPy arrays stay NumPy arrays, which is
several times faster for one token at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

Tensor = Any


def temperature(log_probs: Tensor, t: float) -> Tensor:
    """Raise the probabilities to the power 1/t and renormalise.

    Below 1 the distribution grows sharper, above 1 flatter; at 1 nothing changes.

    Args:
        log_probs: floats, shape (..., vocab), nats.
        t: positive and finite.

    Returns:
        log-probabilities, same shape.

    Raises:
        ValueError: if `t` is not positive and finite. The limit at 0 is ``greedy=True``.
    """
    _check_temperature(t)
    return _normalise(log_probs / t)


def top_k(log_probs: Tensor, k: int) -> Tensor:
    """Keep the k most probable tokens and renormalise.

    Among equals the token with the lower id is kept.

    Args:
        log_probs: floats, shape (..., vocab), nats.
        k: from 1 to vocab.

    Returns:
        log-probabilities, same shape; minus infinity for what was not kept.

    Raises:
        ValueError: if `k` is not an integer from 1 to vocab.
    """
    _check_top_k(k, log_probs.shape[-1])
    if isinstance(log_probs, np.ndarray):
        return _keep(log_probs, _sorted(log_probs)[1] < k)
    return _keep(log_probs, _smallest_set(log_probs, ops.ones_like(log_probs), k))


def nucleus(log_probs: Tensor, p: float) -> Tensor:
    """Keep the smallest set of tokens whose probability is at least p, and renormalise.

    Tokens enter in order of falling probability, among equals the lower id first, until the sum
    reaches p; the token that makes it reach p is in.

    Args:
        log_probs: floats, shape (..., vocab), nats.
        p: above 0 and at most 1; 1 keeps all.

    Returns:
        log-probabilities, same shape; minus infinity for what was not kept.

    Raises:
        ValueError: if `p` is not in (0, 1].

    Source: A. Holtzman et al., "The curious case of neural text degeneration", 2020.
    """
    _check_nucleus(p)
    if p == 1:  # rounding could make the sum reach 1 too early
        return _normalise(log_probs)
    if not isinstance(log_probs, np.ndarray):
        return _keep(log_probs, _smallest_set(log_probs, ops.exp(log_probs), p))
    order, ranks = _sorted(log_probs)
    probs = np.take_along_axis(np.exp(log_probs), order, axis=-1)
    before = np.cumsum(probs, axis=-1) - probs
    return _keep(log_probs, np.take_along_axis(before < p, ranks, axis=-1))


def pipeline(
    vocab_size: int, t: float, k: int | None, p: float | None, greedy: bool
) -> list[tuple[Any, float]]:
    """Check the filters' settings before any work and return those that change something."""
    if greedy and (t != 1.0 or k is not None or p is not None):
        raise ValueError("greedy=True takes the most probable token: leave the filters out")
    _check_temperature(t)
    pipeline: list[tuple[Any, float]] = [] if t == 1.0 else [(temperature, t)]
    if k is not None:
        _check_top_k(k, vocab_size)
        pipeline.append((top_k, k))
    if p is not None:
        _check_nucleus(p)
        pipeline.append((nucleus, p))
    return pipeline


def _sorted(log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids by falling probability (stable), and the rank of each id in that order."""
    order = np.argsort(-log_probs, axis=-1, kind="stable")
    return order, np.argsort(order, axis=-1)


def _smallest_set(log_probs: Tensor, weights: Tensor, target: float) -> Tensor:
    """Return which tokens, by falling probability, make a set whose weights reach the target.

    Sorting is slow in a compiled program. So the bits of the last token's -log p are found one
    after the other: read as integers, floats of one sign stand in the same order.
    """
    cost = ops.view(ops.maximum(-ops.cast(log_probs, "float32"), 0.0) + 0.0, "int32")

    def lower_bit(i: Tensor, last: Tensor) -> Tensor:
        higher = last + ops.left_shift(ops.ones((), "int32"), 30 - i)
        return ops.where(_sum(ops.where(cost < higher, weights, 0)) < target, higher, last)

    last = ops.fori_loop(0, 31, lower_bit, ops.zeros_like(cost[..., :1]))
    equal = ops.where(cost == last, weights, 0)
    before = _sum(ops.where(cost < last, weights, 0)) + ops.cumsum(equal, axis=-1) - equal
    return (cost < last) | ((cost == last) & (before < target))


def _sum(weights: Tensor) -> Tensor:
    return ops.sum(weights, axis=-1, keepdims=True)


def _keep(log_probs: Tensor, kept: Tensor) -> Tensor:
    return _normalise(_namespace(log_probs).where(kept, log_probs, -float("inf")))


def _normalise(log_probs: Tensor) -> Tensor:
    xp = _namespace(log_probs)
    shifted = log_probs - xp.max(log_probs, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def _namespace(array: Tensor) -> Any:
    return np if isinstance(array, np.ndarray) else ops


def _check_temperature(t: float) -> None:
    if not 0 < t < float("inf"):
        raise ValueError(
            f"the temperature must be positive and finite, got {t}; "
            "for its limit at 0, the most probable token, use greedy=True"
        )


def _check_top_k(k: int, vocab_size: int) -> None:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= vocab_size:
        raise ValueError(
            f"top_k must be an integer from 1 to {vocab_size}, the vocabulary, got {k}"
        )


def _check_nucleus(p: float) -> None:
    if not 0 < p <= 1:
        raise ValueError(f"the nucleus must hold a probability in (0, 1], got {p}")
