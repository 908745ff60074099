"""What a model gives away of single training texts, and training that limits it.

A secret that was planted in the training text is exposed as far as the model ranks it before the
other secrets of its form. Training on clipped gradients with noise limits what one text can
change. The gradient of one text is that of a batch of one, given to an optimizer that only sums,
so that no backend's tape is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import inf, lgamma, log, log1p
from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from textgen_utils.models.base import LanguageModel, check_ids, to_numpy
from textgen_utils.models.compiled import shift_right
from textgen_utils.training.run import token_loss


def exposure(log_probs: ArrayLike, secret: int) -> float:
    """Return log2 of the number of possible secrets minus log2 of the rank of one, bits.

    The first of n has log2(n); one that the model ranks at random log2(e) = 1.44 on average.

    Args:
        log_probs: floats, shape (n,): how probable the model finds each possible secret.
        secret: the place of the planted one. Among equals it has the middle rank.

    Raises:
        ValueError: if there is no secret, NaN, or no such place.

    Source: N. Carlini et al., "The secret sharer", 2019.
    """
    log_probs = np.asarray(log_probs, np.float64)
    if log_probs.ndim != 1 or not log_probs.size or np.isnan(log_probs).any():
        raise ValueError(f"log_probs must be (n,) without NaN; got shape {log_probs.shape}")
    if not 0 <= secret < len(log_probs):
        raise ValueError(f"secret must be one of {len(log_probs)} places, got {secret}")
    mine = log_probs[secret]
    rank = 1 + np.sum(log_probs > mine) + (np.sum(log_probs == mine) - 1) / 2
    return float(np.log2(len(log_probs)) - np.log2(rank))


def code_log_probs(
    model: LanguageModel, prefix: ArrayLike, symbols: Sequence[int], length: int
) -> np.ndarray:
    """Return log p(code | prefix) of every code of `length` symbols, exactly.

    Args:
        model: any language model; it reads its boundary, then the prefix.
        prefix: ints, shape (time,), may be empty.
        symbols: k different tokens.
        length: symbols of a code, at least 1.

    Returns:
        floats, shape (k ** length,), nats, in the order of `itertools.product`: with the ten
        digits as symbols, the place of a code is its number.

    Raises:
        ValueError: if a token is none of the model's, a symbol is there twice or none at all, or
            the length is below 1.
    """
    prefix = check_ids(np.asarray(prefix, np.int32), model.vocab_size, ndim=1)
    symbols = check_ids(symbols, model.vocab_size, ndim=1)
    if not len(symbols) or len(set(symbols.tolist())) < len(symbols) or length < 1:
        raise ValueError(
            f"a code needs different symbols and a length of at least 1; got {symbols}, {length}"
        )
    begun = np.array([*product(range(len(symbols)), repeat=length - 1)], int)
    begun = begun.reshape(len(symbols) ** (length - 1), length - 1)
    rows = np.arange(len(begun))
    state, total = model.initial_state(len(rows)), np.zeros((len(rows), 1))
    for token in np.append(model.boundary, prefix):
        log_probs, state = model.step(np.full(len(rows), token, np.int32), state)
    for column in begun.T:
        total += to_numpy(log_probs)[rows, symbols[column]][:, None]
        log_probs, state = model.step(symbols[column], state)
    return (total + to_numpy(log_probs)[:, symbols]).ravel()


def epsilon(noise: float, share: float, steps: int, delta: float) -> float:
    """Return the epsilon of (epsilon, delta)-differential privacy of `train_privately`.

    No set of outcomes is more than exp(epsilon) times as probable, plus delta, with a text as
    without it. From the Rényi divergence of the sampled Gaussian at orders 2 to 256.

    Args:
        noise: standard deviation of the noise, in units of the clipped length.
        share: probability with which a text is in a step: batch size over texts.
        steps: training steps.
        delta: in (0, 1); well below one over the number of texts.

    Returns:
        epsilon; infinite without noise.

    Raises:
        ValueError: if an argument is out of range.

    Source: M. Abadi et al., "Deep learning with differential privacy", 2016; the divergence from
    I. Mironov, K. Talwar and L. Zhang, "Rényi differential privacy of the sampled Gaussian
    mechanism", 2019.
    """
    if noise < 0 or not 0 < share <= 1 or steps < 1 or not 0 < delta < 1:
        raise ValueError(
            "noise must be at least 0, share in (0, 1], steps at least 1 and delta in (0, 1); "
            f"got {noise}, {share}, {steps} and {delta}"
        )
    if noise == 0:
        return inf
    orders = range(2, 257)
    return min(steps * renyi(a, noise, share) - log(delta) / (a - 1) for a in orders)


def renyi(order: int, noise: float, share: float) -> float:
    """Return the Rényi divergence that one step adds at an integer order of at least 2, nats."""
    if share == 1:
        return order / (2 * noise**2)
    k = np.arange(order + 1)
    choose = lgamma(order + 1) - np.array([lgamma(i + 1) + lgamma(order - i + 1) for i in k])
    terms = choose + (order - k) * log1p(-share) + k * log(share) + (k * k - k) / (2 * noise**2)
    return max(0.0, float(logsumexp(terms)) / (order - 1))


class ClippedSum(keras.optimizers.Optimizer):
    """An optimizer that takes no step: it sums the gradients given to it, each clipped.

    Args:
        clip: the longest gradient that is added, by the norm over all weights; may be infinite.

    Raises:
        ValueError: if `clip` is not positive.
    """

    def __init__(self, clip: float) -> None:
        if not clip > 0:
            raise ValueError(f"clip must be positive, got {clip}")
        super().__init__(learning_rate=0.0)
        self.clip = clip

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the sums, of the shapes of the weights."""
        if not self.built:
            self.sums = [self.add_variable_from_reference(v, name="sum") for v in variables]
            super().build(variables)

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """Add one gradient, given in the order of the weights."""
        if not self.built:
            self.build(trainable_variables)
        # Adding zeros makes a dense gradient of the rows of an embedding that TensorFlow gives.
        dense = [ops.add(g, ops.zeros(s.shape)) for g, s in zip(grads, self.sums, strict=True)]
        norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in dense))
        scale = 1.0 / ops.maximum(1.0, norm / self.clip)
        for total, gradient in zip(self.sums, dense, strict=True):
            total.assign_add(scale * gradient)
        self._iterations.assign_add(1)

    def take(self) -> list[np.ndarray]:
        """Return the sums and begin new ones."""
        sums = [ops.convert_to_numpy(total.value) for total in self.sums]
        for total in self.sums:
            total.assign(ops.zeros(total.shape))
        return sums


