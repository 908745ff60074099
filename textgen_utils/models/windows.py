"""A long text as overlapping windows of one length, for models that read no more at a time."""

from __future__ import annotations

import numpy as np


def windows(ids: np.ndarray, window: int, stride: int, padding: int) -> np.ndarray:
    """Windows `stride` apart that cover the text, shape (count, window); the last is padded."""
    count = 1 + -(-(len(ids) - window) // stride)
    padded = np.full(window + (count - 1) * stride, padding, dtype=ids.dtype)
    padded[: len(ids)] = ids
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::stride]


def filled(rows: np.ndarray, batch_size: int) -> np.ndarray:
    """Repeat the first row until there are `batch_size`: a new shape would compile anew."""
    return np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows), axis=0)])
