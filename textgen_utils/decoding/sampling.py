"""The loop that samples text from any language model."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.decoding.filters import pipeline
from textgen_utils.models.base import LanguageModel, check_ids, to_numpy

Tensor = Any


def generate(
    model: LanguageModel,
    prompt_ids: ArrayLike,
    length: int,
    *,
    batch_size: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleus: float | None = None,
    greedy: bool = False,
    stop: int | None = None,
    seed: int,
) -> np.ndarray:
    """Continue a prompt token by token.

    The filters are applied in this order: temperature, top-k, nucleus. Tokens are drawn on the
    host, by inverting the cumulative distribution at one uniform number a row and step, so that
    a seed means the same on every backend.

    Args:
        model: any language model. It reads its boundary first, then the prompt.
        prompt_ids: ints, shape (time,) for one prompt, may be empty; or (batch, time).
        length: tokens to generate, at most.
        batch_size: how many continuations of one prompt; None: 1, or one a row of `prompt_ids`.
        temperature: see the function of this name.
        top_k: see the function of this name; None: all tokens.
        nucleus: see the function of this name; None: all tokens.
        greedy: take the most probable token, among equals the lower id, and draw nothing.
        stop: a token that ends a row, such as the boundary.
        seed: chooses the tokens.

    Returns:
        int32, shape (batch, n), without the prompt. n is `length`, or less when all rows have
        stopped. A row that has stopped goes on with `stop`, so its text ends at the first one.

    Raises:
        ValueError: if an argument is out of range, filters are combined with `greedy`, or the
            model cannot read the prompt and `length` - 1 tokens more.
    """
    check_count(length, "length")
    check_stop(stop, model.vocab_size)
    chosen = pipeline(model.vocab_size, temperature, top_k, nucleus, greedy)
    prompts = checked_prompts(model, prompt_ids, batch_size, length)
    rng = np.random.default_rng(seed)
    log_probs, state = _read(model, prompts)
    ended = np.zeros(len(prompts), bool)
    generated: list[np.ndarray] = []
    while True:
        log_probs = to_numpy(log_probs)
        for function, value in chosen:
            log_probs = function(log_probs, value)
        tokens = log_probs.argmax(axis=-1) if greedy else _draw(log_probs, rng)
        if stop is not None:
            tokens = np.where(ended, stop, tokens)
            ended |= tokens == stop
        generated.append(tokens.astype(np.int32))
        if len(generated) == length or ended.all():
            return np.stack(generated, axis=1)
        log_probs, state = model.step(generated[-1], state)


def checked_prompts(
    model: LanguageModel, prompt_ids: ArrayLike, batch_size: int | None, length: int
) -> np.ndarray:
    """Return the prompts, checked, int32, shape (batch, time)."""
    ndim = 2 if np.ndim(prompt_ids) == 2 else 1
    prompts = check_ids(prompt_ids, model.vocab_size, ndim=ndim)
    if batch_size is not None:
        check_count(batch_size, "batch_size")
    if prompts.ndim == 1:
        prompts = np.repeat(prompts[None], batch_size or 1, axis=0)
    elif batch_size not in (None, len(prompts)):
        raise ValueError(f"got {len(prompts)} prompts for batch_size={batch_size}")
    needed = prompts.shape[1] + length
    if model.max_context is not None and needed > model.max_context:
        raise ValueError(
            f"the model reads at most {model.max_context} tokens, but the boundary, a prompt of "
            f"{prompts.shape[1]} and {length} new tokens need {needed}; shorten one of them"
        )
    return prompts


def _read(model: LanguageModel, prompts: np.ndarray) -> tuple[Tensor, Any]:
    """Feed the boundary and the prompts; return the first prediction and the state."""
    boundary = np.full(len(prompts), model.boundary, np.int32)
    log_probs, state = model.step(boundary, model.initial_state(len(prompts)))
    for tokens in prompts.T:
        log_probs, state = model.step(np.ascontiguousarray(tokens), state)
    return log_probs, state


def _draw(log_probs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One token a row: the first whose cumulative probability exceeds a uniform number."""
    cumulative = np.cumsum(np.exp(log_probs), axis=-1)
    level = rng.random((len(log_probs), 1)) * cumulative[:, -1:]
    return (cumulative <= level).sum(axis=-1)


def check_count(number: int, name: str) -> None:
    """Raise ValueError unless `number` is an integer of at least 1."""
    if not isinstance(number, Integral):
        raise ValueError(f"{name} must be an integer, got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")


def check_stop(stop: int | None, vocab_size: int) -> None:
    """Raise ValueError unless `stop` is None or one of the tokens."""
    if stop is not None and not (isinstance(stop, Integral) and 0 <= stop < vocab_size):
        raise ValueError(f"stop must be one of {vocab_size} tokens, got {stop}")
