"""A variational autoencoder of texts: a point for each text, and a text model for each point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.losses import log_likelihood, masked_mean
from textgen_utils.models.base import check_settings, until_boundary
from textgen_utils.models.compiled import Compiled, call_in_batches
from textgen_utils.models.latent import (
    AtPoint,
    check_points,
    check_texts,
    kl_from_prior,
    reparametrise,
)
from textgen_utils.models.vae_bounds import Bounds, estimate
from textgen_utils.runtime import split_seed

Tensor = Any


@keras.saving.register_keras_serializable(package="textgen_utils")
class VAE(keras.Model):
    """An LSTM reads a text into a normal distribution over points z, another writes it from z.

    The prior of z is a standard normal one, so p(x) = E p(x | z). `fit` minimises, per token,
    -E log p(x | z) + beta * KL(q(z | x) || p(z)), the negative of the evidence lower bound where
    beta is 1; z = mean + exp(log_var / 2) * noise, so that gradients reach the encoder.
    `condition` gives the language model of the texts of some points, `bound` the lower bounds of
    log p(x).

    Args:
        vocab_size: the number of tokens.
        latent: the size of z.
        width: units of the decoder's LSTM, which starts from z and reads it at every step.
        encoder_width: units of the encoder's LSTM, half for each direction; even.
        embedding_width: size of a token's vector, shared by both.
        kl_weight: beta. Below 1, z may say more than the bound pays for.
        annealing: steps over which beta rises from 0 to `kl_weight`.
        free_bits: nats that each dimension's KL, the mean of a batch, may cost before it counts.
        word_dropout: share of the tokens that the decoder, in training, reads as unknown.
        boundary: the id that is read before the first token of a text and that ends it.
        seed: draws weights, noise and dropped words; None: Keras's own seed does.

    Raises:
        ValueError: if a size is below 1, `encoder_width` is odd, a weight or `free_bits` or
            `annealing` is negative or not finite, or `word_dropout` is not in [0, 1).

    Source: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", 2014; for text, with
    annealing and word dropout, S. Bowman et al., "Generating sentences from a continuous space",
    2016; free bits, D. P. Kingma et al., "Improving variational inference with inverse
    autoregressive flow", 2016.
    """

    max_context = None

    def __init__(
        self,
        vocab_size: int,
        *,
        latent: int = 16,
        width: int = 88,
        encoder_width: int = 80,
        embedding_width: int = 64,
        kl_weight: float = 1.0,
        annealing: int = 0,
        free_bits: float = 0.0,
        word_dropout: float = 0.0,
        boundary: int,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        sizes = {"vocab_size": vocab_size, "latent": latent, "width": width}
        sizes |= {"encoder_width": encoder_width, "embedding_width": embedding_width}
        check_settings(sizes, 0.0, boundary)
        _check_training(kl_weight, annealing, free_bits, word_dropout)
        if encoder_width % 2:
            raise ValueError(f"encoder_width must be even, half a direction, got {encoder_width}")
        self.vocab_size = vocab_size
        self.latent = latent
        self.width = width
        self.encoder_width = encoder_width
        self.embedding_width = embedding_width
        self.kl_weight = kl_weight
        self.annealing = annealing
        self.free_bits = free_bits
        self.word_dropout = word_dropout
        self.boundary = boundary
        self.seed = seed
        seeds = iter(split_seed(seed, 16))

        def dense(units: int, activation: str | None = None) -> layers.Dense:
            glorot = keras.initializers.GlorotUniform(seed=next(seeds))
            return layers.Dense(units, activation, kernel_initializer=glorot)

        # One more vector than tokens: that of a dropped word.
        uniform = keras.initializers.RandomUniform(seed=next(seeds))
        self.tokens = layers.Embedding(vocab_size + 1, embedding_width, uniform)
        self.forwards = _lstm(encoder_width // 2, seeds)
        self.backwards = _lstm(encoder_width // 2, seeds, go_backwards=True)
        self.to_mean, self.to_log_var = dense(latent), dense(latent)
        self.to_state = dense(2 * width, "tanh")
        self.decoder = _lstm(width, seeds, return_sequences=True)
        self.head = dense(vocab_size)
        self.noise = keras.random.SeedGenerator(next(seeds))
        self._compiled: dict[str, Compiled] = {}
        self.build(None)

    def build(self, input_shape: Any) -> None:
        """Create the weights; nothing of `input_shape` is used."""
        if self.built:
            return
        self.tokens.build((None, None))
        for layer in (self.forwards, self.backwards):
            layer.build((None, None, self.embedding_width))
        for layer in (self.to_mean, self.to_log_var):
            layer.build((None, self.encoder_width))
        self.to_state.build((None, self.latent))
        self.decoder.build((None, None, self.embedding_width + self.latent))
        self.head.build((None, None, self.width))
        self.steps_done = self.add_weight(
            name="steps_done", shape=(), initializer="zeros", trainable=False
        )
        self.built = True

    def call(
        self, inputs: tuple[Tensor, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read texts and predict their tokens from one point each.

        Args:
            inputs: text, ints (batch, time), filled up with the boundary; and the same moved right
                by one with the boundary in front, as `batches.PairBatches` makes them.
            training: whether the point is drawn and words are dropped; else it is the mean.

        Returns:
            logits (batch, time, vocab_size), mean and log-variance of z (batch, latent).
        """
        text, shifted = inputs
        mean, log_var = self.read(text)
        z = mean
        if training:
            self.steps_done.assign_add(1.0)
            noise = keras.random.normal(ops.shape(mean), seed=self.noise)
            z = reparametrise(mean, log_var, noise)
            if self.word_dropout:
                level = keras.random.uniform(ops.shape(shifted), seed=self.noise)
                shifted = ops.where(level < self.word_dropout, self.vocab_size, shifted)
        return self.write(z, shifted), mean, log_var

    def read(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | text), each (batch, latent)."""
        own = until_boundary(text, self.boundary)
        x = self.tokens(text)
        h = [layer(x, mask=own) for layer in (self.forwards, self.backwards)]
        h = ops.concatenate(h, axis=-1)
        return self.to_mean(h), self.to_log_var(h)

    def write(self, z: Tensor, shifted: Tensor) -> Tensor:
        """Return logits of whole texts at points z (batch, latent): (batch, time, vocab_size)."""
        x = self.tokens(shifted)
        again = ops.repeat(z[:, None], ops.shape(x)[1], axis=1)
        x = ops.concatenate([x, again], axis=-1)
        return self.head(self.decoder(x, initial_state=self.start(z)))

    def start(self, z: Tensor) -> list[Tensor]:
        """Return the decoder's first h and c, each (batch, width)."""
        return list(ops.split(self.to_state(z), 2, axis=-1))

    def advance(self, tokens: Tensor, z: Tensor, h: Tensor, c: Tensor) -> list[Tensor]:
        """Read one token each, (batch,); return log-probabilities (batch, vocab_size), h and c."""
        x = ops.concatenate([self.tokens(tokens), z], axis=-1)
        h, state = self.decoder.cell(x, [h, c])
        return [ops.log_softmax(ops.cast(self.head(h), "float32")), *state]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss, nats per token: y are the texts, `sample_weight` their own tokens."""
        logits, mean, log_var = y_pred
        weights = ops.ones_like(y) if sample_weight is None else sample_weight
        reconstruction = -masked_mean(log_likelihood(y, ops.cast(logits, "float32")), weights)
        kl = ops.mean(kl_from_prior(mean, log_var), axis=0)  # of each dimension
        kl = ops.sum(ops.maximum(kl, self.free_bits))
        tokens = ops.sum(ops.cast(weights, kl.dtype)) / ops.cast(ops.shape(y)[0], kl.dtype)
        return reconstruction + self.weight_now() * kl / tokens

    def weight_now(self) -> Tensor:
        """Return beta after the steps done so far."""
        share = self.steps_done / max(self.annealing, 1)
        return self.kl_weight * (ops.minimum(share, 1.0) if self.annealing else 1.0)

    def encode(self, ids: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and log-variance of q(z | x), float32, each (n, latent).

        Args:
            ids: texts, ints (n, time), each up to and with its first boundary.

        Raises:
            ValueError: no texts, an empty one, one without a boundary, or an id out of range.
        """
        ids = self._texts(ids)
        return call_in_batches(self.compiled_call("read", lambda x: list(self.read(x))), 256, ids)

    def condition(self, z: ArrayLike) -> AtPoint:
        """Return the language model of the texts of points z, (n, latent).

        Raises:
            ValueError: no points, of another size, or not finite.
        """
        return AtPoint(self, check_points(z, self.latent))

    def prior(self, n: int, seed: int) -> np.ndarray:
        """Return n points drawn from the prior, float32, (n, latent).

        Raises:
            ValueError: if n is below 1.
        """
        if n < 1:
            raise ValueError(f"there must be at least one point, got n = {n}")
        return np.random.default_rng(seed).standard_normal((n, self.latent), np.float32)

    def bound(self, ids: ArrayLike, *, samples: int = 1, seed: int) -> Bounds:
        """Return lower bounds of log p(x) of each text: `elbo` and `weighted`, (n,), nats.

        Args:
            ids: see `encode`.
            samples: points drawn from q(z | x) for each text.
            seed: draws them, the same on every backend.

        Raises:
            ValueError: see `encode`; or samples below 1.
        """
        return estimate(self, self._texts(ids), samples, seed)

    def log_likelihood(self, ids: Tensor, shifted: Tensor, z: Tensor) -> Tensor:
        """Return log p(token | z, those before) of texts, (batch, time), nats."""
        return log_likelihood(ids, ops.cast(self.write(z, shifted), "float32"))

    def text_log_prob(self, text: Tensor, z: Tensor) -> Tensor:
        """Return log p(text | z), its end included, (batch,), nats."""
        front = ops.full_like(text[:, :1], self.boundary)
        shifted = ops.concatenate([front, text[:, :-1]], axis=1)
        own = until_boundary(text, self.boundary)
        return ops.sum(ops.where(own, self.log_likelihood(text, shifted, z), 0.0), axis=1)

    def compiled_call(self, name: str, function: Callable[..., Any]) -> Compiled:
        """Return `function` compiled, the same object for the same name."""
        if name not in self._compiled:
            self._compiled[name] = Compiled(self, function)
        return self._compiled[name]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("vocab_size", "latent", "width", "encoder_width", "embedding_width", "kl_weight")
        names += ("annealing", "free_bits", "word_dropout", "boundary", "seed", "name")
        return {name: getattr(self, name) for name in names}

    def _texts(self, ids: ArrayLike) -> np.ndarray:
        return check_texts(ids, self.vocab_size, self.boundary)


def _lstm(width: int, seeds: Any, **form: bool) -> layers.LSTM:
    return layers.LSTM(
        width,
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        **form,
    )


def _check_training(
    kl_weight: float, annealing: int, free_bits: float, word_dropout: float
) -> None:
    at_least_zero = {"kl_weight": kl_weight, "annealing": annealing, "free_bits": free_bits}
    for name, value in at_least_zero.items():
        if not 0 <= value < float("inf"):  # NaN is neither
            raise ValueError(f"{name} must be finite and at least 0, got {value}")
    if not 0 <= word_dropout < 1:
        raise ValueError(f"word_dropout must lie in [0, 1), got {word_dropout}")
