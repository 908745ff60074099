"""How far is a model from the text, in nats: one convention for all models.

Every token of the text is scored once. A token is scored with at least `context` tokens on its
left where the text has them, and with all of the left text where it has fewer. Long texts are cut
into windows of context + stride tokens; only the last `stride` of each are kept, so the boundary
that `score` puts before a window touches nothing but its warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.information import perplexity, to_bits
from textgen_utils.models.base import LanguageModel, check_ids, to_numpy
from textgen_utils.models.windows import filled, windows


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`.

    Attributes:
        nats_per_token: mean of -log p, nats.
        bits_per_character: total of -log2 p over the number of characters, bits.
        perplexity: exp(nats_per_token).
        tokens: the number of tokens scored.
        characters: the number of characters they spell.
        context: the least number of tokens to the left that a token was given where the text has
            them; None: all of the left text, always.
        lines: whether that means the left text of the same line only.
    """

    nats_per_token: float
    bits_per_character: float
    perplexity: float
    tokens: int
    characters: int
    context: int | None
    lines: bool = False

    def __str__(self) -> str:
        context = "all the left text" if self.context is None else f"at least {self.context} tokens"
        context = "the line so far" if self.lines else context
        return (
            f"{self.nats_per_token:.4f} nats/token, {self.bits_per_character:.4f} bits/character, "
            f"perplexity {self.perplexity:.2f} ({self.tokens:,} tokens, context: {context})"
        )


def evaluate(
    model: LanguageModel,
    ids: ArrayLike,
    *,
    context: int | None = None,
    characters: int | None = None,
    lines: bool = False,
    batch_size: int = 64,
) -> Report:
    """Score every token of a text once and report the average.

    Args:
        model: any language model.
        ids: the text, ints, shape (time,).
        context: see `token_log_probs`.
        characters: number of characters of the text; None: each token is one character.
        lines: see `token_log_probs`.
        batch_size: number of windows scored at a time.

    Raises:
        ValueError: as `token_log_probs`; or `characters` is not positive.
    """
    if characters is not None and characters < 1:
        raise ValueError(f"characters must be at least 1; got {characters}")
    log_probs = token_log_probs(model, ids, context=context, lines=lines, batch_size=batch_size)
    context = None if lines else _context(model, context)
    return report(-log_probs.sum(), len(log_probs), characters, context, lines)


def report(
    nats: float,
    tokens: int,
    characters: int | None = None,
    context: int | None = None,
    lines: bool = False,
) -> Report:
    """Return the averages of a text that costs `nats` in all; see `Report`."""
    characters = tokens if characters is None else characters
    return Report(
        nats_per_token=float(nats) / tokens,
        bits_per_character=float(to_bits(nats)) / characters,
        perplexity=float(perplexity(nats / tokens)),
        tokens=tokens,
        characters=characters,
        context=context,
        lines=lines,
    )


def token_log_probs(
    model: LanguageModel,
    ids: ArrayLike,
    *,
    context: int | None = None,
    lines: bool = False,
    batch_size: int = 64,
) -> np.ndarray:
    """log p of every token of a text.

    Args:
        model: any language model.
        ids: the text, ints, shape (time,), at least one. A text no longer than one window is
            scored as it is, each token with all that is to its left.
        context: the least left context, in tokens. None: the whole text as one sequence, or half
            of `model.max_context` where the model has a limit.
        lines: score every line on its own, read from the boundary: right for texts of lines that
            have nothing to do with each other. There is then no other `context` to choose.
        batch_size: number of windows or lines scored at a time. All calls of `score` for one text
            have the same shape, (batch_size, context + stride) or smaller.

    Returns:
        float64, nats, shape (time,).

    Raises:
        ValueError: an empty text, ids out of range, a context that leaves no room for a token
            within `model.max_context`, a line longer than that, both `lines` and a context, or a
            model that returns the wrong shape or NaN.
    """
    ids = check_text(model, ids, context=context, lines=lines)
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, an integer; got {batch_size}")
    if lines:
        return _line_log_probs(model, ids, batch_size)
    context = _context(model, context)
    if context is None:
        return _score(model, ids[None])[0]
    stride = _stride(len(ids), context, model.max_context, batch_size)
    window = context + stride
    if len(ids) <= window:
        return _score(model, ids[None])[0]
    rows = windows(ids, window, stride, model.boundary)
    log_probs = score_in_batches(model, rows, batch_size)
    return np.concatenate([log_probs[0], log_probs[1:, context:].ravel()])[: len(ids)]


