"""All of a model's predictions along a text, not only the probability of what came."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.models.base import LanguageModel, check_ids, to_numpy


def distributions(model: LanguageModel, ids: ArrayLike) -> np.ndarray:
    """Return log p(w | boundary, ids[:, :t]) of every token w at every position t.

    A model that has a method of this name is asked for all positions at once; any other one reads
    the text step by step.

    Args:
        model: any language model.
        ids: ints, shape (batch, time), time at most `model.max_context`.

    Returns:
        float64, nats, shape (batch, time, vocab_size). Its entry at ids[:, t] is what
        `model.score` gives.

    Raises:
        ValueError: the wrong number of axes, or an id out of range.
    """
    ids = check_ids(ids, model.vocab_size, ndim=2)
    if hasattr(model, "distributions"):
        return to_numpy(model.distributions(ids))
    log_probs = np.empty((*ids.shape, model.vocab_size))
    state = model.initial_state(len(ids))
    tokens = np.full(len(ids), model.boundary, np.int32)
    for t in range(ids.shape[1]):
        predicted, state = model.step(tokens, state)
        log_probs[:, t] = to_numpy(predicted)
        tokens = np.ascontiguousarray(ids[:, t])
    return log_probs


def of_tokens(log_probs: np.ndarray, ids: ArrayLike) -> np.ndarray:
    """Return log p of the tokens that came, (batch, time), from all predictions."""
    return np.take_along_axis(log_probs, np.asarray(ids)[..., None], axis=-1)[..., 0]
