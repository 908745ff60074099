"""Training of a variational autoencoder of texts."""

from __future__ import annotations

import zlib

import keras
from numpy.typing import ArrayLike

from textgen_utils.batches import PairBatches, lines
from textgen_utils.models.vae import VAE
from textgen_utils.training.curve import Curve
from textgen_utils.training.optimizer import adam, warmup_cosine
from textgen_utils.training.run import train_on


def train_vae(
    model: VAE,
    train_ids: ArrayLike,
    valid_ids: ArrayLike,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float = 3e-3,
    eval_every: int,
    seed: int,
    optimizer: keras.optimizers.Optimizer | None = None,
    jit_compile: bool = False,
) -> Curve:
    """Train a VAE on the lines of a text.

    In the end the model has the weights with the lowest validation loss that was seen.

    Args:
        model: not trained before, or to be trained further.
        train_ids: ints, shape (time,): texts, each ended by the model's boundary.
        valid_ids: the same. The validation loss is their negative evidence lower bound, one draw a
            text, nats per token, with the KL's full weight whatever the model is trained with.
        steps: training steps; a multiple of `eval_every`.
        batch_size: texts a step.
        learning_rate: the peak of `warmup_cosine`; not used if there is an `optimizer`.
        eval_every: steps between evaluations.
        seed: chooses the batches. (Weights and noise were seeded when the model was made.)
        optimizer: None: `adam` with `warmup_cosine`.
        jit_compile: see `train`.

    Returns:
        The learning curve.

    Raises:
        ValueError: if a text is empty or without a boundary, an id or a number out of range; or
            see `train_on`.
        FloatingPointError: see `train`.
    """
    texts, mask = lines(train_ids, model.boundary)
    valid, valid_mask = lines(valid_ids, model.boundary)
    model.encode(texts[:1]), model.bound(valid, seed=0)  # refuse before the first step
    rows = [text[own] for text, own in zip(texts, mask, strict=True)]
    batches = PairBatches(
        rows,
        rows,
        batch_size,
        eval_every,
        seed,
        boundary=model.boundary,
        padding=model.boundary,
    )
    return train_on(
        model,
        batches,
        lambda: float(-model.bound(valid, seed=0).elbo.sum() / valid_mask.sum()),
        steps=steps,
        optimizer=adam(warmup_cosine(learning_rate, steps)) if optimizer is None else optimizer,
        settings={"batch_size": batch_size, "seed": seed, "train_ids": zlib.crc32(texts.tobytes())},
        jit_compile=jit_compile,
    )
