"""How sharply a loss bends: extreme eigenvalues of its Hessian, from gradients alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray


class Sharpness(NamedTuple):
    """How sharply a loss bends at a point.

    Attributes:
        largest: the largest eigenvalue of the Hessian: the curvature in the steepest direction.
        smallest: the smallest one, from above; negative where the point is no minimum.
        error: no further away from `largest` is an eigenvalue, if the products were exact.
    """

    largest: float
    smallest: float
    error: float


def hessian_product(
    gradient: Callable[[Array], Array], point: ArrayLike, vector: ArrayLike, step: float = 1e-2
) -> Array:
    """Return the Hessian times a vector, from two gradients, (n,).

    (g(point + s v) - g(point - s v)) / 2s for the unit vector v, times the vector's length. A
    smaller step bends less and rounds more: in single precision 1e-2 is a fair middle for
    weights of ordinary size.

    Args:
        gradient: from a point to the gradient there, both (n,).
        point, vector: (n,).
        step: how far apart from the point the gradients are taken, positive.

    Raises:
        ValueError: if the step is not positive, or the vector not of the point's shape.
    """
    point, vector = np.asarray(point, float), np.asarray(vector, float)
    if not 0 < step < math.inf:
        raise ValueError(f"step must be positive and finite, got {step!r}")
    if point.ndim != 1 or vector.shape != point.shape:
        raise ValueError(f"point and vector must be (n,), got {point.shape} and {vector.shape}")
    length = np.linalg.norm(vector)
    if not length:
        return np.zeros_like(point)
    move = step / length * vector
    return (gradient(point + move) - gradient(point - move)) * (length / (2 * step))


def sharpness(
    gradient: Callable[[Array], Array],
    point: ArrayLike,
    *,
    iterations: int = 20,
    step: float = 1e-2,
    seed: int = 0,
) -> Sharpness:
    """Return the largest and the smallest eigenvalue of the Hessian by Lanczos iteration.

    The extreme eigenvalues of the Hessian seen from the space of v, Hv, H^2 v, ... for a random
    v. They approach those of the whole from inside, and sooner than the power iteration, which
    only uses the last of these vectors.

    Args:
        gradient: from a point to the gradient there, both (n,).
        point: (n,).
        iterations: Hessian products, two gradients each; no more than n are made.
        step: see `hessian_product`.
        seed: draws v.

    Raises:
        ValueError: if `iterations` is no integer or below 1, or the step not positive.
        FloatingPointError: if a gradient is not finite.

    Source: C. Lanczos, "An iteration method for the solution of the eigenvalue problem of linear
    differential and integral operators", 1950.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, Integral) or iterations < 1:
        raise ValueError(f"iterations must be an integer of at least 1, got {iterations!r}")
    point = np.asarray(point, float)
    v = np.random.default_rng(seed).normal(size=point.shape)
    basis, diagonal, beside = [v / np.linalg.norm(v)], [], []
    while True:
        product = hessian_product(gradient, point, basis[-1], step)
        if not np.isfinite(product).all():
            raise FloatingPointError("a gradient near the point is not finite")
        diagonal.append(float(product @ basis[-1]))
        known = np.array(basis)
        for _ in range(2):  # once would leave what rounding has mixed in
            product = product - known.T @ (known @ product)
        rest = float(np.linalg.norm(product))
        scale = max(map(abs, diagonal + beside))
        if len(diagonal) == min(iterations, len(point)) or rest <= 1e-6 * scale:
            break
        beside.append(rest)
        basis.append(product / rest)
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return Sharpness(float(values[-1]), float(values[0]), rest * abs(float(vectors[-1, -1])))
