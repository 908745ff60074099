"""Compiled calls for Keras models outside of `fit`: scoring and decoding.

A method of a Keras model that is called by hand runs operation by operation. Here it becomes the
`call` of a small model around the owner, whose `predict_on_batch` is compiled once for a shape on
every backend and always sees the owner's current weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.exhausted import is_exhausted, shapes, shortage
from textgen_utils.losses import log_likelihood

LOWER = "batch_size or the length of the texts"


class Compiled:
    """A function of tensors, compiled; a plain object, so that its owner does not save it.

    Args:
        owner: the layer or model whose weights the function uses.
        function: takes tensors, batch axis first, and returns a tensor or a list of tensors.
        xla: whether TensorFlow compiles it with XLA; JAX always does.
    """

    def __init__(
        self, owner: keras.layers.Layer, function: Callable[..., Any], *, xla: bool = False
    ) -> None:
        self._model = FunctionModel(owner, function)
        if xla:
            self._model.jit_compile = True

    def __call__(self, *inputs: Any) -> Any:
        """Call the function with arrays or tensors and return NumPy arrays.

        Raises:
            MemoryError: if the device's memory does not suffice; says what was asked for.
        """
        return self._called(self._model.predict_on_batch, inputs)

    def tensors(self, *inputs: Any) -> Any:
        """Call the function; on TensorFlow the results stay tensors, for the next call to take up.

        Raises:
            MemoryError: see `__call__`.
        """
        if keras.config.backend() != "tensorflow":
            return self(*inputs)
        self._model.make_predict_function()
        return self._called(lambda x: self._model.predict_function([(x,)]), inputs)

    def _called(self, function: Callable[[Any], Any], inputs: tuple[Any, ...]) -> Any:
        try:
            return function(inputs)
        except Exception as error:
            if not is_exhausted(error):
                raise
            asked = shapes(keras.tree.flatten(inputs))
            scarce = shortage("scoring or generation", self._model.owner, asked, LOWER)
        raise scarce  # here, where the trace, some pages long, is no part of it


class FunctionModel(keras.Model):
    """A model whose call is a given function of its inputs."""

    def __init__(self, owner: keras.layers.Layer, function: Callable[..., Any]) -> None:
        super().__init__()
        self.owner = owner
        self.function = function

    def build(self, input_shape: Any) -> None:
        """Create nothing: the owner has its weights already."""
        self.built = True

    def call(self, inputs: tuple[Any, ...]) -> Any:
        """Return the function's result."""
        return self.function(*inputs)


class Scorer:
    """log p of every token of a batch of texts, from a model that maps ids to logits.

    Args:
        model: `model(ids)` gives logits, (batch, time) to (batch, time, vocab), where position t
            sees ids up to and including t.
        boundary: the id read before the first token.
    """

    def __init__(self, model: keras.Model, boundary: int) -> None:
        def score(read: Any, targets: Any) -> Any:
            return log_likelihood(targets, ops.cast(model(read, training=False), "float32"))

        self._boundary = boundary
        self._compiled = Compiled(model, score)

    def __call__(self, ids: ArrayLike) -> np.ndarray:
        """Return log p(ids[:, t] | boundary, ids[:, :t]), float32, shape (batch, time), nats."""
        ids = np.asarray(ids, np.int32)
        return self._compiled(shift_right(ids, self._boundary), ids)


class Predictor:
    """All predictions along a batch of texts, from a model that maps ids to logits.

    Args:
        model, boundary: see `Scorer`.
    """

    def __init__(self, model: keras.Model, boundary: int) -> None:
        self._boundary = boundary
        self._compiled = Compiled(
            model,
            lambda read: ops.log_softmax(ops.cast(model(read, training=False), "float32")),
        )

    def __call__(self, ids: ArrayLike) -> np.ndarray:
        """Return log p(w | boundary, ids[:, :t]), float32, (batch, time, vocab), nats."""
        return self._compiled(shift_right(np.asarray(ids, np.int32), self._boundary))


def call_in_batches(call: Compiled, batch_size: int, *arrays: np.ndarray) -> Any:
    """Call a compiled function on slices of the first axis, all of one shape, and join them."""
    n = len(arrays[0])
    batch_size = min(batch_size, n)
    parts = []
    for first in range(0, n, batch_size):
        slices = [array[first : first + batch_size] for array in arrays]
        missing = batch_size - len(slices[0])  # a new shape would compile anew
        parts.append(call(*(np.concatenate([x, x[:1].repeat(missing, axis=0)]) for x in slices)))
    return keras.tree.map_structure(lambda *rows: np.concatenate(rows)[:n], *parts)


def shift_right(ids: np.ndarray, boundary: int) -> np.ndarray:
    """Return what is read when `ids` is predicted: the boundary, then all but the last id.

    Args:
        ids: ints, shape (batch, time).
        boundary: the id that is read first.
    """
    front = np.full((len(ids), 1), boundary, ids.dtype)
    return np.concatenate([front, ids[:, :-1]], axis=1)
