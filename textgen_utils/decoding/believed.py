"""What a model becomes when every prediction is rewritten: a language model again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from textgen_utils.decoding.filtered import Filtered
from textgen_utils.models.base import LanguageModel, log


class Believed(Filtered):
    """A language model whose every prediction is put through a function of distributions.

    With a belief of `losses.beliefs` behind the truth it is the model that training under that
    loss tends to; with the way back behind a trained model it is that model, corrected.

    Args:
        model: any language model.
        rewrite: takes probabilities, float64, (batch, vocab), and returns the same. After a text
            that the model holds to be impossible, where it predicts nothing, it is given the
            uniform distribution.
    """

    def __init__(self, model: LanguageModel, rewrite: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__(model)
        self._filters = [(_rewritten, rewrite)]


def _rewritten(log_probs: np.ndarray, rewrite: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    p = np.exp(log_probs)
    nothing = ~(p.sum(axis=-1, keepdims=True) > 0.5)  # of NaN, too
    return log(rewrite(np.where(nothing, 1 / p.shape[-1], p)))
