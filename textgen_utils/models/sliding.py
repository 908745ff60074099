"""A language model with a limited context as one without: its window slides along the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.models.base import LanguageModel, check_ids, to_numpy
from textgen_utils.models.distributions import distributions
from textgen_utils.models.windows import filled, windows

State = tuple[Any, np.ndarray]


class Sliding:
    """Reads texts of any length with a model that reads at most `max_context` tokens.

    When the model is full it begins anew: it reads the boundary and the last `context` tokens
    again, and goes on. So each token is predicted from at least `context` tokens on its left
    where the text has them, which is the convention of `evaluation.token_log_probs`.

    Args:
        model: a language model with a limit.
        context: tokens that are read again, from 1 to `max_context` - 1; None: half the limit.
        batch_size: windows a call of the model when a text is scored.

    Attributes:
        vocab_size, boundary: the model's.
        max_context: None.

    Raises:
        ValueError: a model without a limit, or an argument out of range.
    """

    max_context = None

    def __init__(
        self, model: LanguageModel, *, context: int | None = None, batch_size: int = 32
    ) -> None:
        if model.max_context is None:
            raise ValueError(f"{model!r} reads texts of any length already")
        context = model.max_context // 2 if context is None else context
        if not 1 <= context < model.max_context:
            raise ValueError(f"context must lie in [1, {model.max_context}); got {context}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}")
        self.model = model
        self.vocab_size = model.vocab_size
        self.boundary = model.boundary
        self.context = context
        self.batch_size = batch_size
        self._stride = model.max_context - context

    def __repr__(self) -> str:
        return f"Sliding({self.model!r}, context={self.context})"

    def initial_state(self, batch_size: int) -> State:
        """Nothing was read: the model's state, and the tokens that it has read, (batch, n)."""
        return self.model.initial_state(batch_size), np.zeros((batch_size, 0), np.int32)

    def step(self, tokens: ArrayLike, state: State) -> tuple[Any, State]:
        """Read one token of each text: see `models.base.LanguageModel`."""
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        inner, read = state
        if read.shape[1] == self.model.max_context:
            inner, read = self._begin_anew(read)
        log_probs, inner = self.model.step(tokens, inner)
        return log_probs, (inner, np.concatenate([read, tokens[:, None]], axis=1))

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        return self._in_windows(ids, lambda rows: to_numpy(self.model.score(rows)))

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token at every position: see `models.distributions`."""
        return self._in_windows(ids, lambda rows: distributions(self.model, rows))

    def _begin_anew(self, read: np.ndarray) -> State:
        """Read the boundary and the last `context` - 1 tokens; the next one makes `context`."""
        boundary = np.full((len(read), 1), self.boundary, np.int32)
        again = np.concatenate([boundary, read[:, 1:][:, self._stride :]], axis=1)
        inner = self.model.initial_state(len(read))
        for tokens in again.T:
            _, inner = self.model.step(np.ascontiguousarray(tokens), inner)
        return inner, again

    def _in_windows(self, ids: ArrayLike, predict: Callable[[np.ndarray], np.ndarray]) -> Any:
        """Predict in windows of the limit's length and keep the last `_stride` of each."""
        ids = check_ids(ids, self.vocab_size, ndim=2)
        if ids.shape[1] <= self.model.max_context:
            return predict(ids)
        return np.stack([self._one_text(row, predict) for row in ids])

    def _one_text(self, ids: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]) -> Any:
        rows = windows(ids, self.model.max_context, self._stride, self.boundary)
        parts = [
            predict(filled(rows[i : i + self.batch_size], self.batch_size))
            for i in range(0, len(rows), self.batch_size)
        ]
        predicted = np.concatenate(parts)[: len(rows)]
        kept = predicted[1:, self.context :].reshape(-1, *predicted.shape[2:])
        return np.concatenate([predicted[0], kept])[: len(ids)]
