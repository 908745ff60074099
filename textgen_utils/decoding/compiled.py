"""Sampling as one compiled program: the loop of `decoding.generate` without its host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.decoding.filters import pipeline
from textgen_utils.decoding.sampling import check_count, check_stop, checked_prompts
from textgen_utils.models.base import TensorModel
from textgen_utils.models.compiled import Compiled

Tensor = Any


class CompiledSampler:
    """Continues prompts as `decoding.generate` does, many times faster.

    The prompt is read in one pass, then all tokens are drawn in one loop, compiled with XLA on
    every backend. The first call for a length of prompts takes seconds, since it compiles; lengths
    are rounded up to powers of two, so that these are few. Make it once, call it often: it sees
    the weights that the model has at each call.

    Tokens are chosen by the same numbers of the same generator as in `generate`. Only rounding
    differs, single precision here and double there, so that the same seed gives the same tokens
    but for about one in a million.

    Args:
        model: with the functions of `models.base.TensorModel`, such as `GPT` or
            `LSTMLanguageModel`.
        length: tokens to generate, at most.
        batch_size: the number of texts a call.
        temperature, top_k, nucleus, greedy, stop: see `generate`.

    Raises:
        ValueError: if the model has no such functions, an argument is out of range, or filters
            are combined with `greedy`.
    """

    def __init__(
        self,
        model: TensorModel,
        length: int,
        *,
        batch_size: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        nucleus: float | None = None,
        greedy: bool = False,
        stop: int | None = None,
    ) -> None:
        check_tensor_model(model, "decoding.generate")
        check_count(length, "length")
        check_count(batch_size, "batch_size")
        check_stop(stop, model.vocab_size)
        checked_prompts(model, [], batch_size, length)
        self.model = model
        self.length = length
        self.batch_size = batch_size
        self._filters = pipeline(model.vocab_size, temperature, top_k, nucleus, greedy)
        self._greedy = greedy
        self._stop = stop
        self._programs: dict[int, Compiled] = {}

    def __call__(self, prompt_ids: ArrayLike, *, seed: int) -> np.ndarray:
        """Continue a prompt.

        Args:
            prompt_ids: ints, shape (time,) for one prompt, may be empty; or (batch_size, time).
            seed: chooses the tokens.

        Returns:
            int32, shape (batch_size, n), as from `generate`.

        Raises:
            ValueError: as `generate`.
        """
        prompts = checked_prompts(self.model, prompt_ids, self.batch_size, self.length)
        count = 1 + prompts.shape[1]
        limit = self.model.max_context
        time = min(power_of_two(count), limit or np.inf)
        size = min(time + self.length, limit or np.inf)
        read = np.full((self.batch_size, time), self.model.boundary, np.int32)
        read[:, 1:count] = prompts
        levels = uniform(seed, (self.length, self.batch_size))
        if time not in self._programs:
            self._programs[time] = Compiled(self.model, self._sample(size), xla=True)
        ids = self._programs[time](read, np.int32(count), levels)
        return ids[:, : self._written(ids)]

    def _sample(self, size: int) -> Callable[..., Tensor]:
        """Return the whole loop as a function of tensors: what is read, and uniform numbers."""

        def sample(read: Tensor, count: Tensor, levels: Tensor) -> Tensor:
            logits, state = self.model.read(read, count, self.model.begin(self.batch_size, size))
            ended = ops.zeros((self.batch_size,), "bool")
            ids = ops.zeros((self.length, self.batch_size), "int32") + (self._stop or 0)
            first = self._write(ops.zeros((), "int32"), logits, levels, ids, ended)
            return ops.transpose(ops.while_loop(going_on, body, (*first, state, levels))[2])

        def going_on(t: Tensor, tokens: Tensor, ids: Tensor, ended: Tensor, *_: Tensor) -> Tensor:
            return ops.logical_and(t < self.length, ops.logical_not(ops.all(ended)))

        def body(
            t: Tensor, tokens: Tensor, ids: Tensor, ended: Tensor, state: Any, levels: Tensor
        ) -> tuple:
            logits, state = self.model.advance(tokens, state)
            return *self._write(t, logits, levels, ids, ended), state, levels

        return sample

    def _write(
        self, t: Tensor, logits: Tensor, levels: Tensor, ids: Tensor, ended: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Choose token t of each text; return t + 1, the tokens, all tokens, and who has ended."""
        log_probs = ops.log_softmax(ops.cast(logits, "float32"))
        for function, value in self._filters:
            log_probs = function(log_probs, value)
        if self._greedy:
            tokens = ops.cast(ops.argmax(log_probs, axis=-1), "int32")
        else:
            tokens = draw(log_probs, ops.take(levels, t, axis=0))
        if self._stop is not None:
            tokens = ops.where(ended, self._stop, tokens)
            ended = ops.logical_or(ended, ops.equal(tokens, self._stop))
        return t + 1, tokens, ops.slice_update(ids, (t, 0), tokens[None]), ended

    def _written(self, ids: np.ndarray) -> int:
        """Return the number of tokens after which all texts have ended."""
        if self._stop is None:
            return self.length
        ends = ids == self._stop
        return int(np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, self.length).max())


def draw(log_probs: Tensor, levels: Tensor) -> Tensor:
    """Draw one token a row: the first possible one whose cumulative probability exceeds a level.

    Args:
        log_probs: float32, (batch, vocab), nats.
        levels: float32, (batch,), in [0, 1): shares of the sum of all probabilities.

    Returns:
        int32, (batch,).
    """
    probs = ops.exp(log_probs)
    # A sum in parallel may round up where nothing is added, so that only what is possible counts.
    cumulative = ops.where(probs > 0, ops.cumsum(probs, axis=-1), 0)
    levels = levels[:, None] * ops.max(cumulative, axis=-1, keepdims=True)
    return ops.cast(ops.argmax(ops.cast(cumulative > levels, "int32"), axis=-1), "int32")


def uniform(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return the numbers that `generate` draws, rounded to float32 below 1."""
    numbers = np.random.default_rng(seed).random(shape).astype(np.float32)
    return np.minimum(numbers, np.nextafter(np.float32(1), np.float32(0)))


def power_of_two(n: int) -> int:
    """Return the lowest power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def check_tensor_model(model: Any, instead: str) -> None:
    """Raise ValueError unless the model has functions of tensors; say what to use instead."""
    if not isinstance(model, TensorModel):
        raise ValueError(
            f"a compiled loop needs a model with begin, read and advance of tensors, such as GPT "
            f"or LSTMLanguageModel; got {type(model).__name__}: use {instead}"
        )
