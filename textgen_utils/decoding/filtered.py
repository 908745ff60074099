"""What a model becomes when its predictions are filtered: a language model again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.decoding.filters import pipeline
from textgen_utils.models.base import LanguageModel, check_ids, to_numpy


class Filtered:
    """A language model with filters behind every prediction: what `generate` draws from.

    Decoding with a temperature, top-k or a nucleus is sampling from another model. As a model it
    can be evaluated: `score` is the exact log-probability with which a text is written, -inf where
    the filters forbid one of its tokens.

    Args:
        model: any language model.
        temperature, top_k, nucleus: see `decoding.generate`, which applies them in this order.
        greedy: all probability on the most probable token, among equals the lower id.

    Attributes:
        vocab_size, boundary, max_context: the model's.

    Raises:
        ValueError: as `decoding.generate`, for the filters.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        nucleus: float | None = None,
        greedy: bool = False,
    ) -> None:
        self.vocab_size = model.vocab_size
        self.boundary = model.boundary
        self.max_context = model.max_context
        chosen = pipeline(model.vocab_size, temperature, top_k, nucleus, greedy)
        self._filters = pipeline(model.vocab_size, 1.0, 1, None, False) if greedy else chosen
        self._model = model

    def initial_state(self, batch_size: int) -> Any:
        """Return the model's own initial state."""
        return self._model.initial_state(batch_size)

    def step(self, tokens: ArrayLike, state: Any) -> tuple[np.ndarray, Any]:
        """Read one token of each text: see `models.base.LanguageModel`."""
        log_probs, state = self._model.step(tokens, state)
        log_probs = to_numpy(log_probs)
        for function, value in self._filters:
            log_probs = function(log_probs, value)
        return log_probs, state

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token, step by step: a filter needs the whole distribution.

        After a token of probability 0 there is no prediction; the rest of that row is -inf, too.
        """
        ids = check_ids(ids, self.vocab_size, ndim=2)
        tokens, state = np.full(len(ids), self.boundary, np.int32), self.initial_state(len(ids))
        log_probs, possible = np.empty(ids.shape), np.full(len(ids), True)
        for t, following in enumerate(ids.T):
            with np.errstate(invalid="ignore"):
                predicted, state = self.step(tokens, state)
            log_probs[:, t] = predicted[np.arange(len(ids)), following]
            log_probs[~possible, t] = -np.inf
            possible &= log_probs[:, t] > -np.inf
            tokens = np.ascontiguousarray(following)
        return log_probs
