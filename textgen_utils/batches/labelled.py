"""Texts and their classes."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches.padding import at_least_one, check_seed


class LabelledBatches(keras.utils.PyDataset):
    """Texts with their classes; each text is used once before any is used again.

    Batch `i` of epoch `e` depends on (seed, e, i) only.

    Args:
        rows: ints, shape (n, time): a text a row.
        labels: ints, shape (n,): the class of each, from 0; at least two classes.
        batch_size: texts a batch.
        steps: batches an epoch.
        seed: chooses the order.

    Raises:
        ValueError: no labels, one class only, labels that are no integers from 0, as many labels
            as there are not texts, or a number below 1.
    """

    def __init__(
        self, rows: ArrayLike, labels: ArrayLike, batch_size: int, steps: int, seed: int
    ) -> None:
        super().__init__()
        self.rows, self.labels = np.asarray(rows), np.asarray(labels)
        if self.rows.ndim != 2 or self.labels.shape != self.rows.shape[:1]:
            raise ValueError(
                "rows must have shape (n, time) and labels (n,); "
                f"got {self.rows.shape} and {self.labels.shape}"
            )
        if not self.labels.size:
            raise ValueError("a classifier needs labels to learn from, got none")
        if not np.issubdtype(self.labels.dtype, np.integer) or self.labels.min() < 0:
            raise ValueError(f"labels must be integers from 0, got {self.labels[:5]}")
        if self.labels.min() == self.labels.max():
            raise ValueError(
                f"the {len(self.labels)} labels are all of class {self.labels[0]}: "
                "a classifier needs at least two classes"
            )
        self.batch_size = at_least_one(batch_size, "batch_size")
        self.steps = at_least_one(steps, "steps")
        self.seed = check_seed(seed)
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows, labels): int32, (batch_size, time) and (batch_size,)."""
        first = (self.epoch * self.steps + index) * self.batch_size
        passes, places = np.divmod(np.arange(first, first + self.batch_size), len(self.rows))
        chosen = np.empty(self.batch_size, int)
        for number in np.unique(passes):
            order = np.random.default_rng((self.seed, number)).permutation(len(self.rows))
            chosen[passes == number] = order[places[passes == number]]
        return self.rows[chosen].astype(np.int32), self.labels[chosen].astype(np.int32)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's texts."""
        self.epoch += 1
