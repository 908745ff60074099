"""A target for every source: batches of similar length through any decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.decoding.sampling import check_count, generate
from textgen_utils.decoding.search import beam_search
from textgen_utils.models.base import LanguageModel, check_sequences
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.runtime import progress


def translate(
    model: Seq2Seq,
    sources: Sequence[ArrayLike],
    length: int,
    *,
    beam: int = 1,
    alpha: float = 0.0,
    batch_size: int = 256,
) -> list[np.ndarray]:
    """Write the best target that a search finds; by default the most probable token each time.

    Args:
        model: any `Seq2Seq`.
        sources: sequences of ints, at least one token each.
        length: the most tokens of a target; what has not ended by then is cut.
        beam: the width of a beam search; 1 with alpha 0 is greedy search.
        alpha: how targets of different lengths compare: see `beam_search`.
        batch_size: sources a batch, of similar lengths; the last is filled up.

    Returns:
        int32 arrays, one for each source in its order, without the boundary.

    Raises:
        ValueError: if a source is empty, a number or an id out of range, or `length` more than
            the model writes.
    """
    check_count(length, "length")
    check_count(beam, "beam")
    check_count(batch_size, "batch_size")
    check_sequences(sources, "source")
    order = np.argsort([len(source) for source in sources], kind="stable")
    batch_size = min(batch_size, len(order))
    targets: list[np.ndarray | None] = [None] * len(order)
    for first in progress(range(0, len(order), max(batch_size, 1)), "translating"):
        rows = order[first : first + batch_size]
        # A batch of another size would be compiled anew.
        read = np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows))])
        conditioned = model.condition([sources[row] for row in read])
        written = _best(conditioned, batch_size, length, beam, alpha)
        for row, ids in zip(rows, written, strict=False):
            targets[row] = until(ids, model.boundary)
    return targets


def until(ids: np.ndarray, stop: int) -> np.ndarray:
    """Return the tokens before the first `stop`; all where there is none."""
    ends = np.flatnonzero(ids == stop)
    return ids[: ends[0]] if len(ends) else ids


def _best(model: LanguageModel, n: int, length: int, beam: int, alpha: float) -> np.ndarray:
    if beam == 1 and alpha == 0:  # the same as a search of width 1, but cheaper
        empty = np.zeros((n, 0), np.int32)
        return generate(model, empty, length, greedy=True, stop=model.boundary, seed=0)
    found = beam_search(model, length, width=beam, stop=model.boundary, n=n, alpha=alpha)
    return found.ids[:, 0]
