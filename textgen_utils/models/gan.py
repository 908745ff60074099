"""A critic of texts, and tokens relaxed so that its opinion has a gradient."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_rows, check_settings
from textgen_utils.runtime import split_seed

Tensor = Any


def gumbel_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return standard Gumbel numbers, float32: minus the log of exponential ones."""
    tiny = np.finfo(np.float32).tiny
    return -np.log(np.maximum(rng.standard_exponential(shape, np.float32), tiny))


def gumbel_softmax(
    logits: Tensor, noise: Tensor, temperature: Tensor, *, straight_through: bool = False
) -> Tensor:
    """Return a relaxed draw of a token: softmax((logits + noise) / temperature).

    Its largest entry is an exact draw from softmax(logits) at any temperature (the Gumbel-max
    trick). Towards temperature 0 it becomes the one-hot vector of that draw.

    Args:
        logits: floats, shape (..., vocab); log-probabilities will do.
        noise: standard Gumbel numbers, same shape: see `gumbel_noise`.
        temperature: positive; a tensor is not checked.
        straight_through: return the one-hot vector itself, with the relaxed draw's gradient.

    Returns:
        floats, shape (..., vocab), not negative, of sum 1.

    Raises:
        ValueError: if the temperature is a number that is not positive and finite.

    Source: E. Jang, S. Gu and B. Poole, "Categorical reparameterization with Gumbel-softmax",
    2017; the straight-through gradient from Y. Bengio et al., 2013.
    """
    if isinstance(temperature, (int, float)) and not 0 < temperature < float("inf"):
        raise ValueError(f"the temperature must be positive and finite, got {temperature}")
    perturbed = ops.convert_to_tensor(logits) + noise
    relaxed = ops.softmax(perturbed / temperature, axis=-1)
    if not straight_through:
        return relaxed
    hard = ops.one_hot(ops.argmax(perturbed, axis=-1), relaxed.shape[-1], dtype=relaxed.dtype)
    return hard + relaxed - ops.stop_gradient(relaxed)


@keras.saving.register_keras_serializable(package="textgen_utils")
class Discriminator(keras.Model):
    """A convolutional network from a text to a logit: was it written by people, or by a model?

    Tokens become vectors, convolutions of several widths look for short patterns, the strongest
    match of each pattern anywhere in the text is kept, and a small network judges them together.
    A text is a row of ids, or of distributions over tokens (one-hot vectors, or relaxed ones),
    through which the logit has a gradient. A row goes on with the boundary after its end.

    Args:
        vocab_size: the number of tokens.
        width: size of a token's vector, and of the judging layer.
        filters: patterns of each width.
        kernel_sizes: the widths, in tokens.
        dropout: share of the matches that is dropped in training.
        seed: draws the initial weights and what is dropped; None: Keras's own seed does.

    Raises:
        ValueError: if a size is below 1, or the dropout not in [0, 1).

    Source: Y. Kim, "Convolutional neural networks for sentence classification", 2014; as a critic
    of texts L. Yu et al., "SeqGAN", 2017.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        width: int = 64,
        filters: int = 64,
        kernel_sizes: tuple[int, ...] = (1, 2, 3, 5),
        dropout: float = 0.0,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        kernel_sizes = tuple(kernel_sizes)
        sizes = {"vocab_size": vocab_size, "width": width, "filters": filters}
        check_settings({**sizes, "kernel_sizes": min(kernel_sizes, default=0)}, dropout, 0)
        self.vocab_size, self.width, self.filters = vocab_size, width, filters
        self.kernel_sizes, self.dropout, self.seed = kernel_sizes, dropout, seed
        seeds = iter(split_seed(seed, len(kernel_sizes) + 4))

        def glorot() -> keras.initializers.Initializer:
            return keras.initializers.GlorotUniform(seed=next(seeds))

        uniform = keras.initializers.RandomUniform(seed=next(seeds))
        self.embedding = layers.Embedding(vocab_size, width, uniform)
        self.convolutions = [
            layers.Conv1D(
                filters, k, padding="same", activation="relu", kernel_initializer=glorot()
            )
            for k in kernel_sizes
        ]
        self.hidden = layers.Dense(width, activation="relu", kernel_initializer=glorot())
        self.drop = layers.Dropout(dropout, seed=next(seeds))
        self.head = layers.Dense(1, kernel_initializer=glorot())
        self.build((None, None))

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time), of which nothing is used."""
        if self.built:
            return
        self.embedding.build((None, None))
        for convolution in self.convolutions:
            convolution.build((None, None, self.width))
        self.hidden.build((None, self.filters * len(self.kernel_sizes)))
        self.head.build((None, self.width))
        self.built = True

    def call(self, texts: Any, training: bool = False) -> Any:
        """Return logits, (batch,): positive for real.

        Args:
            texts: ints (batch, time), or floats (batch, time, vocab_size).
            training: whether matches are dropped.
        """
        # one-hot times table = a look-up; any mixture of tokens is the mixture of their vectors
        relaxed = len(texts.shape) == 3
        x = ops.matmul(texts, self.embedding.embeddings) if relaxed else self.embedding(texts)
        best = [ops.max(convolution(x), axis=1) for convolution in self.convolutions]
        matches = self.drop(ops.concatenate(best, axis=-1), training=training)
        return self.head(self.hidden(matches))[:, 0]

    def probabilities(self, rows: ArrayLike) -> np.ndarray:
        """Return the probability that each text is real, float64, (n,).

        Args:
            rows: ints, (n, time), or floats, (n, time, vocab_size); at least one row.

        Raises:
            ValueError: no rows, or ids out of range.
            FloatingPointError: the network's weights have become NaN or infinite.
        """
        if np.ndim(rows) != 3:
            rows = check_rows(rows, self.vocab_size)
        logits = np.asarray(self.predict_on_batch(rows), np.float64)
        if not np.isfinite(logits).all():
            raise FloatingPointError("the discriminator's logits are not finite: it has diverged")
        return 0.5 * (1 + np.tanh(0.5 * logits))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("vocab_size", "width", "filters", "kernel_sizes", "dropout", "seed", "name")
        return {name: getattr(self, name) for name in names}
