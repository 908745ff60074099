"""Texts with some of their tokens hidden, for a model that has to guess them."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches.padding import at_least_one, check_seed

SHARES = (0.8, 0.1, 0.1)  # of the hidden tokens: a blank, a random token, the token itself


class MaskedBatches(keras.utils.PyDataset):
    """Random texts of which a share of the tokens is to be guessed.

    A batch is ``(read, target, weight)``. In each text max(1, rate * length) places are chosen,
    rounded. Of these, 80 % are read as `mask_id`, 10 % as a random token and 10 % as they are, so
    that a model learns to doubt what it reads. The weight is 1.0 on the chosen places, elsewhere
    0.0. A batch depends on (seed, epoch, index) only.

    Args:
        rows: ints, shape (n, time): a text a row.
        mask: bools, same shape: true on the texts' own tokens; `batches.lines` gives both.
        batch_size: texts a batch.
        steps: batches an epoch.
        seed: chooses texts, places and random tokens.
        rate: share of a text's tokens that is chosen, between 0 and 1.
        vocab_size: the number of tokens.
        mask_id: what a blank is read as.
        padding_id: what is read outside of a text.

    Raises:
        ValueError: rows and mask of different shapes, no text, a text whose tokens would all be
            chosen (one of a single token), a rate not between 0 and 1, a number below 1.

    Source: J. Devlin et al., "BERT: pre-training of deep bidirectional Transformers for language
    understanding", 2019.
    """

    def __init__(
        self,
        rows: ArrayLike,
        mask: ArrayLike,
        batch_size: int,
        steps: int,
        seed: int,
        *,
        rate: float = 0.15,
        vocab_size: int,
        mask_id: int,
        padding_id: int,
    ) -> None:
        super().__init__()
        self.rows, self.mask = np.asarray(rows), np.asarray(mask, bool)
        if self.rows.ndim != 2 or self.rows.shape != self.mask.shape or not self.rows.size:
            raise ValueError(
                "rows and mask must have one shape (n, time), not empty; "
                f"got {self.rows.shape} and {self.mask.shape}"
            )
        own = self.rows[self.mask]
        if own.size and not 0 <= own.min() <= own.max() < vocab_size:
            raise ValueError(f"ids must lie in [0, {vocab_size}); got {own.min()} to {own.max()}")
        if not 0 < rate < 1:
            raise ValueError(
                f"the mask rate must lie between 0 (nothing to learn) and 1 (nothing to see), "
                f"got {rate}"
            )
        self.chosen = chosen_count(self.mask.sum(axis=1), rate)
        self.batch_size = at_least_one(batch_size, "batch_size")
        self.steps = at_least_one(steps, "steps")
        self.rate = rate
        self.vocab_size = at_least_one(vocab_size, "vocab_size")
        self.mask_id = mask_id
        self.padding_id = padding_id
        self.seed = check_seed(seed)
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (read, target, weight): int32, int32 and float32, (batch_size, time)."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        texts = rng.integers(len(self.rows), size=self.batch_size)
        rows, mask = self.rows[texts].astype(np.int32), self.mask[texts]
        # The places of a text in a random order, padding last: the first ones are chosen.
        order = np.where(mask, rng.random(mask.shape), 2.0).argsort(axis=1).argsort(axis=1)
        chosen = order < self.chosen[texts][:, None]
        kind = rng.choice(3, size=mask.shape, p=SHARES)
        read = np.where(chosen & (kind == 0), self.mask_id, rows)
        anything = rng.integers(self.vocab_size, size=mask.shape)
        read = np.where(chosen & (kind == 1), anything, read)
        read = np.where(mask, read, self.padding_id)
        return read.astype(np.int32), rows, chosen.astype(np.float32)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's texts."""
        self.epoch += 1


def chosen_count(lengths: np.ndarray, rate: float) -> np.ndarray:
    """Return how many tokens of each text are chosen, ints, (n,).

    Raises:
        ValueError: if that would be all tokens of a text.
    """
    counts = np.maximum(1, np.round(rate * lengths)).astype(int)
    if (counts >= lengths).any():
        row = int(np.argmax(counts >= lengths))
        raise ValueError(
            f"at a mask rate of {rate} all of the {lengths[row]} tokens of text {row} would be "
            "masked: leave at least one to see"
        )
    return counts
