"""Text from any language model: filters of its distribution, and the loop that samples.

The filters take and return log-probabilities of shape (..., vocab), in nats and normalised.
Tensors of a backend stay tensors, so that a filter can be compiled; NumPy arrays stay NumPy
arrays, which is several times faster for one token at a time.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import LanguageModel, check_ids, to_numpy

Tensor = Any


def temperature(log_probs: Tensor, t: float) -> Tensor:
    """Raise the probabilities to the power 1/t and renormalise.

    Below 1 the distribution grows sharper, above 1 flatter; at 1 nothing changes.

    Args:
        log_probs: floats, shape (..., vocab), nats.
        t: positive and finite.

    Returns:
        log-probabilities, same shape.

    Raises:
        ValueError: if `t` is not positive and finite. The limit at 0 is ``greedy=True``.
    """
    _check_temperature(t)
    return _normalise(log_probs / t)


def top_k(log_probs: Tensor, k: int) -> Tensor:
    """Keep the k most probable tokens and renormalise.

    Among equals the token with the lower id is kept.

    Args:
        log_probs: floats, shape (..., vocab), nats.
        k: from 1 to vocab.

    Returns:
        log-probabilities, same shape; minus infinity for what was not kept.

    Raises:
        ValueError: if `k` is not an integer from 1 to vocab.
    """
    _check_top_k(k, log_probs.shape[-1])
    _, ranks = _sorted(log_probs)
    return _keep(log_probs, ranks < k)


def nucleus(log_probs: Tensor, p: float) -> Tensor:
    """Keep the smallest set of tokens whose probability is at least p, and renormalise.

    Tokens enter in order of falling probability, among equals the lower id first, until the sum
    reaches p; the token that makes it reach p is in.

    Args:
        log_probs: floats, shape (..., vocab), nats.
        p: above 0 and at most 1; 1 keeps all.

    Returns:
        log-probabilities, same shape; minus infinity for what was not kept.

    Raises:
        ValueError: if `p` is not in (0, 1].

    Source: A. Holtzman et al., "The curious case of neural text degeneration", 2020.
    """
    _check_nucleus(p)
    if p == 1:  # rounding could make the sum reach 1 too early
        return _normalise(log_probs)
    xp = _namespace(log_probs)
    order, ranks = _sorted(log_probs)
    probs = xp.take_along_axis(xp.exp(log_probs), order, axis=-1)
    before = xp.cumsum(probs, axis=-1) - probs
    return _keep(log_probs, xp.take_along_axis(before < p, ranks, axis=-1))


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
    _check_count(length, "length")
    if stop is not None and not (isinstance(stop, Integral) and 0 <= stop < model.vocab_size):
        raise ValueError(f"stop must be one of {model.vocab_size} tokens, got {stop}")
    pipeline = _filters(model.vocab_size, temperature, top_k, nucleus, greedy)
    prompts = _prompts(model, prompt_ids, batch_size, length)
    rng = np.random.default_rng(seed)
    log_probs, state = _read(model, prompts)
    ended = np.zeros(len(prompts), bool)
    generated: list[np.ndarray] = []
    while True:
        log_probs = to_numpy(log_probs)
        for function, value in pipeline:
            log_probs = function(log_probs, value)
        tokens = log_probs.argmax(axis=-1) if greedy else _draw(log_probs, rng)
        if stop is not None:
            tokens = np.where(ended, stop, tokens)
            ended |= tokens == stop
        generated.append(tokens.astype(np.int32))
        if len(generated) == length or ended.all():
            return np.stack(generated, axis=1)
        log_probs, state = model.step(generated[-1], state)


def _filters(
    vocab_size: int, t: float, k: int | None, p: float | None, greedy: bool
) -> list[tuple[Any, float]]:
    """Check the filters' settings before any work and return those that change something."""
    if greedy and (t != 1.0 or k is not None or p is not None):
        raise ValueError("greedy=True takes the most probable token: leave the filters out")
    _check_temperature(t)
    pipeline: list[tuple[Any, float]] = [] if t == 1.0 else [(temperature, t)]
    if k is not None:
        _check_top_k(k, vocab_size)
        pipeline.append((top_k, k))
    if p is not None:
        _check_nucleus(p)
        pipeline.append((nucleus, p))
    return pipeline


def _prompts(
    model: LanguageModel, prompt_ids: ArrayLike, batch_size: int | None, length: int
) -> np.ndarray:
    """Return the prompts, checked, int32, shape (batch, time)."""
    ndim = 2 if np.ndim(prompt_ids) == 2 else 1
    prompts = check_ids(prompt_ids, model.vocab_size, ndim=ndim)
    if batch_size is not None:
        _check_count(batch_size, "batch_size")
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


def _sorted(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ids by falling probability (stable), and the rank of each id in that order."""
    if isinstance(log_probs, np.ndarray):
        order = np.argsort(-log_probs, axis=-1, kind="stable")
        return order, np.argsort(order, axis=-1)
    order = ops.argsort(-log_probs, axis=-1)
    return order, ops.argsort(order, axis=-1)


def _keep(log_probs: Tensor, kept: Tensor) -> Tensor:
    return _normalise(_namespace(log_probs).where(kept, log_probs, -float("inf")))


def _normalise(log_probs: Tensor) -> Tensor:
    xp = _namespace(log_probs)
    shifted = log_probs - xp.max(log_probs, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def _namespace(array: Tensor) -> Any:
    return np if isinstance(array, np.ndarray) else ops


def _check_count(number: int, name: str) -> None:
    if not isinstance(number, Integral):
        raise ValueError(f"{name} must be an integer, got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")


def _check_temperature(t: float) -> None:
    if not 0 < t < float("inf"):
        raise ValueError(
            f"the temperature must be positive and finite, got {t}; "
            "for its limit at 0, the most probable token, use greedy=True"
        )


def _check_top_k(k: int, vocab_size: int) -> None:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= vocab_size:
        raise ValueError(
            f"top_k must be an integer from 1 to {vocab_size}, the vocabulary, got {k}"
        )


def _check_nucleus(p: float) -> None:
    if not 0 < p <= 1:
        raise ValueError(f"the nucleus must hold a probability in (0, 1], got {p}")
