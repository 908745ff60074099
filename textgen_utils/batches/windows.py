"""Random windows of one long text."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches.padding import at_least_one, check_seed, one_axis_of_ints


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
        self.ids = one_axis_of_ints(ids)
        self.length = at_least_one(length, "length")
        self.batch_size = at_least_one(batch_size, "batch_size")
        self.steps = at_least_one(steps, "steps")
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
        self.seed = check_seed(seed)
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
