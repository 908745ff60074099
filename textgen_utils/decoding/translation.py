"""A target for every source: batches of similar length through any decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.decoding.sampling import check_count, generate
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.runtime import progress


def translate(
    model: Seq2Seq,
    sources: Sequence[ArrayLike],
    length: int,
    *,
    batch_size: int = 256,
) -> list[np.ndarray]:
    """Write the most probable token, one after another, until the boundary.

    Args:
        model: any `Seq2Seq`.
        sources: sequences of ints, at least one token each.
        length: the most tokens of a target; what has not ended by then is cut.
        batch_size: sources a batch, of similar lengths; the last is filled up.

    Returns:
        int32 arrays, one for each source in its order, without the boundary.

    Raises:
        ValueError: if a source is empty, an id out of range, or `length` more than the model
            writes.
    """
    check_count(length, "length")
    check_count(batch_size, "batch_size")
    order = np.argsort([len(source) for source in sources], kind="stable")
    batch_size = min(batch_size, len(order))
    targets: list[np.ndarray | None] = [None] * len(order)
    for first in progress(range(0, len(order), max(batch_size, 1)), "translating"):
        rows = order[first : first + batch_size]
        # A batch of another size would be compiled anew.
        read = np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows))])
        written = _greedy(model.condition([sources[row] for row in read]), batch_size, length)
        for row, ids in zip(rows, written, strict=False):
            targets[row] = until(ids, model.boundary)
    return targets


def until(ids: np.ndarray, stop: int) -> np.ndarray:
    """Return the tokens before the first `stop`; all where there is none."""
    ends = np.flatnonzero(ids == stop)
    return ids[: ends[0]] if len(ends) else ids


def _greedy(model: LanguageModel, batch_size: int, length: int) -> np.ndarray:
    empty = np.zeros((batch_size, 0), np.int32)
    return generate(model, empty, length, greedy=True, stop=model.boundary, seed=0)
