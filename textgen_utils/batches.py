"""Integers into batches: random windows of one long text, and padded pairs of sequences.

Batch `i` of epoch `e` depends on (seed, e, i) only, so that a run that was stopped goes on with
the batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike


class Windows(keras.utils.PyDataset):
    """Random windows of a text, each with itself one token later as its target.

    Args:
        ids: the text, ints, shape (time,). It is not copied: a memory map will do.
        length: tokens a window.
        batch_size: windows a batch.
        steps: batches an epoch.
        seed: chooses the windows.
        boundary: if given, every window starts with this token, so that a text of independent
            lines is always read from the start of one, and no prediction lacks its context.

    Raises:
        ValueError: if the text is not one axis of integers, is shorter than `length` + 1, has no
            boundary that far from its end, a number is no integer or below 1, or the seed no
            integer or negative.
    """

    def __init__(
        self,
        ids: ArrayLike,
        length: int,
        batch_size: int,
        steps: int,
        seed: int,
        *,
        boundary: int | None = None,
    ) -> None:
        super().__init__()
        self.ids = _one_axis_of_ints(ids)
        self.length = _at_least_one(length, "length")
        self.batch_size = _at_least_one(batch_size, "batch_size")
        self.steps = _at_least_one(steps, "steps")
        if len(self.ids) < length + 1:
            raise ValueError(
                f"a window of {length} tokens and its target need a text of at least "
                f"{length + 1}, got one of {len(self.ids)}"
            )
        self.starts = None
        if boundary is not None:
            self.starts = np.flatnonzero(self.ids[:-length] == boundary)
            if not len(self.starts):
                raise ValueError(
                    f"no boundary (token {boundary}) is followed by {length} tokens or more"
                )
        self.seed = _seed(seed)
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets, int32, each of shape (batch_size, length)."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        if self.starts is None:
            starts = rng.integers(len(self.ids) - self.length, size=self.batch_size)
        else:
            starts = self.starts[rng.integers(len(self.starts), size=self.batch_size)]
        windows = self.ids[starts[:, None] + np.arange(self.length + 1)].astype(np.int32)
        return windows[:, :-1], windows[:, 1:]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's windows."""
        self.epoch += 1


