"""What a score loses when tokens are taken out: one alone, or one after another in some order.

Taken out means replaced by a blank, a token that says nothing, so that the others keep their
places. A score takes ids, (n, time), and the rows of a context, and gives (n,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.models.base import to_numpy

Score = Callable[..., ArrayLike]
Order = Sequence[int | Sequence[int]]


def in_batches(score: Score, batch_size: int) -> Score:
    """Return the same score for any number of rows, called with one shape only.

    Args:
        score: ``score(ids, *context)``, arrays of `batch_size` rows, gives (batch_size,).
        batch_size: rows a call; the last call is filled up.

    Raises:
        ValueError: if `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")

    def batched(*arrays: ArrayLike) -> np.ndarray:
        arrays = [np.asarray(array) for array in arrays]
        n, parts = len(arrays[0]), [np.zeros(0)]
        for first in range(0, n, batch_size):
            rows = np.minimum(np.arange(first, first + batch_size), n - 1)
            parts.append(to_numpy(score(*(array[rows] for array in arrays))))
        return np.concatenate(parts)[:n]

    return batched


def leave_one_out(
    score: Score, ids: ArrayLike, mask: ArrayLike, blank: int, *context: ArrayLike
) -> np.ndarray:
    """Return by how much the score falls when one token alone is blanked, (batch, time).

    Args:
        score: see the module; all variants of all texts are handed to it at once (`in_batches`).
        ids: ints, (batch, time).
        mask: bools, the same shape: which tokens to ask about; 0 is returned for the others.
        blank: the id that takes a token's place.
        *context: arrays, batch first, of which the score gets each variant's row.

    Raises:
        ValueError: if the ids are not (batch, time) integers, or the mask has another shape.
    """
    ids, mask = _ids(ids), np.asarray(mask)
    if mask.shape != ids.shape or mask.dtype != bool:
        raise ValueError(f"mask must be bools {ids.shape}, got {mask.dtype} {mask.shape}")
    text, position = np.nonzero(mask)
    variants = ids[text]
    variants[np.arange(len(text)), position] = blank
    rows = np.concatenate([np.arange(len(ids)), text])
    values = _score(score, np.concatenate([ids, variants]), rows, context)
    falls = np.zeros(ids.shape)
    falls[text, position] = values[text] - values[len(ids) :]
    return falls


def deletion_curves(
    score: Score, ids: ArrayLike, orders: Sequence[Order], blank: int, *context: ArrayLike
) -> list[np.ndarray]:
    """Return the score of each text while its tokens are blanked in a given order.

    Args:
        score, ids, blank, context: see `leave_one_out`.
        orders: for each text its steps, first to last; a step is a position, or several positions
            that go together.

    Returns:
        for each text, (steps + 1,): the score of the whole text first.

    Raises:
        ValueError: if there is not one order a text, or a position is out of range or is blanked
            twice.

    Source: W. Samek et al., "Evaluating the visualization of what a deep neural network has
    learned", 2017.
    """
    ids = _ids(ids)
    if len(orders) != len(ids):
        raise ValueError(f"{len(ids)} texts need as many orders, got {len(orders)}")
    stages = [_stages(text, order, blank) for text, order in zip(ids, orders, strict=True)]
    lengths = [len(stage) for stage in stages]
    rows = np.repeat(np.arange(len(ids)), lengths)
    values = _score(score, np.concatenate(stages), rows, context)
    return np.split(values, np.cumsum(lengths)[:-1])


def deletion_area(curve: ArrayLike) -> float:
    """Return how far a deletion curve falls below its start, on average over the way.

    The sooner the order finds what the score rests on, the larger it is. (Trapezoids, over the
    share of the steps that is done.)

    Args:
        curve: (steps + 1,), at least two values.

    Raises:
        ValueError: if there is no step.
    """
    curve = np.asarray(curve, float)
    if curve.ndim != 1 or len(curve) < 2:
        raise ValueError(f"a curve needs at least two values on one axis, got {curve.shape}")
    return float(curve[0] - (curve[:-1] + curve[1:]).mean() / 2)


def shuffled(orders: Sequence[Order], seed: int) -> list[Order]:
    """Return each order's steps in a random order: the baseline of any deletion curve."""
    rng = np.random.default_rng(seed)
    return [[order[i] for i in rng.permutation(len(order))] for order in orders]


def _stages(text: np.ndarray, order: Order, blank: int) -> np.ndarray:
    """Return the text, then with one step more blanked in each row, (steps + 1, time)."""
    steps = [np.atleast_1d(np.asarray(step, int)) for step in order]
    positions = np.concatenate([np.zeros(0, int), *steps])
    if len(positions) and not 0 <= positions.min() <= positions.max() < len(text):
        raise ValueError(
            f"positions must lie in [0, {len(text)}), got {positions.min()} to {positions.max()}"
        )
    if len(np.unique(positions)) < len(positions):
        raise ValueError(f"an order must blank each position once, got {positions.tolist()}")
    stages = np.repeat(text[None], len(steps) + 1, axis=0)
    for number, step in enumerate(steps, start=1):
        stages[number:, step] = blank
    return stages


def _score(
    score: Score, ids: np.ndarray, rows: np.ndarray, context: tuple[ArrayLike, ...]
) -> np.ndarray:
    values = to_numpy(score(ids, *(np.asarray(array)[rows] for array in context)))
    if values.shape != (len(ids),):
        raise ValueError(f"a score must be one number a text, ({len(ids)},), got {values.shape}")
    return values


def _ids(ids: ArrayLike) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids must be integers (batch, time), got {ids.dtype} {ids.shape}")
    return ids.astype(np.int32)