def train_privately(
    model: keras.Model,
    rows: ArrayLike,
    mask: ArrayLike,
    *,
    clip: float,
    noise: float,
    batch_size: int,
    steps: int,
    optimizer: keras.optimizers.Optimizer,
    seed: int,
    jit_compile: bool = False,
) -> float:
    """Train a language model on clipped gradients of single texts, with noise (DP-SGD).

    In a step each text is drawn with probability ``batch_size / n``, the gradients of their mean
    losses are clipped and summed, Gaussian noise is added, and the optimizer steps with the
    result over `batch_size`.

    Args:
        model: as for `training.train`. It is compiled with a `ClippedSum`.
        rows: ints, shape (n, time): a text a row, as `batches.lines` makes them.
        mask: bool, same shape, true on what counts.
        clip: the longest gradient of a text; infinite: no clipping, which needs noise 0.
        noise: standard deviation of the noise in units of `clip`.
        batch_size: texts a step on average, at most n.
        steps: training steps.
        optimizer: takes the steps; not used before.
        seed: draws texts and noise.
        jit_compile: compile with XLA on TensorFlow; several times as fast on a processor.

    Raises:
        ValueError: if an argument is out of range, or the optimizer was used before.

    Source: M. Abadi et al., "Deep learning with differential privacy", 2016.
    """
    rows = check_ids(rows, model.vocab_size, ndim=2)
    weights = np.asarray(mask, np.float32)
    _check(rows, weights, clip, noise, batch_size, steps)
    if int(optimizer.iterations):
        raise ValueError(f"the optimizer was used before, for {int(optimizer.iterations)} steps")
    summed = ClippedSum(clip)
    # JAX has no other way to be fast, so there is nothing to choose.
    jit_compile = jit_compile or keras.config.backend() == "jax"
    model.compile(summed, token_loss(), jit_compile=jit_compile)
    summed.build(model.trainable_variables)
    read, rng = shift_right(rows, model.boundary), np.random.default_rng(seed)
    for _ in range(steps):
        for i in np.flatnonzero(rng.random(len(rows)) < batch_size / len(rows)):
            model.train_on_batch(read[i : i + 1], rows[i : i + 1], weights[i : i + 1])
        gradients = []
        for total in summed.take():
            added = noise * clip * rng.standard_normal(total.shape) if noise else 0.0
            gradients.append(ops.cast((total + added) / batch_size, "float32"))
        optimizer.apply(gradients, model.trainable_variables)


def _check(
    rows: np.ndarray, weights: np.ndarray, clip: float, noise: float, batch_size: int, steps: int
) -> None:
    if not rows.size or rows.shape != weights.shape or not weights.sum(axis=1).all():
        raise ValueError(
            "rows and mask must have one shape (n, time), and every text a token that counts; "
            f"got {rows.shape} and {weights.shape}"
        )
    if not 0 <= noise < inf or not clip > 0 or (clip == inf and noise):
        raise ValueError(
            "clip must be positive, and finite where there is noise, which must be at least 0; "
            f"got {clip} and {noise}"
        )
    for name, number in {"batch_size": batch_size, "steps": steps}.items():
        if not isinstance(number, Integral) or number < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {number!r}")
    if batch_size > len(rows):
        raise ValueError(f"batch_size must be at most the {len(rows)} texts, got {batch_size}")
