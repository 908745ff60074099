"""Gradient descent as this book does it: Adam or Muon, a warm-up, a cosine, a clipped gradient."""

from __future__ import annotations

import keras


def warmup_cosine(
    peak: float, steps: int, *, warmup: int | None = None, final: float = 0.1
) -> keras.optimizers.schedules.CosineDecay:
    """Return a learning rate that rises linearly and then falls as half a cosine.

    Args:
        peak: the highest learning rate, reached after `warmup` steps.
        steps: training steps in all.
        warmup: steps of the rise; None: a twentieth of `steps`, at most 100.
        final: the last learning rate, as a share of the peak.

    Raises:
        ValueError: if the peak is not positive, `final` not in [0, 1], or the warm-up not
            shorter than the run.
    """
    warmup = min(100, steps // 20) if warmup is None else warmup
    if not 0 < peak < float("inf"):
        raise ValueError(f"the peak learning rate must be positive, got {peak}")
    if not 0 <= final <= 1:
        raise ValueError(f"final must be a share of the peak from 0 to 1, got {final}")
    if not 0 <= warmup < steps:
        raise ValueError(
            f"the warm-up must take from 0 to {steps - 1} of {steps} steps, got {warmup}"
        )
    if warmup == 0:
        return keras.optimizers.schedules.CosineDecay(peak, steps, alpha=final)
    return keras.optimizers.schedules.CosineDecay(
        peak / warmup,
        steps - warmup,
        alpha=final,
        warmup_target=peak,
        warmup_steps=warmup,
    )


def adam(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    *,
    weight_decay: float | None = None,
    clip: float = 1.0,
) -> keras.optimizers.Optimizer:
    """Return Adam as this book uses it: betas 0.9 and 0.99, gradients clipped by global norm.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: AdamW's decoupled decay, of matrices and not of biases and gains; None:
            plain Adam.
        clip: the longest gradient.
    """
    optimizer = keras.optimizers.Adam(
        learning_rate, beta_1=0.9, beta_2=0.99, global_clipnorm=clip, weight_decay=weight_decay
    )
    if weight_decay is not None:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def muon(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    *,
    weight_decay: float = 0.0,
    clip: float = 1.0,
) -> keras.optimizers.Optimizer:
    """Return Muon as this book uses it: matrices move by orthogonal steps, the rest by Adam.

    Its steps have the size of Adam's, so that a learning rate means the same for both.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: decoupled decay of the matrices.
        clip: the longest gradient.

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the
    size of the steps from J. Liu et al., "Muon is scalable for LLM training", 2025.
    """
    return keras.optimizers.Muon(
        learning_rate,
        adam_beta_1=0.9,
        adam_beta_2=0.99,
        adam_weight_decay=0.0,
        weight_decay=weight_decay,
        rms_rate=0.2,
        global_clipnorm=clip,
    )
