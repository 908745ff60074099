"""The log-likelihood and the losses made of it: cross-entropy, weighted, smoothed, focal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from textgen_utils.losses.checks import check_share, check_weights

Tensor = Any
"""A tensor of the backend, or anything that `keras.ops` converts to one."""


def log_likelihood(targets: Tensor, logits: Tensor) -> Tensor:
    """Return log p(target) of every position.

    Args:
        targets: ints, shape (...).
        logits: floats, shape (..., vocab).

    Returns:
        floats, shape (...), nats: the target's logit minus the log of the sum of exponentials.
    """
    logits = ops.convert_to_tensor(logits)
    targets = ops.cast(targets, "int32")
    chosen = ops.take_along_axis(logits, ops.expand_dims(targets, -1), axis=-1)
    return ops.squeeze(chosen, -1) - ops.logsumexp(logits, axis=-1)


def cross_entropy(targets: Tensor, logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean of -log p(target), nats per position.

    Its gradient with respect to one position's logits is p - y, over the number of positions:
    the predicted probabilities minus the one-hot target.

    Args:
        targets: ints, shape (...).
        logits: floats, shape (..., vocab).
        mask: shape (...), true or 1 where a position counts; None: all count.

    Returns:
        a scalar, nats.
    """
    return masked_mean(-log_likelihood(targets, logits), mask)


def weighted_cross_entropy(
    targets: Tensor, logits: Tensor, mask: Tensor | None = None, *, weights: Sequence[float]
) -> Tensor:
    """Return the mean of -w(target) log p(target), nats per position.

    The mean is over the positions that count, whatever their weights. Its gradient is that of the
    cross-entropy times the target's weight, so a token of weight 0 is never pushed up, while every
    other target goes on pushing it down: it is unlearned, not left alone. In expectation the loss
    is least where p is the truth times the weights, rescaled to sum to one.

    Args:
        targets, logits, mask: see `cross_entropy`.
        weights: one for each token, finite and at least 0, not all 0.

    Returns:
        a scalar, nats.

    Raises:
        ValueError: if the weights are not such.
    """
    weights = check_weights(weights, logits)
    values = -log_likelihood(targets, logits)
    own = ops.take(ops.convert_to_tensor(weights, values.dtype), ops.cast(targets, "int32"))
    return masked_mean(own * values, mask)


def smoothed_cross_entropy(
    targets: Tensor, logits: Tensor, mask: Tensor | None = None, *, smoothing: float = 0.1
) -> Tensor:
    """Return the mean cross-entropy from a target that is softened, nats per position.

    The one-hot target y becomes (1 - smoothing) y + smoothing / vocab. In expectation the loss is
    least where p is the truth, softened likewise.

    Args:
        targets, logits, mask: see `cross_entropy`.
        smoothing: the share of the uniform distribution, in [0, 1).

    Returns:
        a scalar, nats.

    Raises:
        ValueError: if `smoothing` is out of range.

    Source: C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.
    """
    check_share("smoothing", smoothing)
    uniform = -ops.mean(ops.log_softmax(ops.convert_to_tensor(logits), axis=-1), axis=-1)
    values = -log_likelihood(targets, logits)
    return masked_mean((1 - smoothing) * values + smoothing * uniform, mask)


def focal(
    targets: Tensor, logits: Tensor, mask: Tensor | None = None, *, gamma: float = 2.0
) -> Tensor:
    """Return the mean of -(1 - p(target))^gamma log p(target).

    What is predicted well already counts less. In expectation the loss is least where p is not
    the truth: between two tokens it is flatter; `beliefs.focal_truth` leads back.

    Args:
        targets, logits, mask: see `cross_entropy`.
        gamma: at least 0; 0 is the cross-entropy.

    Returns:
        a scalar.

    Raises:
        ValueError: if `gamma` is negative or not finite.

    Source: T.-Y. Lin et al., "Focal loss for dense object detection", 2017.
    """
    if not 0 <= gamma < float("inf"):
        raise ValueError(f"gamma must be a number of at least 0, got {gamma}")
    log_p = log_likelihood(targets, logits)
    # A power below 1 has no derivative at 0.
    missing = ops.maximum(-ops.expm1(log_p), 1e-7)
    return masked_mean(-ops.power(missing, gamma) * log_p, mask)


def accuracy(targets: Tensor, logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the share of positions whose most probable token is the target.

    Args:
        targets: ints, shape (...).
        logits: floats, shape (..., vocab).
        mask: shape (...), true or 1 where a position counts; None: all count.

    Returns:
        a scalar from 0 to 1. Padding that the mask leaves in counts like any position.
    """
    hits = ops.equal(ops.argmax(logits, axis=-1), ops.cast(targets, "int32"))
    return masked_mean(ops.cast(hits, "float32"), mask)


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean of `values` where `mask` is true (everywhere if None); NaN if nowhere."""
    if mask is None:
        return ops.mean(values)
    mask = ops.cast(mask, values.dtype)
    return ops.sum(values * mask) / ops.sum(mask)
