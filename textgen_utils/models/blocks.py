"""The blocks of a Transformer that reads one text and writes another."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from textgen_utils.models.attention import CausalSelfAttention, MultiHeadAttention
from textgen_utils.models.transformer import Perceptron, norm
from textgen_utils.runtime import split_seed

Tensor = Any


@keras.saving.register_keras_serializable(package="textgen_utils")
class ReaderBlock(layers.Layer):
    """x + attention(norm(x)) to both sides, then x + perceptron(norm(x)).

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
        seeds = split_seed(seed, 7)
        self.norm_1 = norm()
        self.attention = MultiHeadAttention(
            width, heads, dropout=dropout, output_scale=output_scale, seeds=tuple(seeds[:4])
        )
        self.norm_2 = norm()
        self.perceptron = Perceptron(width, output_scale, seeds=tuple(seeds[4:6]))
        self.drop = layers.Dropout(dropout, seed=seeds[6])

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, n, width)."""
        for layer in (self.norm_1, self.attention, self.norm_2, self.perceptron):
            layer.build((None, None, self.config["width"]))
        self.built = True

    def call(self, x: Tensor, mask: Tensor, training: bool = False) -> Tensor:
        """Return (batch, n, width) from the same shape; `mask`, (batch, n), False at padding."""
        normed = self.norm_1(x)
        mixed = self.attention(normed, normed, mask, training=training)
        x = x + self.drop(mixed, training=training)
        return x + self.drop(self.perceptron(self.norm_2(x)), training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return self.config


@keras.saving.register_keras_serializable(package="textgen_utils")
class WriterBlock(layers.Layer):
    """Causal self-attention, attention to the source, perceptron; each added to its input.

    Args:
        width, heads, dropout, output_scale, seed: see `ReaderBlock`.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, output_scale: float, seed: int | None = None
    ) -> None:
        super().__init__()
        self.config = {"width": width, "heads": heads, "dropout": dropout}
        self.config |= {"output_scale": output_scale, "seed": seed}
        seeds = split_seed(seed, 10)
        settings = {"dropout": dropout, "output_scale": output_scale}
        self.norm_1 = norm()
        self.attention = CausalSelfAttention(width, heads, **settings, seeds=tuple(seeds[:3]))
        self.norm_2 = norm()
        self.cross = MultiHeadAttention(width, heads, **settings, seeds=tuple(seeds[3:7]))
        self.norm_3 = norm()
        self.perceptron = Perceptron(width, output_scale, seeds=tuple(seeds[7:9]))
        self.drop = layers.Dropout(dropout, seed=seeds[9])

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, m, width)."""
        parts = (self.norm_1, self.attention, self.norm_2, self.cross, self.norm_3)
        for layer in (*parts, self.perceptron):
            layer.build((None, None, self.config["width"]))
        self.built = True

    def call(self, y: Tensor, memory: Tensor, mask: Tensor, training: bool = False) -> Tensor:
        """Return (batch, m, width) from the same shape.

        Args:
            y: floats, (batch, m, width).
            memory: floats, (batch, n, width): the encoder's outputs.
            mask: bools, (batch, n): False at padding.
            training: whether there is dropout.
        """
        mixed = self.attention(self.norm_1(y), training=training)
        y = y + self.drop(mixed, training=training)
        mixed = self.cross(self.norm_2(y), memory, mask, training=training)
        y = y + self.drop(mixed, training=training)
        return y + self.drop(self.perceptron(self.norm_3(y)), training=training)

    def read(
        self,
        y: Tensor,
        position: Tensor,
        keys: Tensor,
        values: Tensor,
        source: tuple[Tensor, Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read positions in a row: see `CausalSelfAttention.read`; `source`: keys, values, mask."""
        mixed, keys, values = self.attention.read(self.norm_1(y), position, keys, values)
        y = y + mixed
        y = y + self.cross.mix(self.norm_2(y), *source)
        return y + self.perceptron(self.norm_3(y)), keys, values

    def cross_weights(self, y: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return what each target position looks at in the source, (batch, heads, m, n)."""
        y = y + self.attention(self.norm_1(y))
        keys, _ = self.cross.keys_values(memory)
        return self.cross.weights_of(self.norm_2(y), keys, mask)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return self.config
