"""Training: `fit` with a learning curve, early stopping, and checkpoints that survive a kill."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches import Windows
from textgen_utils.evaluation import check_text, evaluate
from textgen_utils.exhausted import is_exhausted, shapes, shortage
from textgen_utils.training.checkpoint import check_place
from textgen_utils.training.curve import Curve
from textgen_utils.training.optimizer import adam, warmup_cosine
from textgen_utils.training.recorder import Recorder

LOWER = "batch_size first, then the window (or the texts' length), then the model's width or depth"


def train(
    model: keras.Model,
    train_ids: ArrayLike,
    valid_ids: ArrayLike,
    *,
    steps: int,
    window: int,
    batch_size: int,
    learning_rate: float = 3e-3,
    eval_every: int,
    seed: int,
    lines: bool = False,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: keras.losses.Loss | None = None,
    checkpoint: str | os.PathLike | None = None,
    patience: int | None = None,
    jit_compile: bool | None = None,
) -> Curve:
    """Train a language model on random windows of a text.

    In the end the model has the weights with the lowest validation loss that was seen.

    Args:
        model: `model(ids)` gives logits, (batch, time) to (batch, time, vocab), and it is a
            language model in the sense of `models.base`.
        train_ids: ints, shape (time,).
        valid_ids: ints, shape (time,). All of it is scored at each evaluation, every token with
            at least `window` tokens (half of the model's limit, if it has one) on its left, or
            with the line so far.
        steps: training steps; a multiple of `eval_every`.
        window: tokens a window.
        batch_size: windows a step.
        learning_rate: the peak of `warmup_cosine`; not used if there is an `optimizer`.
        eval_every: steps between evaluations.
        seed: chooses the windows. (The weights were drawn when the model was made.)
        lines: start every window at the model's boundary, and score every line on its own. For
            texts of short independent lines, where a window that starts inside a line lacks what
            its predictions depend on.
        optimizer: None: `adam` with `warmup_cosine`.
        loss: what is minimised, such as a `losses.NamedLoss`; None: the cross-entropy. The
            validation loss is the cross-entropy in any case.
        checkpoint: a file from which a run that was stopped goes on when it is started again
            with the same arguments, to the same result; written at each evaluation.
        patience: stop after so many evaluations in a row without a new lowest loss.
        jit_compile: compile the step with XLA on the TensorFlow backend (on JAX it always is).
            None: where there is an accelerator and each layer can be compiled, which an LSTM that
            runs with cuDNN cannot; never on a CPU.

    Returns:
        The learning curve.

    Raises:
        ValueError: if a number is out of range, a text too short or not of the model's tokens,
            the optimizer was used before, or the checkpoint is damaged or of a run with other
            settings.
        OSError: if the checkpoint cannot be written; known before the first step.
        FloatingPointError: if training diverges: a loss is not finite, or the mean training loss
            between two evaluations is more than three times the first step's (at least 0.1). The
            model then has its best weights so far.
        MemoryError: if the device's memory does not suffice; says what was asked for. The model
            has its best weights so far, and the checkpoint, if there is one, is kept.
    """
    boundary = model.boundary if lines else None
    batches = Windows(train_ids, window, batch_size, eval_every, seed, boundary=boundary)
    _check_tokens(batches.ids, model.vocab_size)
    context = window if model.max_context is None and not lines else None
    try:
        check_text(model, valid_ids, context=context, lines=lines)
    except ValueError as error:
        raise ValueError(f"the validation text cannot be scored: {error}") from error
    valid_ids = np.asarray(valid_ids)
    if optimizer is None:
        optimizer = adam(warmup_cosine(learning_rate, steps))

    def validate() -> float:
        return evaluate(model, valid_ids, context=context, lines=lines).nats_per_token

    return train_on(
        model,
        batches,
        validate,
        steps=steps,
        optimizer=optimizer,
        loss=loss,
        settings={
            "window": window,
            "batch_size": batch_size,
            "seed": seed,
            "lines": lines,
            "train_ids": _fingerprint(batches.ids),
            "valid_ids": _fingerprint(valid_ids),
        },
        checkpoint=checkpoint,
        patience=patience,
        jit_compile=jit_compile,
    )


def train_on(
    model: keras.Model,
    batches: keras.utils.PyDataset,
    validate: Callable[[], float],
    *,
    steps: int,
    optimizer: keras.optimizers.Optimizer,
    loss: keras.losses.Loss | None = None,
    settings: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    patience: int | None = None,
    jit_compile: bool | None = None,
) -> Curve:
    """Train a model on any batches, judged by any function.

    Args:
        model: maps the batches' inputs to what `loss` compares with their targets.
        batches: a dataset of `batches`, whose `epoch` can be set; one epoch of it is what is
            trained on between two evaluations. A mask, if there is one, weighs the targets.
        validate: returns the validation loss of the model as it is.
        steps: training steps; a multiple of ``len(batches)``.
        optimizer: not used before. A `GradientMonitor` tells the gradients' norms afterwards.
        loss: None: `token_loss`, for logits and targets of ints.
        settings: what else must be the same for a checkpoint to be continued, as JSON can hold
            it; what `batches` was made of belongs here.
        checkpoint: see `train`.
        patience: see `train`.
        jit_compile: see `train`.

    Returns:
        The learning curve.

    Raises:
        ValueError: see `train`; or if the loss became NaN at a batch that holds NaN itself,
            which is named. The model then has its best weights so far.
        OSError: see `train`.
        FloatingPointError: see `train`.
        MemoryError: see `train`.
    """
    every = len(batches)
    if not isinstance(steps, Integral) or steps < 1 or steps % every:
        raise ValueError(
            f"steps must be a multiple of the {every} between evaluations, got {steps}"
        )
    if patience is not None and patience < 1:
        raise ValueError(f"patience must be at least 1, got {patience}")
    _check_optimizer(optimizer)
    loss = token_loss() if loss is None else loss
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(f"loss must be a Keras loss, such as MeanSquaredError(), got {loss!r}")
    if checkpoint is not None:
        check_place(checkpoint)
    settings = {
        "steps": steps,
        "eval_every": every,
        "patience": patience,
        "model": [type(model).__name__, *(list(w.shape) for w in model.weights)],
        "optimizer": _without_names(optimizer.get_config()),
        "loss": [type(loss).__name__, _without_names(loss.get_config())],
        **(settings or {}),
    }
    recorder = Recorder(batches, validate, checkpoint, settings, patience, steps)
    try:
        model.compile(optimizer, loss, jit_compile=_xla(jit_compile))
        _fit(model, recorder)
    except Exception as error:
        if not is_exhausted(error):
            raise
        shortage = _shortage(model, recorder, error)
    else:
        return recorder.curve
    raise shortage  # here, where the trace, some pages long, is no part of it


def _xla(jit_compile: bool | None) -> bool | str:
    # JAX has no other way to be fast, so there is nothing to choose.
    if keras.config.backend() == "jax":
        return True
    return "auto" if jit_compile is None else jit_compile


def _fit(model: keras.Model, recorder: Recorder) -> None:
    """Take the steps that are missing; the model is compiled."""
    model.optimizer.build(model.trainable_variables)
    if recorder.path is not None and Path(recorder.path).exists():
        recorder.resume(model)
    if not recorder.finished:
        model.fit(
            recorder.batches,
            initial_epoch=len(recorder.curve),
            epochs=recorder.steps // len(recorder.batches),
            shuffle=False,
            verbose=0,
            callbacks=[recorder],
        )
    model.set_weights(recorder.best_weights)


def _shortage(model: keras.Model, recorder: Recorder, error: Exception) -> MemoryError:
    """Say what did not fit, and put the model back to the best weights that there are."""
    sizes = {name: recorder.settings.get(name) for name in ("batch_size", "window")}
    asked = [f"{name} {size}" for name, size in sizes.items() if size is not None]
    with suppress(Exception):  # what does not fit may be the batch
        asked.append(shapes(keras.tree.flatten(recorder.batches[0][0])))
    told = str(shortage("a training step", model, ", ".join(asked), LOWER))
    if isinstance(error, MemoryError):  # the validation's, or NumPy's: it knows more
        told = f"{told} While that was done: {error}"
    if recorder.bar is not None:
        told += f" What is left: {recorder.restored()}."
    if recorder.path is not None and Path(recorder.path).exists():
        told += (
            f" The checkpoint {recorder.path} is kept; a run with the same settings goes on from "
            "it, where there is more memory."
        )
    return MemoryError(told)


def token_loss() -> keras.losses.Loss:
    """Return the mean cross-entropy of logits over the positions that count, nats per token."""
    return TokenLoss(name="token_loss", reduction="mean_with_sample_weight")


@keras.saving.register_keras_serializable(package="textgen_utils")
class TokenLoss(keras.losses.Loss):
    """The cross-entropy of logits, (..., vocab), and ints, (...), nats each.

    Keras's own class takes the last axis away from the logits of a vocabulary of one.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each position."""
        return keras.ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


def _check_tokens(ids: np.ndarray, vocab_size: int) -> None:
    # Out of range, an embedding fails in mid-run, or gives NaN, or takes another token.
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(
            f"the training text's ids must lie in [0, {vocab_size}); got {ids.min()} to {ids.max()}"
        )


def _check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(f"optimizer must be a Keras optimizer, got {optimizer!r}")
    if done := int(optimizer.iterations):
        raise ValueError(f"the optimizer was used before, for {done} steps: make a new one")


def _without_names(config: Any) -> Any:
    """A configuration as JSON can hold it, without the names, which Keras counts up."""
    if isinstance(config, dict):
        return {k: _without_names(v) for k, v in config.items() if k != "name"}
    return config if isinstance(config, (int, float, str, bool, type(None))) else repr(config)


def _fingerprint(ids: np.ndarray) -> str:
    return f"{len(ids)} tokens, CRC {zlib.crc32(np.ascontiguousarray(ids)):08x}"
