"""The loss of a model as a function of its weights: values, gradients, slices.

Points are flat vectors of all trainable weights, float64; the model computes in its own precision
and is not changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import to_numpy

Array = np.ndarray
Loss = Callable[[Any, Any], Any]


class Surface:
    """The mean loss of a model over fixed examples, at any weights.

    Args:
        model: `model(inputs)` gives what the loss compares with the targets. It is called as in
            use, without dropout.
        inputs, targets: arrays, (examples, ...). All are read in one call.
        loss: ``loss(targets, outputs)`` gives a scalar, such as `losses.cross_entropy`.

    Raises:
        ValueError: if the model has no trainable weights, inputs and targets are not as many, or
            the backend is neither TensorFlow nor JAX.
    """

    def __init__(
        self, model: keras.Model, inputs: ArrayLike, targets: ArrayLike, loss: Loss
    ) -> None:
        inputs, targets = np.asarray(inputs), np.asarray(targets)
        if not model.trainable_variables:
            raise ValueError(f"{type(model).__name__} has no trainable weights: build it first")
        if not len(inputs) or len(inputs) != len(targets):
            raise ValueError(f"got {len(inputs)} inputs and {len(targets)} targets")
        make = {"tensorflow": _by_tape, "jax": _by_jax}.get(keras.config.backend())
        if make is None:
            raise ValueError(
                f'the backend must be "tensorflow" or "jax", got {keras.config.backend()!r}'
            )
        self.model = model
        self.shapes = [tuple(v.shape) for v in model.trainable_variables]
        self._data = tuple(map(ops.convert_to_tensor, (inputs, targets)))
        self._value, self._gradient = make(self._loss_at(loss))

    @property
    def point(self) -> Array:
        """The weights that the model has now, shape (n,)."""
        return _flat([v.numpy() for v in self.model.trainable_variables])

    def loss(self, point: ArrayLike) -> float:
        """Return the loss at a point, (n,)."""
        return float(to_numpy(self._value(*self._arguments(point))))

    def gradient(self, point: ArrayLike) -> Array:
        """Return the gradient of the loss at a point, (n,) to (n,)."""
        return _flat([to_numpy(g) for g in self._gradient(*self._arguments(point))])

    def losses(self, point: ArrayLike, directions: ArrayLike, steps: ArrayLike) -> Array:
        """Return the losses at point + steps @ directions.

        Args:
            point: (n,).
            directions: (k, n).
            steps: (..., k): how far to go in each direction.

        Returns:
            floats, shape (...).

        Raises:
            ValueError: if a shape is another one.
        """
        point, directions, steps = (np.asarray(a, float) for a in (point, directions, steps))
        if directions.ndim != 2 or not steps.ndim or steps.shape[-1] != len(directions):
            raise ValueError(
                f"k directions, (k, n), need steps of shape (..., k); got {directions.shape} and "
                f"{steps.shape}"
            )
        places = steps.reshape(-1, len(directions)) @ directions + point
        return np.array([self.loss(place) for place in places]).reshape(steps.shape[:-1])

    def direction(self, point: ArrayLike, seed: int) -> Array:
        """Return a random direction in which every filter moves as far as it is long, (n,).

        A filter is all that leads into one unit: a slice of a weight along its last axis. Each
        is a Gaussian vector of the length that the filter has at the point. Biases and gains do
        not move. So a model whose weights are twice as large, where that makes no difference to
        what it computes, does not look half as sharp.

        Source: H. Li et al., "Visualizing the loss landscape of neural nets", 2018.
        """
        rng = np.random.default_rng(seed)
        return _flat([_like_filters(rng, theta) for theta in self._split(point)])

    def _split(self, point: ArrayLike) -> list[Array]:
        point = np.asarray(point, float)
        sizes = [math.prod(shape) for shape in self.shapes]
        if point.shape != (sum(sizes),):
            raise ValueError(f"a point must have shape ({sum(sizes)},), got {point.shape}")
        parts = np.split(point, np.cumsum(sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def _arguments(self, point: ArrayLike) -> tuple[Any, ...]:
        types = [v.dtype for v in self.model.trainable_variables]
        weights = [
            ops.convert_to_tensor(part, dtype)
            for part, dtype in zip(self._split(point), types, strict=True)
        ]
        return weights, [v.value for v in self._others()], *self._data

    def _others(self) -> list[keras.Variable]:
        own = {id(v) for v in self.model.trainable_variables}
        return [v for v in self.model.variables if id(v) not in own]

    def _loss_at(self, loss: Loss) -> Callable[..., Any]:
        def value(weights: list[Any], others: list[Any], inputs: Any, targets: Any) -> Any:
            variables = [*self.model.trainable_variables, *self._others()]
            with keras.StatelessScope(list(zip(variables, [*weights, *others], strict=True))):
                return ops.cast(loss(targets, self.model(inputs, training=False)), "float32")

        return value


def _by_tape(value: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import tensorflow as tf

    @tf.function
    def gradient(weights: list[Any], *rest: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            total = value(weights, *rest)
        gradients = tape.gradient(total, weights, unconnected_gradients="zero")
        return [tf.convert_to_tensor(g) for g in gradients]  # an embedding's are slices

    return tf.function(value), gradient


def _by_jax(value: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import jax

    return jax.jit(value), jax.jit(jax.grad(value))


def _like_filters(rng: np.random.Generator, theta: Array) -> Array:
    if theta.ndim < 2:
        return np.zeros_like(theta)
    drawn = rng.normal(size=theta.shape)
    axes = tuple(range(theta.ndim - 1))
    lengths = [np.sqrt((a**2).sum(axis=axes, keepdims=True)) for a in (drawn, theta)]
    return drawn * lengths[1] / lengths[0]


def _flat(parts: list[Array]) -> Array:
    return np.concatenate([np.asarray(part, float).ravel() for part in parts])
