"""Any causal network from ids to logits, as a language model that recomputes its whole window."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_ids
from textgen_utils.models.compiled import Compiled, Scorer

State = tuple[np.ndarray, int]


class WindowedLanguageModel:
    """A causal network read as a language model, without a cache.

    Every `step` runs the network over all that it remembers, so it is slow and plainly right: the
    reference for cached decoding, and a way to evaluate networks that have no state of their own.
    When the window is full, the oldest token is forgotten.

    Attributes:
        vocab_size, boundary, max_context: as in `models.base.LanguageModel`.
    """

    def __init__(self, network: keras.Model, *, boundary: int, max_context: int) -> None:
        """Wrap a network.

        Args:
            network: ids, int (batch, time), to logits, float (batch, time, vocab). Logits at t
                may depend on ids[:, : t + 1] only.
            boundary: the id that is read before the first token.
            max_context: the most tokens that the network is given at a time, at least 1.

        Raises:
            ValueError: if `max_context` is less than 1 or the boundary is not in the vocabulary.
        """
        if max_context < 1:
            raise ValueError(f"max_context must be at least 1, got {max_context}")
        self.vocab_size = int(network(np.zeros((1, 1), "int32")).shape[-1])
        if not 0 <= boundary < self.vocab_size:
            raise ValueError(f"boundary must lie in [0, {self.vocab_size}), got {boundary}")
        self.network, self.boundary, self.max_context = network, boundary, max_context
        self._scorer = Scorer(network, boundary)
        self._log_probs = Compiled(network, lambda ids: ops.log_softmax(network(ids)))

    def initial_state(self, batch_size: int) -> State:
        """Nothing read yet: tokens (batch, max_context), filled from the left, and their number."""
        return np.full((batch_size, self.max_context), self.boundary, "int32"), 0

    def step(self, tokens: ArrayLike, state: State) -> tuple[np.ndarray, State]:
        """Read one token of each text; the shape of the computation never changes."""
        window, length = state
        if length == self.max_context:
            window, length = np.roll(window, -1, axis=1), length - 1
        window = window.copy()
        window[:, length] = check_ids(tokens, self.vocab_size, ndim=1)
        log_probs = self._log_probs(window)[:, length]
        return log_probs, (window, length + 1)

    def score(self, ids: ArrayLike) -> np.ndarray:
        """log p(ids[:, t] | boundary, ids[:, :t]), nats, shape (batch, time)."""
        ids = check_ids(ids, self.vocab_size, ndim=2)
        if ids.shape[1] > self.max_context:
            raise ValueError(
                f"score takes at most max_context = {self.max_context} tokens, got {ids.shape[1]}"
            )
        return self._scorer(ids)
