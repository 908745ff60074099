"""What training, scoring and generation return at once where `benchmarks.gpu_plan` takes notes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import keras
import numpy as np

from benchmarks.gpu_memory import Plan
from textgen_utils.training.recorder import Recorder

LOSS = 1.0  # of every step and every evaluation


@contextlib.contextmanager
def nothing_trains() -> Iterator[Plan]:
    """Let Keras's training and the package's compiled calls return at once; gives the `Plan`."""
    noted = Plan()

    def fit(model: Any, *arguments: Any, **options: Any) -> keras.callbacks.History:
        return fitted(noted.add, model, *arguments, **options)

    def train_on_batch(model: Any, x: Any, y: Any = None, sample_weight: Any = None, **_: Any):
        data = [x, y] if sample_weight is None else [x, y, sample_weight]
        noted.add(model, keras.tree.map_structure(np.asarray, tuple(data)), 1, one_by_one=True)
        return 1.0

    trainer = keras.Model
    with (
        patch.object(trainer, "fit", fit),
        patch.object(trainer, "train_on_batch", train_on_batch),
        patch("textgen_utils.models.compiled.Compiled._called", called),
    ):
        yield noted


def fitted(
    note: Callable[..., None],
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    sample_weight: Any = None,
    callbacks: Any = (),
    **ignored: Any,
) -> keras.callbacks.History:
    """Note a call of `fit`, and return a history of equal losses.

    A `Recorder` among the callbacks gets a curve of one evaluation, and the weights as they are.

    Args:
        note: is called with model, a batch and steps.
        model, x, y, batch_size, epochs, sample_weight, callbacks: see `keras.Model.fit`.
        ignored: its other arguments, which change nothing here.
    """
    if isinstance(x, keras.utils.PyDataset):
        batches, batch = len(x), x[0]
    else:
        whole = tuple(part for part in (x, y, sample_weight) if part is not None)
        whole = keras.tree.map_structure(np.asarray, whole)
        rows = len(keras.tree.flatten(whole)[0])
        size = min(batch_size or 32, rows)
        batches = math.ceil(rows / size)
        batch = keras.tree.map_structure(lambda part: part[:size], whole)
    steps = epochs * batches
    for callback in callbacks or ():
        if isinstance(callback, Recorder):
            steps = callback.steps
            callback.best_weights = model.get_weights()
            callback.curve.append(steps, LOSS, LOSS, 1.0)
    note(model, keras.tree.map_structure(np.asarray, tuple(batch)), steps)
    history = keras.callbacks.History()
    history.set_model(model)
    history.history = {"loss": [LOSS] * epochs, "val_loss": [LOSS] * epochs}
    history.epoch = list(range(epochs))
    return history


def called(compiled: Any, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    """Return arrays of the shapes that a compiled call would give: integers 1, others -1.

    It stands in for the method of `models.compiled.Compiled` that makes the call.
    """

    def spec_of(x: Any) -> keras.KerasTensor:
        return keras.KerasTensor(np.shape(x), keras.backend.standardize_dtype(np.asarray(x).dtype))

    specs = keras.tree.map_structure(spec_of, tuple(inputs))
    shapes = str(specs)
    known = compiled.__dict__.setdefault("known", {})
    if shapes not in known:
        known[shapes] = compiled._model.compute_output_spec(specs)
    return keras.tree.map_structure(
        lambda spec: np.full(spec.shape, 1 if "int" in spec.dtype else -1, spec.dtype),
        known[shapes],
    )
