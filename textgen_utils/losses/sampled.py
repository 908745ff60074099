"""Sampled softmax: the target against a few wrong tokens in place of the whole vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.losses.checks import check_values
from textgen_utils.losses.likelihood import masked_mean

Tensor = Any
NOTHING = -1e30


def sampled_softmax(
    targets: Tensor,
    logits: Tensor,
    mask: Tensor | None = None,
    *,
    proposal: Sequence[float],
    keep_hits: bool = True,
) -> Tensor:
    """Return the mean cross-entropy of the target among itself and drawn tokens.

    From every logit the logarithm of the number of times that its token is expected among the
    drawn ones is subtracted, so that frequent tokens, which are drawn more often, are not pushed
    down more. The value is that of an easier task than the prediction among all tokens. The gain
    is that no other logit is needed; this reference takes all of them.

    A drawn token may be the target itself. If such hits are kept, the expected loss is least where
    p is the truth, however few are drawn. Without them the loss with every token drawn once is
    the cross-entropy, but with few draws it is least where p favours the tokens drawn often.

    Args:
        targets: ints, shape (..., 1 + samples): the target, then tokens drawn from the proposal
            with replacement, such as those of `batches.negatives`.
        logits: floats, shape (..., vocab).
        mask: shape (...), true or 1 where a position counts; None: all count.
        proposal: the probability with which each token is drawn, shape (vocab,), above 0.
        keep_hits: whether drawn tokens that are the target count as wrong ones.

    Returns:
        a scalar, nats.

    Raises:
        ValueError: if nothing was drawn, or the proposal is not a distribution of the vocabulary.

    Source: S. Jean et al., "On using very large target vocabulary for neural machine
    translation", 2015, after Y. Bengio and J.-S. Senecal, "Adaptive importance sampling to
    accelerate training of a neural probabilistic language model", 2008; with hits kept, the
    ranking objective of Z. Ma and M. Collins, "Noise contrastive estimation and negative sampling
    for conditional models: consistency and statistical efficiency", 2018.
    """
    logits, targets = ops.convert_to_tensor(logits), ops.cast(targets, "int32")
    samples = targets.shape[-1] - 1
    if len(targets.shape) != len(logits.shape) or samples < 1:
        raise ValueError(
            "targets must have the axes of the logits, the last one with the target and at least "
            f"one drawn token; got {tuple(targets.shape)} for logits {tuple(logits.shape)}"
        )
    log_proposal = np.log(_check_proposal(proposal, logits.shape[-1]))
    log_counts = ops.convert_to_tensor(log_proposal + np.log(samples), logits.dtype)
    chosen = ops.take_along_axis(logits, targets, axis=-1) - ops.take(log_counts, targets)
    target, drawn = chosen[..., :1], chosen[..., 1:]
    if not keep_hits:
        drawn = ops.where(ops.equal(targets[..., 1:], targets[..., :1]), NOTHING, drawn)
    everything = ops.logsumexp(ops.concatenate([target, drawn], axis=-1), axis=-1)
    return masked_mean(everything - target[..., 0], mask)


def log_uniform_proposal(vocab_size: int) -> np.ndarray:
    """Return probabilities proportional to log((k + 2) / (k + 1)), float64, (vocab_size,).

    About Zipf's law, for tokens that are numbered by falling frequency.

    Raises:
        ValueError: if there is no token.
    """
    if vocab_size < 1:
        raise ValueError(f"vocab_size must be at least 1, got {vocab_size}")
    k = np.arange(vocab_size)
    return np.log((k + 2) / (k + 1)) / np.log(vocab_size + 1)


def unigram_proposal(ids: ArrayLike, vocab_size: int, power: float = 1.0) -> np.ndarray:
    """Return the tokens' frequencies to a power, each token seen once more than it was.

    Args:
        ids: a text, ints in [0, vocab_size), shape (time,).
        vocab_size: the number of tokens.
        power: 1: as in the text; 0: uniform.

    Returns:
        float64, shape (vocab_size,), sums to one; no token has probability 0, since as a target
        it could not be corrected for.

    Raises:
        ValueError: if an id is out of range, or the power negative.
    """
    ids = np.asarray(ids)
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise ValueError(f"ids must lie in [0, {vocab_size}); got {ids.min()} to {ids.max()}")
    if power < 0:
        raise ValueError(f"power must be at least 0, got {power}")
    counts = (np.bincount(ids, minlength=vocab_size) + 1.0) ** power
    return counts / counts.sum()


def _check_proposal(proposal: Sequence[float], vocab_size: int) -> np.ndarray:
    proposal = np.asarray(proposal, np.float64)
    if proposal.shape != (vocab_size,):
        raise ValueError(f"the proposal must have {vocab_size} tokens; got {proposal.shape}")
    check_values(proposal)
    if not (proposal > 0).all() or abs(proposal.sum() - 1) > 1e-4:
        raise ValueError(
            "the proposal must sum to one and give every token some probability; got the sum "
            f"{proposal.sum():.4f} and the least {proposal.min():g}"
        )
    return proposal
