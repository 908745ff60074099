"""Training: `fit` with a learning curve, early stopping, and checkpoints that survive a kill."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict
from numbers import Integral
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches import Windows
from textgen_utils.evaluation import check_text, evaluate
from textgen_utils.runtime import progress_bar
from textgen_utils.training.checkpoint import check_place, load_checkpoint, save_checkpoint
from textgen_utils.training.curve import Curve
from textgen_utils.training.optimizer import adam, warmup_cosine


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
    checkpoint: str | os.PathLike | None = None,
    patience: int | None = None,
    jit_compile: bool = False,
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
        checkpoint: a file from which a run that was stopped goes on when it is started again
            with the same arguments, to the same result; written at each evaluation.
        patience: stop after so many evaluations in a row without a new lowest loss.
        jit_compile: compile the step with XLA on the TensorFlow backend (on JAX it always is).

    Returns:
        The learning curve.

    Raises:
        ValueError: if a number is out of range, a text too short or not of the model's tokens,
            the optimizer was used before, or the checkpoint is damaged or of a run with other
            settings.
        OSError: if the checkpoint cannot be written; known before the first step.
        FloatingPointError: if a loss is not finite; the model then has its best weights so far.
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
    settings: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    patience: int | None = None,
    jit_compile: bool = False,
) -> Curve:
    """Train a model that gives logits on any batches, judged by any function.

    Args:
        model: maps the batches' inputs to logits.
        batches: a dataset of `batches`, whose `epoch` can be set; one epoch of it is what is
            trained on between two evaluations. Targets are ints; a mask, if there is one,
            weighs the positions.
        validate: returns the validation loss of the model as it is, nats per token.
        steps: training steps; a multiple of ``len(batches)``.
        optimizer: not used before.
        settings: what else must be the same for a checkpoint to be continued, as JSON can hold
            it; what `batches` was made of belongs here.
        checkpoint: see `train`.
        patience: see `train`.
        jit_compile: see `train`.

    Returns:
        The learning curve.

    Raises:
        ValueError: see `train`.
        OSError: see `train`.
        FloatingPointError: see `train`.
    """
    every = len(batches)
    if not isinstance(steps, Integral) or steps < 1 or steps % every:
        raise ValueError(
            f"steps must be a multiple of the {every} between evaluations, got {steps}"
        )
    if patience is not None and patience < 1:
        raise ValueError(f"patience must be at least 1, got {patience}")
    _check_optimizer(optimizer)
    if checkpoint is not None:
        check_place(checkpoint)
    # JAX has no other way to be fast, so there is nothing to choose.
    jit_compile = jit_compile or keras.config.backend() == "jax"
    model.compile(optimizer, token_loss(), jit_compile=jit_compile)
    optimizer.build(model.trainable_variables)
    settings = {
        "steps": steps,
        "eval_every": every,
        "patience": patience,
        "model": [type(model).__name__, *(list(w.shape) for w in model.weights)],
        "optimizer": {k: repr(v) for k, v in optimizer.get_config().items() if k != "name"},
        **(settings or {}),
    }
    recorder = Recorder(batches, validate, checkpoint, settings, patience, steps)
    if checkpoint is not None and Path(checkpoint).exists():
        recorder.resume(model)
    if not recorder.finished:
        model.fit(
            batches,
            initial_epoch=len(recorder.curve),
            epochs=steps // every,
            shuffle=False,
            verbose=0,
            callbacks=[recorder],
        )
    model.set_weights(recorder.best_weights)
    return recorder.curve


def token_loss() -> keras.losses.Loss:
    """Return the mean cross-entropy of logits over the positions that count, nats per token."""
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )


class Recorder(keras.callbacks.Callback):
    """Evaluates after each epoch of `fit`, and decides whether to go on.

    Args:
        batches: told of each epoch by its number: Keras draws a batch and ends an epoch before
            the first one, to learn the shapes.
        validate: returns the validation loss, nats per token.
        path: the checkpoint's file, or None.
        settings: what the run was started with.
        patience: see `train`.
        steps: training steps in all.
    """

    def __init__(
        self,
        batches: keras.utils.PyDataset,
        validate: Callable[[], float],
        path: str | os.PathLike | None,
        settings: dict[str, Any],
        patience: int | None,
        steps: int,
    ) -> None:
        super().__init__()
        self.batches = batches
        self.validate = validate
        self.path = path
        self.settings = settings
        self.patience = patience
        self.steps = steps
        self.curve = Curve()
        self.best_weights: list[np.ndarray] = []
        self.step = 0
        self.before = 0.0

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        curve = self.curve
        if not len(curve):
            return False
        tired = self.patience is not None and len(curve) - 1 - curve.best >= self.patience
        return tired or curve.steps[-1] >= self.steps

    def resume(self, model: keras.Model) -> None:
        """Take up the run where its checkpoint left it."""
        self.best_weights, progress = load_checkpoint(self.path, model, self.settings)
        self.curve = Curve.from_dict(progress["curve"])
        self.step = self.curve.steps[-1]
        self.before = self.curve.seconds[-1]

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the clock and the progress bar."""
        self.best_weights = self.best_weights or self.model.get_weights()
        self.start = time.perf_counter()
        self.bar = progress_bar("training", total=self.steps, initial=self.step)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Choose the epoch's batches."""
        self.batches.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the step; stop at a loss that is not finite."""
        self.step += 1
        # The mean of the epoch so far: not finite from the first step that is not.
        if not math.isfinite(float(logs["loss"])):
            self._diverged("the training loss")
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Evaluate, keep the best weights, write the checkpoint."""
        valid = self.validate()
        if not math.isfinite(valid):
            self._diverged("the validation loss")
        seconds = self.before + time.perf_counter() - self.start
        self.curve.append(self.step, float(logs["loss"]), valid, seconds)
        if self.curve.best == len(self.curve) - 1:
            self.best_weights = self.model.get_weights()
        self.bar.set_postfix(valid=f"{valid:.4f}")
        if self.path is not None:
            progress = {"curve": asdict(self.curve)}
            save_checkpoint(self.path, self.model, self.best_weights, self.settings, progress)
        if self.finished:
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:
        """Take the progress bar away."""
        self.bar.close()

    def _diverged(self, what: str) -> None:
        self.bar.close()
        self.model.set_weights(self.best_weights)
        last = self.curve.steps[self.curve.best] if len(self.curve) else 0
        raise FloatingPointError(
            f"{what} is not finite at step {self.step}; the model has the weights of step {last} "
            "again. A lower learning rate or a stricter clip may help"
        )


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


def _fingerprint(ids: np.ndarray) -> str:
    return f"{len(ids)} tokens, CRC {zlib.crc32(np.ascontiguousarray(ids)):08x}"
