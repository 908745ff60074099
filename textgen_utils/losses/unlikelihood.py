"""Unlikelihood: what was just said is made less probable."""

from __future__ import annotations

from typing import Any

from keras import ops

from textgen_utils.losses.likelihood import log_likelihood, masked_mean

Tensor = Any
NOTHING = -1e30  # a logit of no probability that gradients survive


def unlikelihood(
    targets: Tensor, logits: Tensor, mask: Tensor | None = None, *, weight: float = 1.0
) -> Tensor:
    """Return the cross-entropy and `weight` times the sum of -log(1 - p(c)) over candidates c.

    The candidates of a position are the tokens that were targets earlier in its row, except its
    own target. Padding, where the mask is 0, makes no candidates.

    Args:
        targets: ints, shape (batch, time).
        logits: floats, shape (batch, time, vocab).
        mask: shape (batch, time), true or 1 where a position counts; None: all count.
        weight: at least 0; 0 is the cross-entropy.

    Returns:
        a scalar, nats, the mean over positions.

    Raises:
        ValueError: if `targets` have no time axis or `weight` is negative or not finite.

    Source: S. Welleck et al., "Neural text generation with unlikelihood training", 2020.
    """
    if not 0 <= weight < float("inf"):
        raise ValueError(f"weight must be a number of at least 0, got {weight}")
    if len(ops.shape(targets)) != 2:
        raise ValueError(f"targets must be (batch, time), got {len(ops.shape(targets))} axes")
    candidates = ops.cast(_candidates(targets, ops.shape(logits)[-1], mask), "float32")
    against = -ops.sum(candidates * log_complement(logits), axis=-1)
    return masked_mean(weight * against - log_likelihood(targets, logits), mask)


def log_complement(logits: Tensor) -> Tensor:
    """Return log(1 - p) of every token, exact also where p is nearly 1; floats, (..., vocab)."""
    log_p = ops.log_softmax(ops.convert_to_tensor(logits), axis=-1)
    # Only the most probable token can be near 1, where 1 - p would lose its digits.
    top = ops.one_hot(ops.argmax(log_p, axis=-1), ops.shape(log_p)[-1], dtype="bool")
    others = ops.logsumexp(ops.where(top, NOTHING, log_p), axis=-1, keepdims=True)
    return ops.where(top, others, ops.log1p(-ops.exp(ops.where(top, NOTHING, log_p))))


def _candidates(targets: Tensor, vocab: int, mask: Tensor | None) -> Tensor:
    """True where a token was a target earlier in the row and is not now, (batch, time, vocab)."""
    now = ops.one_hot(ops.cast(targets, "int32"), vocab, dtype="int32")
    said = now if mask is None else now * ops.expand_dims(ops.cast(mask, "int32"), -1)
    earlier = ops.cumsum(said, axis=1) - said
    return ops.logical_and(ops.greater(earlier, 0), ops.equal(now, 0))
