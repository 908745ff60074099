"""What losses ask of their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_weights(weights: Sequence[float], logits: Any) -> np.ndarray:
    """Return the weights of the tokens as float32, (vocab,).

    Args:
        weights: one for each token.
        logits: floats, shape (..., vocab).

    Raises:
        ValueError: if their number is not `vocab`, or one is negative or not finite, or all are 0.
    """
    vocab = logits.shape[-1] if hasattr(logits, "shape") else np.shape(logits)[-1]
    weights = np.asarray(weights, np.float32)
    if weights.shape != (vocab,):
        raise ValueError(f"there must be {vocab} weights, one a token; got shape {weights.shape}")
    return check_values(weights)


def check_values(weights: np.ndarray) -> np.ndarray:
    """Return the weights, if they are finite, at least 0, and not all 0; else ValueError."""
    wrong = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
    if wrong.size:
        k = wrong[0]
        raise ValueError(f"weights must be finite and at least 0; token {k} has {weights[k]}")
    if not weights.any():
        raise ValueError("all weights are 0: such a loss is 0 whatever the model says")
    return weights


def check_share(name: str, value: float) -> None:
    """Raise ValueError for a share outside [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value}")
