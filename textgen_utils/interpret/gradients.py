"""What each token contributes to a score, from the score's gradient at the tokens' vectors.

A score is one number a text: a classifier's logit, or the log-probability of one token of a
translation. It is a function of embedded tokens x, (batch, time, size), and of a context that is
handed on to it; texts of a batch do not touch one another.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import to_numpy

Tensor = Any
Score = Callable[..., Tensor]
Gradient = Callable[..., tuple[np.ndarray, np.ndarray]]


class Attribution(NamedTuple):
    """Contributions of tokens to a difference of scores.

    Attributes:
        values: (batch, time), in the unit of the score.
        difference: (batch,), score(x) - score(baseline).
    """

    values: np.ndarray
    difference: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """By how much the contributions miss the difference that they should add up to, (batch,).

        Completeness means that this is zero.
        """
        return self.values.sum(axis=1) - self.difference


def gradient(owner: keras.layers.Layer, score: Score) -> Gradient:
    """Return a function that gives a score and its gradient, compiled once a shape.

    It always sees the owner's current weights.

    Args:
        owner: the layer or model whose weights the score uses.
        score: ``score(x, *context)``, tensors with the batch first, gives (batch,).

    Returns:
        A function of ``(x, *context)``, arrays with the batch first, that gives the scores,
        (batch,), and their gradients, the shape of x; float64.

    Raises:
        ValueError: at once, if the backend is neither TensorFlow nor JAX; in a call, if x is not
            (batch, time, size) or the score is not one number a text.
    """
    make = {"tensorflow": _by_tape, "jax": _by_jax}.get(keras.config.backend())
    if make is None:
        raise ValueError(
            f'the backend must be "tensorflow" or "jax", got {keras.config.backend()!r}'
        )
    differentiate = make(owner, score)

    def values_and_gradients(x: ArrayLike, *context: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = differentiate(_embedded(x), *map(np.asarray, context))
        return to_numpy(values), to_numpy(gradients)

    return values_and_gradients


def gradient_times_input(
    gradient: Gradient, x: ArrayLike, baseline: ArrayLike, *context: ArrayLike
) -> np.ndarray:
    """Return each token's step from the baseline times the gradient at x, (batch, time).

    It is what the tokens contribute to a score that is linear; for any other, a first guess.

    Args:
        gradient: what `gradient` returned.
        x: floats, (batch, time, size).
        baseline: the same shape: what stands for "no word here"; zeros give the plain product.
        *context: arrays, batch first, handed on to the score.

    Raises:
        ValueError: if the baseline has another shape than x.
    """
    x, baseline = _same_shape(x, baseline)
    _, gradients = gradient(x, *context)
    return ((x - baseline) * gradients).sum(axis=2)


def integrated_gradients(
    gradient: Gradient, x: ArrayLike, baseline: ArrayLike, *context: ArrayLike, steps: int = 32
) -> Attribution:
    """Return what each token contributes on the straight way from the baseline to x.

    (x - b) times the mean gradient over b + u (x - b), u from 0 to 1; the mean is taken at the
    middle of each of `steps` parts. The contributions add up to score(x) - score(b), up to an
    error that falls with the square of the steps where the score is smooth.

    Args:
        gradient: what `gradient` returned.
        x, baseline, context: see `gradient_times_input`.
        steps: at least 1; each costs one gradient.

    Raises:
        ValueError: if the baseline has another shape than x, or `steps` is below 1.

    Source: M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks", 2017.
    """
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps must be an integer of at least 1, got {steps!r}")
    x, baseline = _same_shape(x, baseline)
    mean = np.zeros(x.shape)
    for u in (np.arange(steps) + 0.5) / steps:
        mean += gradient(baseline + np.float32(u) * (x - baseline), *context)[1] / steps
    difference = gradient(x, *context)[0] - gradient(baseline, *context)[0]
    return Attribution(((x - baseline) * mean).sum(axis=2), difference)


def _by_tape(owner: keras.layers.Layer, score: Score) -> Callable[..., tuple[Tensor, Tensor]]:
    import tensorflow as tf

    @tf.function
    def differentiate(x: Tensor, *context: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = _one_a_text(score(x, *context), x)
        return values, tape.gradient(values, x, unconnected_gradients="zero")

    return differentiate


def _by_jax(owner: keras.layers.Layer, score: Score) -> Callable[..., tuple[Tensor, Tensor]]:
    import jax

    def total(x: Tensor, weights: list[Tensor], *context: Tensor) -> tuple[Tensor, Tensor]:
        # Weights enter as arguments: compiled in, they would never change again.
        with keras.StatelessScope(zip(owner.variables, weights, strict=True)):
            values = _one_a_text(score(x, *context), x)
        return values.sum(), values

    compiled = jax.jit(jax.grad(total, has_aux=True))

    def differentiate(x: np.ndarray, *context: np.ndarray) -> tuple[Tensor, Tensor]:
        gradients, values = compiled(x, [v.value for v in owner.variables], *context)
        return values, gradients

    return differentiate


def _one_a_text(values: Tensor, x: Tensor) -> Tensor:
    if len(values.shape) != 1 or values.shape[0] not in (None, x.shape[0]):
        raise ValueError(
            f"a score must be one number a text, ({x.shape[0]},), got {tuple(values.shape)}"
        )
    return ops.cast(values, "float32")


def _embedded(x: ArrayLike) -> np.ndarray:
    x = np.asarray(x, np.float32)
    if x.ndim != 3:
        raise ValueError(f"embedded tokens must be (batch, time, size), got shape {x.shape}")
    return x


def _same_shape(x: ArrayLike, baseline: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, baseline = _embedded(x), np.asarray(baseline, np.float32)
    if baseline.shape != x.shape:
        raise ValueError(f"the baseline must have the shape {x.shape} of x, got {baseline.shape}")
    return x, baseline
