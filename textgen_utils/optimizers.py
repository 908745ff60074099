"""How a gradient is used: readable references of the update rules, arrays in, arrays out.

A rule is a frozen set of numbers. What it remembers of earlier gradients is its state, handed in
and handed back, so nothing is hidden::

    rule = Adam(learning_rate=0.1)
    state = rule.start(theta)
    theta, state = rule.step(theta, gradient, state)

Below, g is the gradient at theta_t, eta the learning rate of this step, and every product, root
and quotient is taken entry by entry. Defaults and trajectories are those of `keras.optimizers`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray
Rate = float | Callable[[int], float]
"""A learning rate, or a function from the number of steps done to the rate of the next one."""

State = tuple[int, tuple[Array, ...]]
"""The number of steps done, and the rule's memory: arrays of the shape of theta."""

Moved = tuple[Array, tuple[Array, ...]]
"""Theta after a step, and the memory."""


@dataclass(frozen=True)
class Rule(ABC):
    """What the rules have in common. A rule itself is its `_move`."""

    learning_rate: Rate = 0.01
    memories: ClassVar[int] = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))

    def start(self, theta: ArrayLike) -> State:
        """Return the state before the first step: an empty memory.

        Args:
            theta: floats, any shape.
        """
        zeros = np.zeros_like(_floats(theta))
        return 0, (zeros,) * self.memories

    def step(self, theta: ArrayLike, gradient: ArrayLike, state: State) -> tuple[Array, State]:
        """Return theta after one step, and the state after it; the arguments stay as they are.

        Args:
            theta: floats, any shape; the result has its dtype.
            gradient: floats, same shape.
            state: of `start`, or of the last step.

        Raises:
            ValueError: if the shapes of theta, gradient and memory differ, or a schedule gives a
                rate that is negative or not finite.
        """
        theta = _floats(theta)
        gradient = np.asarray(gradient, theta.dtype)
        done, memory = state
        if shapes := {a.shape for a in (gradient, *memory)} - {theta.shape}:
            raise ValueError(
                f"gradient and memory must have the shape of theta, {theta.shape}, got {shapes}"
            )
        theta, memory = self._move(theta, gradient, self._rate(done), done + 1, *memory)
        return theta, (done + 1, memory)

    @abstractmethod
    def _move(self, theta: Array, g: Array, eta: float, t: int, *memory: Array) -> Moved:
        """Return theta and the memory after step t = 1, 2, ..."""

    def _rate(self, done: int) -> float:
        if not callable(self.learning_rate):
            return self.learning_rate
        eta = float(self.learning_rate(done))
        if not 0 <= eta < math.inf:
            raise ValueError(
                f"the schedule gave the learning rate {eta} after {done} steps; it must be a "
                "finite number of at least 0"
            )
        return eta


@dataclass(frozen=True)
class GradientDescent(Rule):
    """theta - eta g.

    Source: A. Cauchy, 1847; with a gradient that is right on average only (SGD), H. Robbins and
    S. Monro, "A stochastic approximation method", 1951.
    """

    def _move(self, theta: Array, g: Array, eta: float, t: int) -> Moved:
        return theta - eta * g, ()


@dataclass(frozen=True)
class Momentum(Rule):
    """u = mu u - eta g;  theta + u  (mu: `momentum`).

    With `nesterov` the step is mu u - eta g, with the new u: the gradient is then that of the
    point where the momentum leads, and theta is the name of that point.

    Source: B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    Y. Nesterov, 1983, in the form of I. Sutskever et al., "On the importance of initialization
    and momentum in deep learning", 2013.
    """

    momentum: float = 0.9
    nesterov: bool = False
    memories: ClassVar[int] = 1

    def _move(self, theta: Array, g: Array, eta: float, t: int, u: Array) -> Moved:
        u = self.momentum * u - eta * g
        move = self.momentum * u - eta * g if self.nesterov else u
        return theta + move, (u,)


