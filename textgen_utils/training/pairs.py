"""Training of sequence-to-sequence models, with teacher forcing."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches import PairBatches
from textgen_utils.evaluation import evaluate_pairs
from textgen_utils.models.base import check_ids, check_sequences
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.training.curve import Curve
from textgen_utils.training.optimizer import adam, warmup_cosine
from textgen_utils.training.run import train_on


class EncodedPairs(NamedTuple):
    """Sources and targets, one for one; each a sequence of ints, targets with their boundary."""

    sources: Sequence[ArrayLike]
    targets: Sequence[ArrayLike]


def train_pairs(
    model: Seq2Seq,
    train: EncodedPairs,
    valid: EncodedPairs,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float = 3e-3,
    eval_every: int,
    seed: int,
    bounds: Sequence[int] = (),
    optimizer: keras.optimizers.Optimizer | None = None,
    checkpoint: str | os.PathLike | None = None,
    patience: int | None = None,
    jit_compile: bool | None = None,
) -> Curve:
    """Train a sequence-to-sequence model: each target token is predicted from the true ones.

    In the end the model has the weights with the lowest validation loss that was seen.

    Args:
        model: any `Seq2Seq`.
        train: what is learnt from.
        valid: what each evaluation scores, all of it, nats per target token.
        steps: training steps; a multiple of `eval_every`.
        batch_size: pairs a step.
        learning_rate: the peak of `warmup_cosine`; not used if there is an `optimizer`.
        eval_every: steps between evaluations.
        seed: chooses the batches. (The weights were drawn when the model was made.)
        bounds: see `PairBatches`; each makes one more shape to compile.
        optimizer, checkpoint, patience, jit_compile: see `train`.

    Returns:
        The learning curve.

    Raises:
        ValueError: if a number is out of range, a sequence empty, too long or not of the model's
            tokens; or see `train`.
        OSError: see `train`.
        FloatingPointError: see `train`.
        MemoryError: see `train`.
    """
    for name, pairs in (("training", train), ("validation", valid)):
        _check_pairs(model, EncodedPairs(*pairs), name)
    if optimizer is None:
        optimizer = adam(warmup_cosine(learning_rate, steps))
    batches = PairBatches(
        *train,
        batch_size,
        eval_every,
        seed,
        boundary=model.boundary,
        padding=model.padding,
        bounds=bounds,
    )
    settings = {"batch_size": batch_size, "seed": seed, "bounds": list(bounds)}
    settings |= {"train": _fingerprint(train), "valid": _fingerprint(valid)}
    return train_on(
        model,
        batches,
        lambda: evaluate_pairs(model, *valid).nats_per_token,
        steps=steps,
        optimizer=optimizer,
        settings=settings,
        checkpoint=checkpoint,
        patience=patience,
        jit_compile=jit_compile,
    )


def _check_pairs(model: Seq2Seq, pairs: EncodedPairs, name: str) -> None:
    """Find out before the first step what would fail after many."""
    if not len(pairs.sources):
        raise ValueError(f"the {name} pairs are none")
    if len(pairs.sources) != len(pairs.targets):
        raise ValueError(
            f"the {name} pairs: got {len(pairs.sources)} sources but {len(pairs.targets)} targets"
        )
    check_sequences(pairs.sources, f"{name} source")
    check_sequences(pairs.targets, f"{name} target")
    try:
        check_ids(np.concatenate(pairs.sources), model.source_vocab_size, ndim=1)
        check_ids(np.concatenate(pairs.targets), model.vocab_size, ndim=1)
    except ValueError as error:
        raise ValueError(f"the {name} pairs: {error}") from error
    longest = max(map(len, pairs.targets))
    if model.max_context is not None and longest > model.max_context:
        raise ValueError(
            f"a {name} target of {longest} tokens is longer than max_context = {model.max_context}"
        )


def _fingerprint(pairs: EncodedPairs) -> str:
    crc = 0
    for sequence in (*pairs[0], *pairs[1]):
        crc = zlib.crc32(np.asarray(sequence, np.int32).tobytes() + b"|", crc)
    return f"{len(pairs[0])} pairs, CRC {crc:08x}"