class PairBatches(keras.utils.PyDataset):
    """Padded (source, target) pairs for a model that reads the target one token late.

    A batch is ``((source, shifted), target, mask)``: `shifted` is the target moved right by one
    with `boundary` in front (teacher forcing), and the mask, 1.0 on the target's own tokens and
    0.0 on padding, weighs the loss. Each pair is used once before any is used again, in an order
    drawn from the seed.

    Without `bounds` all batches have the same shapes, so nothing is compiled twice. With them, a
    batch holds sources of similar lengths, so little is computed for padding: bounds (8, 12) make
    batches of sources of up to 8 tokens, of 9 to 12, and of the rest, as often as there are pairs.

    Args:
        sources: sequences of ints, one for each target.
        targets: sequences of ints; each should end with its own end symbol.
        batch_size: pairs a batch.
        steps: batches an epoch.
        seed: chooses the order.
        boundary: the id that is read before the first token of a target.
        padding: the id that fills sources up to the longest; targets are filled with `boundary`.
        bounds: rising lengths of sources, each the longest of its batches.

    Raises:
        ValueError: if there is no pair, the numbers of sources and targets differ, a sequence is
            empty, a number is below 1, the bounds do not rise, or an epoch is one step with bounds.
    """

    def __init__(
        self,
        sources: Sequence[ArrayLike],
        targets: Sequence[ArrayLike],
        batch_size: int,
        steps: int,
        seed: int,
        *,
        boundary: int,
        padding: int,
        bounds: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if len(sources) != len(targets):
            raise ValueError(f"got {len(sources)} sources but {len(targets)} targets")
        if any(a >= b for a, b in pairwise(bounds)):
            raise ValueError(f"bounds must rise, got {tuple(bounds)}")
        if bounds and steps == 1:
            raise ValueError("with bounds an epoch needs 2 steps or more, got 1")
        self.batch_size = _at_least_one(batch_size, "batch_size")
        self.steps = _at_least_one(steps, "steps")
        if not (all(map(len, sources)) and all(map(len, targets))):
            raise ValueError("every source and every target needs at least one token")
        self.buckets = _buckets(sources, targets, bounds, boundary, padding)
        batches = [max(1, round(len(b.sources) / batch_size)) for b in self.buckets]
        self.order = np.repeat(np.arange(len(batches)), batches)  # the batches of one pass
        self.seed = _seed(seed)
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(
        self, index: int
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
        """Return ((source, shifted), target, mask): int32 and float32, (batch_size, time)."""
        passes, place = divmod(self.epoch * self.steps + index, len(self.order))
        order = self._order(passes)
        chosen, bucket = order[place], self.buckets[order[place]]
        before = passes * np.sum(order == chosen) + np.sum(order[:place] == chosen)
        first = int(before) * self.batch_size
        rows = _rows(first, self.batch_size, len(bucket.sources), self.seed)
        inputs = bucket.sources[rows], bucket.shifted[rows]
        return inputs, bucket.targets[rows], bucket.mask[rows].astype(np.float32)

    def _order(self, passes: int) -> np.ndarray:
        """Return the buckets of a pass, in the order of its batches."""
        rng = np.random.default_rng((self.seed, passes))
        if passes:
            return rng.permutation(self.order)
        # Keras takes what the first two batches have in common for the shape of all.
        lengths = [bucket.targets.shape[1] for bucket in self.buckets]
        last = len(lengths) - 1
        other = next((i for i in range(last, 0, -1) if lengths[i] != lengths[0]), last)
        two = [0, np.flatnonzero(self.order == other)[-1]]
        rest = rng.permutation(np.delete(self.order, two))
        return np.concatenate([self.order[two], rest])[: len(self.order)]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's pairs."""
        self.epoch += 1


class Bucket(NamedTuple):
    """Padded pairs: ints, (pairs, time), and bools, true on the targets' own tokens."""

    sources: np.ndarray
    shifted: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


def pad(
    sequences: Sequence[ArrayLike], value: int, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Put sequences of different lengths into one array.

    Args:
        sequences: each of ints, shape (time,).
        value: what fills the rest of a row.
        length: the width of the array; None: the longest sequence.

    Returns:
        array: int32, shape (len(sequences), length).
        mask: bool, same shape, true on the sequences' own tokens.

    Raises:
        ValueError: if there is no sequence, or one is longer than `length`.
    """
    rows = [_one_axis_of_ints(sequence) for sequence in sequences]
    if not rows:
        raise ValueError("pad needs at least one sequence, got none")
    lengths = np.array([len(row) for row in rows])
    length = int(lengths.max()) if length is None else length
    if lengths.max() > length:
        raise ValueError(
            f"sequence {lengths.argmax()} has {lengths.max()} tokens, more than length={length}"
        )
    mask = np.arange(length) < lengths[:, None]
    array = np.full(mask.shape, value, np.int32)
    array[mask] = np.concatenate(rows)
    return array, mask


def _buckets(
    sources: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    bounds: Sequence[int],
    boundary: int,
    padding: int,
) -> list[Bucket]:
    number = np.searchsorted(bounds, [len(source) for source in sources])
    buckets, longest = [], 0
    for bucket in range(len(bounds) + 1):
        rows = np.flatnonzero(number == bucket)
        if len(sources) and not len(rows):
            continue
        source, _ = pad([sources[row] for row in rows], padding)
        # Never narrower than the bucket before: see `PairBatches._order`.
        longest = max(longest, *(len(targets[row]) for row in rows), 0)
        target, mask = pad([targets[row] for row in rows], boundary, longest)
        front = np.full((len(rows), 1), boundary, np.int32)
        shifted = np.concatenate([front, target[:, :-1]], axis=1)
        buckets.append(Bucket(source, shifted, target, mask))
    return buckets


def _rows(first: int, count: int, population: int, seed: int) -> np.ndarray:
    """Positions `first` to `first + count` of an endless series of shuffled passes."""
    positions = np.arange(first, first + count)
    passes, places = np.divmod(positions, population)
    rows = np.empty(count, np.int64)
    for number in np.unique(passes):
        here = passes == number
        rows[here] = np.random.default_rng((seed, number)).permutation(population)[places[here]]
    return rows


def _one_axis_of_ints(ids: ArrayLike) -> np.ndarray:
    if isinstance(ids, str):
        raise ValueError(f"token ids must be integers, got the text {ids[:20]!r}: encode it first")
    ids = np.asanyarray(ids)
    if ids.ndim != 1:
        raise ValueError(f"token ids must have one axis (time,), got shape {ids.shape}")
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"token ids must be integers, got dtype {ids.dtype}")
    return ids


def _at_least_one(number: int, name: str) -> int:
    if not isinstance(number, Integral):
        raise ValueError(f"{name} must be an integer, got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def _seed(seed: int) -> int:
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    return seed