@dataclass(frozen=True)
class AdaGrad(Rule):
    """v = v + g^2;  theta - eta g / sqrt(v + epsilon).  v starts at `initial_accumulator`.

    Source: J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning
    and stochastic optimization", 2011.
    """

    learning_rate: Rate = 0.001
    initial_accumulator: float = 0.1
    epsilon: float = 1e-7

    def start(self, theta: ArrayLike) -> State:
        """Return the state before the first step: see `Rule.start`."""
        return 0, (np.full_like(_floats(theta), self.initial_accumulator),)

    def _move(self, theta: Array, g: Array, eta: float, t: int, v: Array) -> Moved:
        v = v + g**2
        return theta - eta * g / np.sqrt(v + self.epsilon), (v,)


@dataclass(frozen=True)
class RMSProp(Rule):
    """v = rho v + (1 - rho) g^2;  theta - eta g / sqrt(v + epsilon).

    Source: G. Hinton, "Neural networks for machine learning", lecture 6e, 2012.
    """

    learning_rate: Rate = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    memories: ClassVar[int] = 1

    def _move(self, theta: Array, g: Array, eta: float, t: int, v: Array) -> Moved:
        v = self.rho * v + (1 - self.rho) * g**2
        return theta - eta * g / np.sqrt(v + self.epsilon), (v,)


@dataclass(frozen=True)
class Adam(Rule):
    """m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;  theta - alpha m / d.

    d = sqrt(v) + epsilon. Both means start at zero, and are too small at first by the factors
    1 - beta^t; alpha = eta sqrt(1 - beta_2^t) / (1 - beta_1^t) sets that right. This epsilon is
    the paper's "epsilon hat", added to a v that is not yet corrected, as Keras does.

    Source: D. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015.
    """

    learning_rate: Rate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    memories: ClassVar[int] = 2

    def _move(self, theta: Array, g: Array, eta: float, t: int, m: Array, v: Array) -> Moved:
        m = self.beta_1 * m + (1 - self.beta_1) * g
        v = self.beta_2 * v + (1 - self.beta_2) * g**2
        alpha = eta * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return theta - alpha * m / (np.sqrt(v) + self.epsilon), (m, v)


@dataclass(frozen=True)
class AdamW(Adam):
    """theta = theta - eta lambda theta, then Adam's step  (lambda: `weight_decay`).

    The decay is not part of the gradient, so it is not divided by sqrt(v).

    Source: I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", 2019.
    """

    weight_decay: float = 0.004

    def _move(self, theta: Array, g: Array, eta: float, t: int, m: Array, v: Array) -> Moved:
        return super()._move(theta - eta * self.weight_decay * theta, g, eta, t, m, v)


@dataclass(frozen=True)
class Lion(Rule):
    """theta - eta sign(beta_1 m + (1 - beta_1) g);  then m = beta_2 m + (1 - beta_2) g.

    Before that, theta decays as in `AdamW`. beta_1 = 0 is descent by the sign of the gradient.

    Source: X. Chen et al., "Symbolic discovery of optimization algorithms", 2023.
    """

    learning_rate: Rate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0
    memories: ClassVar[int] = 1

    def _move(self, theta: Array, g: Array, eta: float, t: int, m: Array) -> Moved:
        theta = theta - eta * self.weight_decay * theta
        theta = theta - eta * np.sign(self.beta_1 * m + (1 - self.beta_1) * g)
        return theta, (self.beta_2 * m + (1 - self.beta_2) * g,)


@dataclass(frozen=True)
class Muon(Rule):
    """u = mu u + g;  theta - eta scale O(g + mu u): a momentum whose matrix is made orthogonal.

    O keeps the singular vectors and moves the singular values to about 1 (`orthogonalise`).
    scale = `rms_rate` sqrt(max(rows, columns)) gives a step of any shape entries of the size of
    Adam's; None: scale 1. Without `nesterov`, O(u). Before that, theta decays as in `AdamW`.

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024;
    scale and decay from J. Liu et al., "Muon is scalable for LLM training", 2025.
    """

    learning_rate: Rate = 0.001
    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.004
    rms_rate: float | None = 0.2
    memories: ClassVar[int] = 1

    def start(self, theta: ArrayLike) -> State:
        """Return the state before the first step: see `Rule.start`.

        Raises:
            ValueError: if theta is not a matrix.
        """
        _matrix(_floats(theta), "Muon moves")
        return super().start(theta)

    def _move(self, theta: Array, g: Array, eta: float, t: int, u: Array) -> Moved:
        u = self.momentum * u + g
        direction = orthogonalise(g + self.momentum * u if self.nesterov else u)
        scale = 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(theta.shape))
        theta = theta - eta * self.weight_decay * theta
        return theta - eta * scale * direction, (u,)


