"""One token of a translation as a score of its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.losses import log_likelihood
from textgen_utils.models.base import check_ids
from textgen_utils.models.compiled import shift_right
from textgen_utils.models.seq2seq import Seq2Seq

Tensor = Any


def target_log_prob(model: Seq2Seq) -> Callable[..., Tensor]:
    """Return log p(one target token | source, target so far) as a score of the embedded source.

    The score takes ``(x, mask, shifted, target, position)`` with x from ``model.embed`` and the
    rest from `target_context`, and gives (batch,), nats.
    """

    def score(x: Tensor, mask: Tensor, shifted: Tensor, target: Tensor, position: Tensor) -> Tensor:
        logits = model.decode(shifted, model.encode(x, mask))
        log_probs = log_likelihood(target, ops.cast(logits, "float32"))  # (batch, m)
        return ops.take_along_axis(log_probs, position[:, None], axis=1)[:, 0]

    return score


def target_context(
    model: Seq2Seq,
    sources: ArrayLike,
    targets: Sequence[ArrayLike],
    positions: Sequence[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what `target_log_prob` needs beside the embedded sources.

    Args:
        model: any `Seq2Seq`.
        sources: ints, (n, time), padded, as ``model.padded`` returns them. The mask says which of
            their tokens are read; it stays when some are blanked.
        targets: n sequences of ints. What follows the asked position has no effect.
        positions: n ints: which token of each target is asked about, from 0.

    Returns:
        mask, bools (n, time); shifted and target, ints (n, m); position, ints (n,).

    Raises:
        ValueError: if the numbers differ, an id is out of range, or a position is not one of its
            target's tokens.
    """
    sources = check_ids(sources, model.source_vocab_size, ndim=2)
    if not len(sources) == len(targets) == len(positions):
        raise ValueError(
            f"got {len(sources)} sources, {len(targets)} targets and {len(positions)} positions"
        )
    for row, (target, position) in enumerate(zip(targets, positions, strict=True)):
        if not 0 <= position < len(target):
            raise ValueError(f"target {row} has {len(target)} tokens, no position {position}")
    read = [target[: position + 1] for target, position in zip(targets, positions, strict=True)]
    ids, _ = model.padded_targets(read)
    mask = sources != model.padding
    return mask, shift_right(ids, model.boundary), ids, np.asarray(positions, np.int32)
