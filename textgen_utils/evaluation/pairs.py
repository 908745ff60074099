"""How far is a sequence-to-sequence model from the targets, in nats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.evaluation.likelihood import Report, report
from textgen_utils.models.base import check_sequences, to_numpy
from textgen_utils.models.windows import filled

if TYPE_CHECKING:
    from textgen_utils.models.seq2seq import Seq2Seq


def evaluate_pairs(
    model: Seq2Seq,
    sources: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    *,
    characters: int | None = None,
    batch_size: int = 256,
) -> Report:
    """Score every token of every target once, given its source and what is on its left.

    Args:
        model: any `Seq2Seq`.
        sources: sequences of ints, at least one token each.
        targets: as many sequences of ints; each should end with the model's boundary.
        characters: number of characters of all targets; None: each token is one character.
        batch_size: pairs scored at a time, of similar lengths.

    Raises:
        ValueError: if there is no pair, the numbers differ, a sequence is empty or too long, an
            id is out of range, or the model returns NaN.
    """
    if len(sources) != len(targets):
        raise ValueError(f"got {len(sources)} sources but {len(targets)} targets")
    if not len(targets):
        raise ValueError("there is nothing to score: no pairs")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    check_sequences(sources, "source")
    check_sequences(targets, "target")
    order = np.argsort([len(target) for target in targets], kind="stable")
    total = 0.0
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        # The last batch is filled up: a new shape would be compiled anew.
        rows = filled(rows, min(batch_size, len(order)))
        total += _nats(model, [sources[r] for r in rows], [targets[r] for r in rows])[
            : len(order) - first
        ].sum()
    return report(total, sum(map(len, targets)), characters)


def _nats(model: Seq2Seq, sources: Sequence[ArrayLike], targets: Sequence[ArrayLike]) -> np.ndarray:
    """Return -log p(target | source) of each pair, nats, (batch,)."""
    ids, mask = model.padded_targets(targets)
    log_probs = to_numpy(model.condition(sources).score(ids))
    if np.isnan(log_probs[mask]).any():
        raise ValueError("the model returned NaN for a log-probability")
    return -np.where(mask, log_probs, 0.0).sum(axis=1)