def orthogonalise(matrix: ArrayLike, iterations: int = 5) -> Array:
    """Return a matrix with the same singular vectors and singular values near 1.

    X = aX + (bA + cA^2)X with A = XX' maps each singular value s to as + bs^3 + cs^5. With these
    coefficients small values grow fast and large ones stay near 1: after five iterations all
    that were above 0.002 of the matrix's Frobenius norm lie between 0.68 and 1.21.

    Args:
        matrix: floats, shape (rows, columns).
        iterations: how often the polynomial is applied.

    Raises:
        ValueError: if `matrix` has not two axes.

    Source: the Newton-Schulz iteration, in the form of K. Jordan et al., 2024.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    matrix = _floats(matrix)
    _matrix(matrix, "orthogonalise takes")
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def clip_by_norm(gradient: ArrayLike, limit: float) -> Array:
    """Return the gradient, shortened to the length `limit` if it is longer.

    Raises:
        ValueError: if the limit is not positive.

    Source: R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
    networks", 2013.
    """
    if not limit > 0:
        raise ValueError(f"the longest gradient must have a positive length, got {limit}")
    gradient = _floats(gradient)
    return gradient * min(1.0, limit / max(float(np.linalg.norm(gradient)), 1e-300))


def minimise(
    rule: Rule, gradient: Callable[[Array], ArrayLike], theta: ArrayLike, steps: int
) -> Array:
    """Return the path that a rule takes.

    Args:
        rule: how a gradient is used.
        gradient: from theta to the gradient there, same shape; or an estimate of it.
        theta: where to start; floats, any shape.
        steps: how many steps to take, at least 1.

    Returns:
        floats, shape (steps + 1, ...) with the shape of theta for the dots; the start comes first.

    Raises:
        ValueError: if steps is not a positive integer, or a shape or rate is wrong.
        FloatingPointError: if theta or a gradient is no longer finite.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps must be a positive integer, got {steps!r}")
    path = [_floats(theta)]
    _check_finite(path[0], "theta", 0, rule)
    state = rule.start(path[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for number in range(1, steps + 1):
            g = np.asarray(gradient(path[-1]))
            _check_finite(g, "the gradient", number, rule)
            theta, state = rule.step(path[-1], g, state)
            _check_finite(theta, "theta", number, rule)
            path.append(theta)
    return np.stack(path)


def _check(name: str, value: object) -> None:
    if (name == "learning_rate" and callable(value)) or (name == "rms_rate" and value is None):
        return
    number = isinstance(value, Real) and not isinstance(value, bool)
    if name == "nesterov":
        right, accepted = isinstance(value, bool), "True or False"
    elif name in ("learning_rate", "rms_rate"):
        right, accepted = number and 0 < value < math.inf, "positive and finite"
    elif name in ("epsilon", "weight_decay", "initial_accumulator"):
        right, accepted = number and 0 <= value < math.inf, "finite and at least 0"
    else:
        right, accepted = number and 0 <= value < 1, "in [0, 1)"
    if not right:
        raise ValueError(f"{name} must be {accepted}, got {value!r}")


def _check_finite(values: Array, what: str, step: int, rule: Rule) -> None:
    if np.isfinite(values).all():
        return
    if step == 0:
        raise FloatingPointError(f"{what} is not finite before the first step: check the start")
    raise FloatingPointError(
        f"{what} is not finite at step {step} of {rule}. Look at the sizes of theta and the "
        "gradient in the steps before: if they grow, lower the learning rate or clip the "
        "gradient; if they do not, the loss or the data hold a NaN, a zero under a logarithm or "
        "a division by zero"
    )


def _matrix(theta: Array, who: str) -> None:
    if theta.ndim != 2:
        raise ValueError(f"{who} a matrix, with two axes, got shape {theta.shape}")


def _floats(values: ArrayLike) -> Array:
    values = np.asarray(values)
    return values if np.issubdtype(values.dtype, np.floating) else values.astype(float)
