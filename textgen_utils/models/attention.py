"""Attention: scaled dot products and additive, causal self-attention, and a look at a source."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

Tensor = Any


def attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mix the values by how well each key fits the query: softmax(Q K' / sqrt(d)) V.

    Args:
        queries: floats, shape (..., m, d).
        keys: floats, shape (..., n, d).
        values: floats, shape (..., n, d).
        mask: bools that broadcast to (..., m, n); False: this query must not see this key. Every
            query must see one key at least.

    Returns:
        mixed: (..., m, d), the same type as `values`.
        weights: float32, (..., m, n); each row sums to 1.

    Source: A. Vaswani et al., "Attention is all you need", 2017, equation 1.
    """
    weights = attention_weights(queries, keys, mask)
    return ops.matmul(ops.cast(weights, values.dtype), values), weights


def attention_weights(queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Return how well each key fits each query, softmax(Q K' / sqrt(d)): see `attention`."""
    size = queries.shape[-1]
    scores = ops.matmul(queries * (1 / math.sqrt(size)), ops.swapaxes(keys, -1, -2))
    return masked_softmax(scores, mask)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax over what the mask lets through, float32, over the last axis."""
    # The difference to minus infinity: where half precision adds it up, no NaN comes of it.
    return ops.softmax(ops.where(mask, ops.cast(scores, "float32"), -1e9), axis=-1)


def side_by_side(mixed: Tensor, width: int) -> Tensor:
    """Put the heads' results beside each other: (batch, heads, m, size) to (batch, m, width)."""
    mixed = ops.transpose(mixed, (0, 2, 1, 3))
    return ops.reshape(mixed, (-1, ops.shape(mixed)[1], width))


def causal_mask(time: int) -> Tensor:
    """Return bools, shape (time, time): position t (row) sees s (column) if s <= t."""
    position = ops.arange(time)
    return position[:, None] >= position[None, :]


@keras.saving.register_keras_serializable(package="textgen_utils")
class CausalSelfAttention(layers.Layer):
    """Each position mixes what it and those before it hold, once a head.

    Args:
        width: size of a position's vector; a multiple of `heads`.
        heads: the number of mixtures, each of a part of width / heads.
        dropout: share of the weights dropped in training.
        output_scale: standard deviation of the output matrix's initial entries.
        seeds: three, or None each: for the two matrices and the dropout.

    Raises:
        ValueError: if `width` is not a multiple of `heads`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        dropout: float = 0.0,
        output_scale: float = 0.02,
        seeds: tuple[int | None, int | None, int | None] = (None, None, None),
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"the width must be a multiple of the heads, got {width} and {heads}")
        self.width = width
        self.heads = heads
        self.dropout = dropout
        self.output_scale = output_scale
        self.seeds = tuple(seeds)
        self.project = _matrix(3 * width, 0.02, seeds[0])
        self.combine = _matrix(width, output_scale, seeds[1])
        self.drop = layers.Dropout(dropout, seed=seeds[2])

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time, width)."""
        self.project.build((None, None, self.width))
        self.combine.build((None, None, self.width))
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return (batch, time, width) from (batch, time, width)."""
        queries, keys, values = self.split(x)
        weights = attention_weights(queries, keys, causal_mask(ops.shape(x)[1]))
        weights = self.drop(weights, training=training)
        return self.merge(ops.matmul(ops.cast(weights, values.dtype), values))

    def weights_of(self, x: Tensor) -> Tensor:
        """Return what each position looks at, (batch, heads, time, time)."""
        queries, keys, _ = self.split(x)
        return attention_weights(queries, keys, causal_mask(ops.shape(x)[1]))

    def read(
        self, x: Tensor, position: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read some positions in a row, the same ones of each text.

        Args:
            x: floats, (batch, m, width).
            position: an int, a tensor without axes: where the first of x stands, from 0.
            keys: (batch, heads, context, width / heads); only those before `position` matter.
            values: the same shape.

        Returns:
            output, (batch, m, width); keys and values, with those of x written from `position` on.
        """
        queries, new_keys, new_values = self.split(x)
        keys = ops.slice_update(keys, (0, 0, position, 0), new_keys)
        values = ops.slice_update(values, (0, 0, position, 0), new_values)
        place, row = ops.arange(keys.shape[2]), position + ops.arange(x.shape[1])
        mixed, _ = attention(queries, keys, values, place[None, :] <= row[:, None])
        return self.merge(mixed), keys, values

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (batch, heads, time, width / heads)."""
        shape = (-1, ops.shape(x)[1], 3, self.heads, self.width // self.heads)
        parts = ops.transpose(ops.reshape(self.project(x), shape), (2, 0, 3, 1, 4))
        return parts[0], parts[1], parts[2]

    def merge(self, mixed: Tensor) -> Tensor:
        """Return (batch, time, width) from the heads' results, (batch, heads, time, size)."""
        return self.combine(side_by_side(mixed, self.width))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("width", "heads", "dropout", "output_scale", "seeds")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="textgen_utils")
class MultiHeadAttention(layers.Layer):
    """Each position of x mixes what the positions of a memory hold, once a head.

    With x as its own memory this is the self-attention of an encoder, which sees both sides.

    Args:
        width: size of a position's vector, of x and of the memory; a multiple of `heads`.
        heads: the number of mixtures, each of a part of width / heads.
        dropout: share of the weights dropped in training.
        output_scale: standard deviation of the output matrix's initial entries.
        seeds: four, or None each: for the three matrices and the dropout.

    Raises:
        ValueError: if `width` is not a multiple of `heads`.

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        dropout: float = 0.0,
        output_scale: float = 0.02,
        seeds: tuple[int | None, ...] = (None,) * 4,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"the width must be a multiple of the heads, got {width} and {heads}")
        self.config = {"width": width, "heads": heads, "dropout": dropout}
        self.config |= {"output_scale": output_scale, "seeds": tuple(seeds)}
        self.width = width
        self.heads = heads
        self.query = _matrix(width, 0.02, seeds[0])
        self.key_value = _matrix(2 * width, 0.02, seeds[1])
        self.combine = _matrix(width, output_scale, seeds[2])
        self.drop = layers.Dropout(dropout, seed=seeds[3])

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time, width)."""
        for layer in (self.query, self.key_value, self.combine):
            layer.build((None, None, self.width))
        self.built = True

    def call(self, x: Tensor, memory: Tensor, mask: Tensor, training: bool = False) -> Tensor:
        """Return (batch, m, width).

        Args:
            x: floats, (batch, m, width): who looks.
            memory: floats, (batch, n, width): what is looked at.
            mask: bools, (batch, n): False where the memory holds padding.
            training: whether weights are dropped.
        """
        return self.mix(x, *self.keys_values(memory), mask, training=training)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and the values of a memory, each (batch, heads, n, width / heads)."""
        shape = (-1, ops.shape(memory)[1], 2, self.heads, self.width // self.heads)
        parts = ops.transpose(ops.reshape(self.key_value(memory), shape), (2, 0, 3, 1, 4))
        return parts[0], parts[1]

    def weights_of(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Return how much each position of x looks at each key, (batch, heads, m, n)."""
        shape = (-1, ops.shape(x)[1], self.heads, self.width // self.heads)
        queries = ops.transpose(ops.reshape(self.query(x), shape), (0, 2, 1, 3))
        return attention_weights(queries, keys, mask[:, None, None, :])

    def mix(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor, training: bool = False
    ) -> Tensor:
        """Return (batch, m, width) from keys and values that are already there."""
        weights = self.drop(self.weights_of(x, keys, mask), training=training)
        mixed = ops.matmul(ops.cast(weights, values.dtype), values)  # (batch, heads, m, size)
        return self.combine(side_by_side(mixed, self.width))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return self.config


@keras.saving.register_keras_serializable(package="textgen_utils")
class Scores(layers.Layer):
    """How well a decoder's state fits each position of a source: the one head of a recurrent model.

    "dot": (W_q q)' (W_k k) / sqrt(width). "additive": v' tanh(W_q q + W_k k).

    Args:
        width: size of the states on both sides.
        kind: "dot" or "additive".
        seeds: three, or None each: for W_q, W_k and v.

    Raises:
        ValueError: if `kind` is neither.

    Source: D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to
    align and translate", 2015 (additive); T. Luong, H. Pham and C. D. Manning, "Effective
    approaches to attention-based neural machine translation", 2015 (products).
    """

    def __init__(self, width: int, kind: str, seeds: tuple[int | None, ...] = (None,) * 3) -> None:
        super().__init__()
        if kind not in ("dot", "additive"):
            raise ValueError(f'attention must be None, "dot" or "additive", got {kind!r}')
        self.config = {"width": width, "kind": kind, "seeds": tuple(seeds)}
        self.width = width
        self.kind = kind
        glorot = keras.initializers.GlorotUniform
        self.query = layers.Dense(width, use_bias=False, kernel_initializer=glorot(seed=seeds[0]))
        self.key = layers.Dense(width, use_bias=False, kernel_initializer=glorot(seed=seeds[1]))
        # A layer that is never built makes JAX trace the model anew in every call.
        self.v = None
        if kind == "additive":
            self.v = layers.Dense(1, use_bias=False, kernel_initializer=glorot(seed=seeds[2]))

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time, width)."""
        for layer in (self.query, self.key, *([] if self.v is None else [self.v])):
            layer.build((None, None, self.width))
        self.built = True

    def call(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Return weights that sum to 1 over the source, (batch, m, n).

        Args:
            queries: floats, (batch, m, width): states of the decoder.
            keys: floats, (batch, n, width): what `key` made of the encoder's states.
            mask: bools, (batch, n): False at padding.
        """
        queries = self.query(queries)
        if self.kind == "dot":
            return attention_weights(queries, keys, mask[:, None, :])
        scores = self.v(ops.tanh(queries[:, :, None, :] + keys[:, None, :, :]))[..., 0]
        return masked_softmax(scores, mask[:, None, :])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return self.config


def _matrix(width: int, stddev: float, seed: int | None) -> layers.Dense:
    normal = keras.initializers.RandomNormal(stddev=stddev, seed=seed)
    return layers.Dense(width, use_bias=False, kernel_initializer=normal)
