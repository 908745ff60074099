"""Padded pairs of sequences, read with teacher forcing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches.padding import at_least_one, check_seed, pad


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
        self.batch_size = at_least_one(batch_size, "batch_size")
        self.steps = at_least_one(steps, "steps")
        if not (all(map(len, sources)) and all(map(len, targets))):
            raise ValueError("every source and every target needs at least one token")
        self.buckets = _buckets(sources, targets, bounds, boundary, padding)
        batches = [max(1, round(len(b.sources) / batch_size)) for b in self.buckets]
        self.order = np.repeat(np.arange(len(batches)), batches)  # the batches of one pass
        self.seed = check_seed(seed)
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
