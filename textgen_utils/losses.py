"""What is minimised: readable references, in nats, on any backend.

All take integer targets and unnormalised logits, and average over the positions that count.
"""

from __future__ import annotations

from typing import Any

from keras import ops

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


def squared_error(targets: Tensor, logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean squared distance of the probabilities from the one-hot target.

    This is Brier's score: 0 for certainty that is right, 2 for certainty that is wrong. Unlike
    the cross-entropy it is bounded, and its gradient vanishes at both ends.

    Args:
        targets: ints, shape (...).
        logits: floats, shape (..., vocab).
        mask: shape (...), true or 1 where a position counts; None: all count.

    Returns:
        a scalar.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    probabilities = ops.softmax(ops.convert_to_tensor(logits), axis=-1)
    truth = ops.one_hot(ops.cast(targets, "int32"), ops.shape(probabilities)[-1])
    truth = ops.cast(truth, probabilities.dtype)
    return masked_mean(ops.sum(ops.square(probabilities - truth), axis=-1), mask)


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