def check_text(
    model: LanguageModel, ids: ArrayLike, *, context: int | None = None, lines: bool = False
) -> np.ndarray:
    """The text as int32, (time,), if `token_log_probs` can score it; nothing is scored.

    Training asks this before its first step, not after the steps before its first evaluation.

    Raises:
        ValueError: as `token_log_probs`, of its text and its context.
    """
    ids = non_empty(model, ids)
    if not lines:
        _context(model, context)
        return ids
    if context is not None:
        raise ValueError(f"with lines=True the context is the line so far; got context={context}")
    longest = _lines(model, ids)[0].shape[1]
    if model.max_context is not None and longest > model.max_context:
        raise ValueError(
            f"a line of {longest} tokens is longer than max_context = {model.max_context}"
        )
    return ids


def _lines(model: LanguageModel, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from textgen_utils.batches import lines  # brings Keras, which count models do not need

    return lines(ids, model.boundary)


def _line_log_probs(model: LanguageModel, ids: np.ndarray, batch_size: int) -> np.ndarray:
    """log p of every token given the line so far, (time,)."""
    rows, inside = _lines(model, ids)
    return score_in_batches(model, rows, batch_size)[inside]


def _context(model: LanguageModel, context: int | None) -> int | None:
    limit = model.max_context
    if context is None:
        return None if limit is None else limit // 2
    if not isinstance(context, Integral):
        raise ValueError(f"context must be an integer or None; got {context!r}")
    if context < 0:
        raise ValueError(f"context must be at least 0; got {context}")
    if limit is not None and context >= limit:
        raise ValueError(
            f"context must be below max_context = {limit}, to leave room for a token; got {context}"
        )
    return context


def _stride(tokens: int, context: int, limit: int | None, batch_size: int) -> int:
    """All that fits where the model has a limit; else the shares of `batch_size` streams.

    Very long texts take several calls, so that a window is at most five contexts (and no fewer
    than 1,280 tokens) long and memory does not grow with the text.
    """
    if limit is not None:
        return limit - context
    calls = -(-tokens // (batch_size * max(4 * context, 1280 - context)))
    return -(-tokens // (batch_size * calls))


def score_in_batches(model: LanguageModel, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """log p of every token of rows, (n, time), in calls of one shape; float64, nats."""
    batch_size = min(batch_size, len(rows))
    parts = [
        _score(model, filled(rows[i : i + batch_size], batch_size))
        for i in range(0, len(rows), batch_size)
    ]
    return np.concatenate(parts)[: len(rows)]


def _score(model: LanguageModel, rows: np.ndarray) -> np.ndarray:
    log_probs = to_numpy(model.score(rows))
    if log_probs.shape != rows.shape:
        raise ValueError(f"score must return shape {rows.shape}; it returned {log_probs.shape}")
    if np.isnan(log_probs).any():
        raise ValueError("the model returned NaN for a log-probability")
    return log_probs


def non_empty(model: LanguageModel, ids: ArrayLike) -> np.ndarray:
    """The text as int32, (time,), at least one token; else ValueError."""
    ids = check_ids(ids, model.vocab_size, ndim=1)
    if ids.size == 0:
        raise ValueError("ids must be a text of at least one token; got length 0")
    return ids
