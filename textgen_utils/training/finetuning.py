"""Going on from a pretrained model: copies, masked pretraining, classifiers, light adapters."""

from __future__ import annotations

from typing import TypeVar

import keras
import numpy as np
from keras import layers
from numpy.typing import ArrayLike

from textgen_utils.batches.labelled import LabelledBatches
from textgen_utils.batches.masking import MaskedBatches
from textgen_utils.models.classifier import TextClassifier
from textgen_utils.models.masked import MaskedLanguageModel
from textgen_utils.runtime import split_seed
from textgen_utils.training.curve import Curve
from textgen_utils.training.run import token_loss, train_on

Model = TypeVar("Model", bound=keras.Model)


def copy_of(model: Model) -> Model:
    """Return a model with the same settings and weights that shares nothing with the first.

    Raises:
        ValueError: if the model carries adapters of `add_lora`.
    """
    if any(layer.lora_enabled for layer in dense_layers(model)):
        raise ValueError("a model with LoRA adapters cannot be copied: copy it before add_lora")
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def train_masked(
    model: MaskedLanguageModel,
    train: tuple[ArrayLike, ArrayLike],
    valid: tuple[ArrayLike, ArrayLike],
    *,
    steps: int,
    batch_size: int,
    eval_every: int,
    seed: int,
    rate: float = 0.15,
    optimizer: keras.optimizers.Optimizer,
) -> Curve:
    """Train a model to guess masked tokens; it ends with its best weights on the validation texts.

    Args:
        model: what is trained.
        train: rows and mask, see `batches.lines`.
        valid: the same, for the validation loss: masked once, with a seed of its own.
        steps: training steps; a multiple of `eval_every`.
        batch_size: texts a step.
        eval_every: steps between evaluations.
        seed: chooses texts and places.
        rate: share of the tokens that is to be guessed.
        optimizer: not used before.

    Returns:
        The learning curve, nats per chosen token.

    Raises:
        ValueError: texts longer than the model reads; see `MaskedBatches` and `train`.
    """
    for rows, _ in (train, valid):
        if np.shape(rows)[1:] > (model.max_context,):
            raise ValueError(
                f"texts of {np.shape(rows)[1]} tokens; the model reads {model.max_context}"
            )
    ids = {"vocab_size": model.vocab_size, "mask_id": model.mask_id, "rate": rate}
    ids["padding_id"] = model.padding_id
    batches = MaskedBatches(*train, batch_size, eval_every, seed, **ids)
    held = MaskedBatches(*valid, min(256, 4 * len(valid[0])), 1, 0, **ids)[0]

    def validate() -> float:
        return float(model.test_on_batch(*held))

    return train_on(model, batches, validate, steps=steps, optimizer=optimizer)


def fine_tune(
    classifier: TextClassifier,
    rows: ArrayLike,
    labels: ArrayLike,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    optimizer: keras.optimizers.Optimizer,
) -> Curve:
    """Train a classifier for a number of steps; there is no validation part to stop by.

    Args:
        classifier: all of its weights that are trainable are trained.
        rows: ints, (n, time): a text a row, see `TextClassifier`.
        labels: ints, (n,), at least two classes.
        steps: training steps.
        batch_size: texts a step.
        seed: chooses their order.
        optimizer: not used before.

    Returns:
        A curve of one entry, whose `valid` is the mean of -log q(label | text) on these same
        texts at the end, nats.

    Raises:
        ValueError: labels of fewer than two or of too many classes, texts that are too long, and
            see `LabelledBatches`.
    """
    batches = LabelledBatches(rows, labels, batch_size, steps, seed)
    if batches.labels.max() >= classifier.classes:
        raise ValueError(
            f"labels must be below {classifier.classes}, the classes; got {batches.labels.max()}"
        )
    classifier.check(batches.rows)

    def final() -> float:
        log_probs = classifier.log_probs(batches.rows)
        return float(-log_probs[np.arange(len(log_probs)), batches.labels].mean())

    return train_on(classifier, batches, final, steps=steps, optimizer=optimizer, loss=token_loss())


def add_lora(model: keras.Model, rank: int, seed: int | None = None) -> float:
    """Freeze a body and give each of its matrices W a trainable part A B of low rank.

    The sum W + A B is used; B begins as zeros, so nothing changes before training.

    Args:
        model: a `GPT`, a `MaskedLanguageModel`, or a `TextClassifier`, whose head stays trainable.
        rank: columns of A and rows of B.
        seed: draws A.

    Returns:
        The share of the weights that is trained now.

    Raises:
        ValueError: if the rank is below 1, or the model has adapters already.

    Source: E. J. Hu et al., "LoRA: low-rank adaptation of large language models", 2022.
    """
    if rank < 1:
        raise ValueError(f"the rank must be at least 1, got {rank}")
    body = model.body if isinstance(model, TextClassifier) else model
    matrices = dense_layers(body)
    if any(layer.lora_enabled for layer in matrices):
        raise ValueError("the model has LoRA adapters already")
    for layer in body._flatten_layers(include_self=False):
        layer.trainable = False
    for layer, part in zip(matrices, split_seed(seed, len(matrices)), strict=True):
        layer.trainable = True
        he = keras.initializers.HeUniform(seed=part)
        layer.enable_lora(rank, a_initializer=he)
    for owner in {model, body}:
        owner._compiled.clear()  # what was compiled knows nothing of the adapters
    return trainable_share(model)


def trainable_share(model: keras.Model) -> float:
    """Return the share of a model's weights that training changes."""
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return trained / model.count_params()


def dense_layers(model: keras.Model) -> list[layers.Dense]:
    """Return the dense layers of a model, in the order of their making."""
    return [x for x in model._flatten_layers() if isinstance(x, layers.Dense)]
