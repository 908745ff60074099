"""Distances of the probabilities from the one-hot target: squared and absolute error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from textgen_utils.losses.checks import check_weights
from textgen_utils.losses.likelihood import masked_mean

Tensor = Any


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
    probabilities, truth = _pair(targets, logits)
    return masked_mean(ops.sum(ops.square(probabilities - truth), axis=-1), mask)


def absolute_error(
    targets: Tensor,
    logits: Tensor,
    mask: Tensor | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Return the mean over positions of ``sum_k w_k |p_k - y_k|``, y the one-hot target.

    Without weights it is 2 (1 - p(target)), and its gradient that of the cross-entropy times
    2 p(target): what is believed impossible is never learned. In expectation the loss is least
    where all probability is on one token, the one with the least w_k (1 - 2 p_k), p the truth.
    So probability on a token of weight 0 costs nothing, and where no other token is more probable
    than not, all of it goes there.

    Args:
        targets: ints, shape (...).
        logits: floats, shape (..., vocab).
        mask: shape (...), true or 1 where a position counts; None: all count.
        weights: one for each token, finite and at least 0, not all 0; None: all 1.

    Returns:
        a scalar.

    Raises:
        ValueError: if the weights are not such.
    """
    probabilities, truth = _pair(targets, logits)
    distance = ops.abs(probabilities - truth)
    if weights is not None:
        weights = check_weights(weights, logits)
        distance = distance * ops.convert_to_tensor(weights, distance.dtype)
    return masked_mean(ops.sum(distance, axis=-1), mask)


def _pair(targets: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted probabilities and one-hot targets, both (..., vocab)."""
    probabilities = ops.softmax(ops.convert_to_tensor(logits), axis=-1)
    truth = ops.one_hot(ops.cast(targets, "int32"), ops.shape(probabilities)[-1])
    return probabilities, ops.cast(truth, probabilities.dtype)
