"""What watches a run of `fit`: curve, best weights, checkpoint, and when to stop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from textgen_utils.runtime import progress_bar
from textgen_utils.training.checkpoint import load_checkpoint, save_checkpoint
from textgen_utils.training.curve import Curve

# A model that knows nothing is at about the loss of its first step. One that pays three times as
# much, on average over all the steps between two evaluations, is sure of what is wrong: it has not
# stumbled but gone. A first loss near zero, of a model trained before, may be the luck of a batch.
DIVERGED = 3.0
LUCK = 0.1


class Recorder(keras.callbacks.Callback):
    """Evaluates after each epoch of `fit`, and decides whether to go on.

    Args:
        batches: told of each epoch by its number: Keras draws a batch and ends an epoch before
            the first one, to learn the shapes.
        validate: returns the validation loss.
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
        self.first_loss = math.inf
        self.before = 0.0
        self.bar: Any = None

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
        self.first_loss = progress["first_loss"]
        self.before = self.curve.seconds[-1]

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the clock and the progress bar."""
        self.best_weights = self.best_weights or self.model.get_weights()
        self.start = time.perf_counter()
        self.bar = progress_bar("training", total=self.steps, initial=self.step)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Choose the epoch's batches."""
        self.epoch = self.batches.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the step; stop at a loss that is not finite."""
        self.step += 1
        loss = float(logs["loss"])  # the mean of the epoch so far
        if self.step == 1:
            self.first_loss = loss
        if not math.isfinite(loss):
            self._check_data(batch)
            self._diverged(f"the training loss is not finite at step {self.step}")
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Evaluate, keep the best weights, write the checkpoint."""
        loss = float(logs["loss"])
        if loss > DIVERGED * max(self.first_loss, LUCK):
            self._diverged(
                f"training diverges: at step {self.step} the mean loss since the last evaluation "
                f"is {loss:.4g}, more than {DIVERGED:g} times the first step's "
                f"{self.first_loss:.4g}"
            )
        valid = self.validate()
        if not math.isfinite(valid):
            self._diverged(f"the validation loss is not finite at step {self.step}")
        seconds = self.before + time.perf_counter() - self.start
        self.curve.append(self.step, loss, valid, seconds)
        if self.curve.best == len(self.curve) - 1:
            self.best_weights = self.model.get_weights()
        self.bar.set_postfix(valid=f"{valid:.4f}")
        if self.path is not None:
            progress = {"curve": asdict(self.curve), "first_loss": self.first_loss}
            save_checkpoint(self.path, self.model, self.best_weights, self.settings, progress)
        if self.finished:
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:
        """Take the progress bar away."""
        self.bar.close()

    def restored(self) -> str:
        """Put the best weights back into the model, and say which these are."""
        self.bar.close()
        self.model.set_weights(self.best_weights)
        last = self.curve.steps[self.curve.best] if len(self.curve) else 0
        return f"the model has the weights of step {last} again"

    def _check_data(self, batch: int) -> None:
        """Look once more at the batch of the step: the fault may be its own."""
        self.batches.epoch = self.epoch  # Keras may have gone on to the next
        for name, part in zip(("inputs", "targets", "weights"), self.batches[batch], strict=False):
            arrays = [np.asarray(array) for array in keras.tree.flatten(part)]
            if any(a.dtype.kind == "f" and np.isnan(a).any() for a in arrays):
                raise ValueError(
                    f"the {name} of step {self.step} (epoch {self.epoch}, batch {batch}) hold NaN; "
                    + self.restored()
                )

    def _diverged(self, what: str) -> None:
        raise FloatingPointError(
            f"{what}; {self.restored()}. Look at the learning rate (lower it, or warm up for "
            "longer), at the norms of the gradients (GradientMonitor; clip them), and at the data"
        )
