"""A decoder-only Transformer, the architecture of GPT, with a key-value cache."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.attention import CausalSelfAttention
from textgen_utils.models.base import check_ids, check_settings
from textgen_utils.models.compiled import Compiled, Predictor, Scorer
from textgen_utils.runtime import split_seed

Tensor = Any
Seeds = list[int | None]
# The number of tokens read, then keys and values of the blocks, in turn: NumPy arrays or tensors,
# (batch, heads, room, width / heads); what lies beyond the tokens read does not matter.
Cache = list[Any]


@keras.saving.register_keras_serializable(package="textgen_utils")
class GPT(keras.Model):
    """Embedded tokens and positions, blocks of attention and perceptron, logits by the embedding.

    Layers are normalised on their way in, nothing has a bias, and the logits are the products of
    a position's last vector with the token vectors (tied embeddings).

    Args:
        vocab_size: the number of tokens.
        max_context: the most tokens that can be read, the boundary in front included.
        width: size of a position's vector; a multiple of `heads`.
        heads: attention heads of a block.
        depth: blocks.
        dropout: share dropped of the embedded tokens, the attention weights, and the output of
            each branch.
        boundary: the id that is read before the first token of a text.
        seed: draws the initial weights and what is dropped; None: Keras's own seed does.

    Raises:
        ValueError: if a size is below 1, the dropout not in [0, 1), the boundary not a token, or
            the width not a multiple of the heads.

    Source: A. Radford et al., "Language models are unsupervised multitask learners", 2019; sizes
    and initial weights after A. Karpathy, nanoGPT, 2022.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        max_context: int,
        width: int = 128,
        heads: int = 4,
        depth: int = 4,
        dropout: float = 0.0,
        boundary: int,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        sizes = {"vocab_size": vocab_size, "max_context": max_context, "width": width}
        check_settings({**sizes, "heads": heads, "depth": depth}, dropout, boundary)
        self.vocab_size = vocab_size
        self.max_context = max_context
        self.width = width
        self.heads = heads
        self.depth = depth
        self.dropout = dropout
        self.boundary = boundary
        self.seed = seed
        tokens, positions, drop, *rest = split_seed(seed, 3 + depth)
        self.tokens = layers.Embedding(vocab_size, width, normal(0.02, tokens))
        self.positions = layers.Embedding(max_context, width, normal(0.02, positions))
        self.drop = layers.Dropout(dropout, seed=drop)
        # The sum over 2 * depth branches is as large as one branch at first.
        output_scale = 0.02 / (2 * depth) ** 0.5
        self.blocks = [Block(width, heads, dropout, output_scale, seed=part) for part in rest]
        self.norm = norm()
        self._compiled: dict[str, Any] = {}
        self.build((None, None))

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time), of which nothing is used."""
        if self.built:
            return
        self.tokens.build((None, None))
        self.positions.build((None, None))
        for layer in (*self.blocks, self.norm):
            layer.build((None, None, self.width))
        self.built = True

    def call(self, ids: Tensor, training: bool = False) -> Tensor:
        """Return logits, (batch, time) ints to (batch, time, vocab_size) floats.

        Raises:
            ValueError: if time is more than `max_context`.
        """
        return self.logits(self.embed(ids), training=training)

    def embed(self, ids: Tensor) -> Tensor:
        """Return the sum of token and position vectors, (batch, time, width)."""
        if ids.shape[1] is not None:
            self._check_length(ids.shape[1])
        return self.tokens(ids) + self.positions(ops.arange(ops.shape(ids)[1]))

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """Return logits from embedded tokens, (batch, time, width) to (batch, time, vocab)."""
        x = self.drop(x, training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return self._head(x)

    def initial_state(self, batch_size: int) -> Cache:
        """Return an empty cache for `batch_size` texts."""
        shape = (batch_size, self.heads, self.max_context, self.width // self.heads)
        return [0, *[np.zeros(shape, self.compute_dtype)] * (2 * self.depth)]

    def step(self, tokens: ArrayLike, state: Cache) -> tuple[np.ndarray, Cache]:
        """Read one token of each text: see `models.base.LanguageModel`. NumPy but for the state.

        Raises:
            ValueError: if `max_context` tokens were read before.
        """
        if "step" not in self._compiled:
            self._compiled["step"] = Compiled(self, self._step)
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        self._check_length(state[0] + 1)
        log_probs, *cache = self._compiled["step"].tensors(tokens, np.int32(state[0]), *state[1:])
        return ops.convert_to_numpy(log_probs), [state[0] + 1, *cache]

    def begin(self, batch_size: int, size: int) -> Cache:
        """Return the state before anything was read: see `models.base.TensorModel`."""
        shape = (batch_size, self.heads, size, self.width // self.heads)
        empty = [ops.zeros(shape, self.compute_dtype) for _ in range(2 * self.depth)]
        return [ops.zeros((), "int32"), *empty]

    def read(self, ids: Tensor, count: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Read some tokens of each text at once: see `models.base.TensorModel`."""
        x, cache = self._read(ids, *state)
        return self._head(ops.take(x, count - 1, axis=1)), [state[0] + count, *cache]

    def advance(self, tokens: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Read one token of each text: see `models.base.TensorModel`."""
        return self.read(tokens[:, None], 1, state)

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`.

        Raises:
            ValueError: if time is more than `max_context`.
        """
        if "score" not in self._compiled:
            self._compiled["score"] = Scorer(self, self.boundary)
        ids = check_ids(ids, self.vocab_size, ndim=2)
        self._check_length(ids.shape[1])
        return self._compiled["score"](ids)

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token at every position: see `models.distributions`.

        Raises:
            ValueError: if time is more than `max_context`.
        """
        if "distributions" not in self._compiled:
            self._compiled["distributions"] = Predictor(self, self.boundary)
        ids = check_ids(ids, self.vocab_size, ndim=2)
        self._check_length(ids.shape[1])
        return self._compiled["distributions"](ids)

    def attention(self, ids: ArrayLike) -> np.ndarray:
        """Return what each position looks at.

        Args:
            ids: ints, (batch, time): what is read, the boundary in front included.

        Returns:
            floats, (batch, depth, heads, time, time); [..., t, s] is the weight of position s for
            position t; rows sum to 1.

        Raises:
            ValueError: if time is more than `max_context`.
        """
        if "attention" not in self._compiled:
            self._compiled["attention"] = Compiled(self, self._attention)
        ids = check_ids(ids, self.vocab_size, ndim=2)
        self._check_length(ids.shape[1])
        return self._compiled["attention"](ids)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("vocab_size", "max_context", "width", "heads", "depth", "dropout", "boundary")
        return {name: getattr(self, name) for name in (*names, "seed", "name")}

    def _head(self, x: Tensor) -> Tensor:
        return ops.matmul(self.norm(x), ops.transpose(self.tokens.embeddings))

    def _step(self, tokens: Tensor, position: Tensor, *cache: Tensor) -> list[Tensor]:
        x, cache = self._read(tokens[:, None], position, *cache)
        return [ops.log_softmax(ops.cast(self._head(x)[:, 0], "float32")), *cache]

    def _read(self, ids: Tensor, position: Tensor, *cache: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the last vectors of tokens that stand from `position` on, and the cache."""
        x = self.tokens(ids) + self.positions(position + ops.arange(ids.shape[1]))
        new = []
        for block, keys, values in zip(self.blocks, cache[::2], cache[1::2], strict=True):
            x, *pair = block.read(x, position, keys, values)
            new += pair
        return x, new

    def _attention(self, ids: Tensor) -> Tensor:
        x, weights = self.embed(ids), []
        for block in self.blocks:
            weights.append(block.attention.weights_of(block.norm_1(x)))
            x = block(x)
        return ops.stack(weights, axis=1)

    def _check_length(self, time: int) -> None:
        if time > self.max_context:
            raise ValueError(
                f"the model reads at most {self.max_context} tokens, got {time}; "
                "shorten the text, or make a model with a larger max_context"
            )


@keras.saving.register_keras_serializable(package="textgen_utils")
class Block(layers.Layer):
    """x + attention(norm(x)), then x + perceptron(norm(x)).

    Args:
        width: size of a position's vector.
        heads: attention heads.
        dropout: share dropped of the attention weights and of the output of each branch.
        output_scale: standard deviation of the initial weights at the end of each branch.
        seed: draws the weights and what is dropped.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, output_scale: float, seed: int | None = None
    ) -> None:
        super().__init__()
        self.config = {"width": width, "heads": heads, "dropout": dropout}
        self.config |= {"output_scale": output_scale, "seed": seed}
        seeds = split_seed(seed, 6)
        self.norm_1 = norm()
        self.attention = CausalSelfAttention(
            width, heads, dropout=dropout, output_scale=output_scale, seeds=tuple(seeds[:3])
        )
        self.norm_2 = norm()
        self.perceptron = Perceptron(width, output_scale, seeds=tuple(seeds[3:5]))
        self.drop = layers.Dropout(dropout, seed=seeds[5])

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time, width)."""
        width = self.config["width"]
        for layer in (self.norm_1, self.attention, self.norm_2, self.perceptron):
            layer.build((None, None, width))
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return (batch, time, width) from (batch, time, width)."""
        mixed = self.attention(self.norm_1(x), training=training)
        x = x + self.drop(mixed, training=training)
        return self._perceptron(x, training)

    def read(
        self, x: Tensor, position: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read some positions in a row: see `CausalSelfAttention.read`."""
        mixed, keys, values = self.attention.read(self.norm_1(x), position, keys, values)
        return self._perceptron(x + mixed, False), keys, values

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return self.config

    def _perceptron(self, x: Tensor, training: bool) -> Tensor:
        return x + self.drop(self.perceptron(self.norm_2(x)), training=training)


@keras.saving.register_keras_serializable(package="textgen_utils")
class Perceptron(layers.Layer):
    """W_2 gelu(W_1 x), four times as wide inside; each position on its own.

    Args:
        width: size of a position's vector.
        output_scale: standard deviation of the initial entries of W_2.
        seeds: two, or None each: for the matrices.
    """

    def __init__(
        self, width: int, output_scale: float, seeds: tuple[int | None, ...] = (None, None)
    ) -> None:
        super().__init__()
        self.config = {"width": width, "output_scale": output_scale, "seeds": tuple(seeds)}
        self.widen = layers.Dense(
            4 * width,
            activation="gelu",
            use_bias=False,
            kernel_initializer=normal(0.02, seeds[0]),
        )
        self.narrow = layers.Dense(
            width, use_bias=False, kernel_initializer=normal(output_scale, seeds[1])
        )

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time, width)."""
        self.widen.build((None, None, self.config["width"]))
        self.narrow.build((None, None, 4 * self.config["width"]))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Return (batch, time, width) from the same shape."""
        return self.narrow(self.widen(x))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return self.config


def norm() -> layers.LayerNormalization:
    """Return a layer normalisation with gains and without biases."""
    return layers.LayerNormalization(center=False, epsilon=1e-5)


def normal(stddev: float, seed: int | None) -> keras.initializers.Initializer:
    """Return an initializer that draws from a normal distribution around 0."""
    return keras.initializers.RandomNormal(stddev=stddev, seed=seed)
