"""The convention of nanoGPT's training log: a mean over random windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.evaluation.likelihood import non_empty
from textgen_utils.models.base import LanguageModel, to_numpy
from textgen_utils.models.windows import filled


@dataclass(frozen=True)
class WindowLoss:
    """The result of `random_window_loss`: a mean over random windows, not over the text.

    Attributes:
        nats_per_token: mean over all positions of all windows, nats.
        standard_error: of that mean, from the spread between windows, nats.
        windows: how many windows.
        window: predictions a window; the t-th sees t tokens.
        convention: what was computed, in words.
    """

    nats_per_token: float
    standard_error: float
    windows: int
    window: int
    convention: str = "random windows, mean over all positions, 1 to `window` tokens of context"


def random_window_loss(
    model: LanguageModel,
    ids: ArrayLike,
    window: int,
    n: int,
    seed: int,
    *,
    batch_size: int = 64,
) -> WindowLoss:
    """The convention of nanoGPT's training log: most predictions see less than a full window.

    Windows start at random places of the text. The t-th prediction of a window is read off
    `step` after exactly the t tokens of the text before it; no boundary is put in front.

    Args:
        model: any language model.
        ids: the text, ints, shape (time,), longer than `window`.
        window: predictions a window, at most `model.max_context`.
        n: number of windows, at least 1.
        seed: chooses the windows.
        batch_size: windows a call of `step`; the last batch is filled up, so shapes are constant.

    Raises:
        ValueError: an argument out of range, or a text too short for one window.

    Source: nanoGPT, `train.py`, `estimate_loss`.
    """
    ids = non_empty(model, ids)
    if n < 1 or batch_size < 1:
        raise ValueError(f"n and batch_size must be at least 1; got {n} and {batch_size}")
    if not 1 <= window < len(ids):
        raise ValueError(f"window must lie in [1, {len(ids) - 1}] for this text; got {window}")
    if model.max_context is not None and window > model.max_context:
        raise ValueError(f"window must be at most max_context = {model.max_context}; got {window}")
    start = np.random.default_rng(seed).integers(len(ids) - window, size=n)
    rows = ids[start[:, None] + np.arange(window + 1)]
    batch_size = min(batch_size, n)
    loss = [
        _loss_by_steps(model, filled(rows[i : i + batch_size], batch_size))
        for i in range(0, n, batch_size)
    ]
    loss = np.concatenate(loss)[:n]
    error = float(loss.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return WindowLoss(float(loss.mean()), error, n, window)


def _loss_by_steps(model: LanguageModel, rows: np.ndarray) -> np.ndarray:
    """Mean -log p of columns 1, 2, ... given those before: (batch, window + 1) to (batch,)."""
    state = model.initial_state(len(rows))
    loss = np.zeros(len(rows))
    for t in range(rows.shape[1] - 1):
        log_probs, state = model.step(rows[:, t], state)
        loss -= to_numpy(log_probs)[np.arange(len(rows)), rows[:, t + 1]]
    return loss / (rows.shape[1] - 1)
