"""Batches whose targets come with wrong tokens, drawn for a sampled softmax."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from textgen_utils.batches.padding import at_least_one, check_seed


class Negatives(keras.utils.PyDataset):
    """Other batches with tokens drawn beside each target.

    Args:
        batches: gives inputs and targets, such as `Windows`; its epoch is counted here.
        proposal: the probability of each token, shape (vocab,).
        samples: tokens drawn for each target, with replacement.
        seed: chooses them.

    Raises:
        ValueError: if the proposal is no distribution, `samples` below 1, or the seed negative.
    """

    def __init__(
        self,
        batches: keras.utils.PyDataset,
        proposal: Sequence[float],
        samples: int,
        seed: int,
    ) -> None:
        super().__init__()
        proposal = np.asarray(proposal, np.float64)
        if proposal.ndim != 1 or not (proposal >= 0).all() or abs(proposal.sum() - 1) > 1e-4:
            raise ValueError(f"the proposal must be a distribution, got {proposal!r:.60}")
        self.batches = batches
        self.cumulative = np.cumsum(proposal) / proposal.sum()
        self.samples = at_least_one(samples, "samples")
        self.seed = check_seed(seed)

    @property
    def epoch(self) -> int:
        """The epoch of the batches behind."""
        return self.batches.epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self.batches.epoch = value

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs, and targets with what was drawn, int32, (..., 1 + samples)."""
        inputs, targets = self.batches[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        uniform = rng.random((*targets.shape, self.samples))
        drawn = np.searchsorted(self.cumulative, uniform, side="right").astype(np.int32)
        return inputs, np.concatenate([targets[..., None], drawn], axis=-1)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's batches."""
        self.batches.on_epoch_end()
