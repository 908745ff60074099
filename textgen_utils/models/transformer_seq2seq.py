"""Sequence to sequence without recurrence: the Transformer's encoder and decoder."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.blocks import ReaderBlock, WriterBlock
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.models.transformer import norm, normal
from textgen_utils.runtime import split_seed

Tensor = Any


@keras.saving.register_keras_serializable(package="textgen_utils")
class TransformerSeq2Seq(Seq2Seq):
    """Blocks of attention and perceptron read the source, others write the target.

    As in `models.transformer.GPT`, layers are normalised on their way in, nothing has a bias, and
    the logits are products with the target's token vectors. Positions are sine waves, so that no
    source is too long to be read.

    Args:
        source_vocab_size, vocab_size, boundary, padding: see `Seq2Seq`.
        max_context: the most target tokens, the boundary in front included.
        width: size of a position's vector; even, a multiple of `heads`.
        heads: attention heads of a block.
        depth: blocks on each side.
        dropout: share dropped of the embedded tokens, the attention weights, and the output of
            each branch.
        seed: draws the initial weights and what is dropped; None: Keras's own seed does.

    Raises:
        ValueError: as `Seq2Seq`; if `width` is odd or no multiple of `heads`.

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    def __init__(
        self,
        source_vocab_size: int,
        vocab_size: int,
        *,
        max_context: int,
        width: int = 128,
        heads: int = 4,
        depth: int = 2,
        dropout: float = 0.0,
        boundary: int,
        padding: int,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        sizes = {"max_context": max_context, "width": width, "heads": heads, "depth": depth}
        super().__init__(
            source_vocab_size,
            vocab_size,
            boundary=boundary,
            padding=padding,
            dropout=dropout,
            sizes=sizes,
            name=name,
        )
        if width % 2:
            raise ValueError(f"width must be even, for sines and cosines, got {width}")
        self.max_context = max_context
        self.width = width
        self.heads = heads
        self.depth = depth
        self.seed = seed
        parts = split_seed(seed, 3 + 2 * depth)
        small = width**-0.5
        self.source_tokens = layers.Embedding(source_vocab_size, width, normal(small, parts[0]))
        self.target_tokens = layers.Embedding(vocab_size, width, normal(small, parts[1]))
        self.drop = layers.Dropout(dropout, seed=parts[2])
        # The sum over all branches is as large as one branch at first.
        readers = {"output_scale": 0.02 / (2 * depth) ** 0.5, "dropout": dropout}
        writers = {"output_scale": 0.02 / (3 * depth) ** 0.5, "dropout": dropout}
        self.readers = [ReaderBlock(width, heads, **readers, seed=s) for s in parts[3 : 3 + depth]]
        self.writers = [WriterBlock(width, heads, **writers, seed=s) for s in parts[3 + depth :]]
        self.source_norm = norm()
        self.target_norm = norm()
        self.build(None)

    def build(self, input_shape: Any) -> None:
        """Create the weights; nothing of `input_shape` is used."""
        if self.built:
            return
        self.source_tokens.build((None, None))
        self.target_tokens.build((None, None))
        for layer in (*self.readers, *self.writers, self.source_norm, self.target_norm):
            layer.build((None, None, self.width))
        self.built = True

    def embed(self, source: Tensor) -> Tensor:
        """Return the vectors of the source's tokens, without positions, (batch, n, width)."""
        return self.source_tokens(source) * math.sqrt(self.width)

    def encode(self, x: Tensor, mask: Tensor, training: bool = False) -> list[Tensor]:
        """Return what the encoder made of each position, (batch, n, width), and the mask."""
        x = self._placed(x, ops.arange(ops.shape(x)[1]))
        x = self.drop(x, training=training)
        for block in self.readers:
            x = block(x, mask, training=training)
        return [self.source_norm(x), mask]

    def decode(self, shifted: Tensor, memory: list[Tensor], training: bool = False) -> Tensor:
        """Return logits of whole targets, (batch, m, vocab_size)."""
        y = self.drop(self._embedded(shifted), training=training)
        for block in self.writers:
            y = block(y, *memory, training=training)
        return self._logits(y)

    def begin(self, memory: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the source's keys and values of each block, and an empty cache.

        Returns:
            fixed: keys and values of each block, (batch, heads, n, width / heads), and the mask.
            state: position, ints (batch,), the same in all rows, and keys and values of the target
            so far of each block, (batch, heads, max_context, width / heads).
        """
        outputs, mask = memory
        pairs = [block.cross.keys_values(outputs) for block in self.writers]
        keys, values = (list(parts) for parts in zip(*pairs, strict=True))
        batch = ops.shape(outputs)[0]
        shape = (batch, self.heads, self.max_context, self.width // self.heads)
        empty = [ops.zeros(shape, self.compute_dtype) for _ in self.writers]
        return [keys, values, mask], [ops.zeros((batch,), "int32"), empty, empty]

    def advance(
        self, tokens: Tensor, fixed: list[Tensor], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Read one target token each: see `Seq2Seq.advance`."""
        *sources, mask = fixed
        position, *cache = state
        y = self.target_tokens(tokens[:, None]) * math.sqrt(self.width)
        y = self._placed(y, position[:, None])
        new_keys, new_values = [], []
        for block, *looked_at, key, value in zip(self.writers, *sources, *cache, strict=True):
            y, key, value = block.read(y, position[0], key, value, (*looked_at, mask))
            new_keys.append(key)
            new_values.append(value)
        return self._logits(y)[:, 0], [position + 1, new_keys, new_values]

    def attention(self, sources: Any, targets: ArrayLike) -> np.ndarray:
        """Return what each target position looks at in the source, when its token is predicted.

        Args:
            sources: see `condition`.
            targets: ints, (n, m).

        Returns:
            floats, (n, depth, heads, m, time); rows sum to 1 over the source.

        Raises:
            ValueError: if an id is out of range, a target too long, or the numbers of sources
                and targets differ.
        """
        return self.looked_at(sources, targets, self._weights)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("source_vocab_size", "vocab_size", "max_context", "width", "heads", "depth")
        names += ("dropout", "boundary", "padding", "seed", "name")
        return {name: getattr(self, name) for name in names}

    def _embedded(self, shifted: Tensor) -> Tensor:
        y = self.target_tokens(shifted) * math.sqrt(self.width)
        return self._placed(y, ops.arange(ops.shape(shifted)[1]))

    def _placed(self, x: Tensor, position: Tensor) -> Tensor:
        return x + ops.cast(sinusoids(position, self.width), x.dtype)

    def _logits(self, y: Tensor) -> Tensor:
        return ops.matmul(self.target_norm(y), ops.transpose(self.target_tokens.embeddings))

    def _weights(self, source: Tensor, shifted: Tensor) -> Tensor:
        memory = self.encode(self.embed(source), self.mask(source))
        y, weights = self._embedded(shifted), []
        for block in self.writers:
            weights.append(block.cross_weights(y, *memory))
            y = block(y, *memory)
        return ops.stack(weights, axis=1)


def sinusoids(position: Tensor, width: int) -> Tensor:
    """Return the vectors of positions: sines, then cosines, of wavelengths 2 pi to 20,000 pi.

    Args:
        position: ints, shape (...).
        width: an even size.

    Returns:
        float32, shape (..., width).

    Source: A. Vaswani et al., "Attention is all you need", 2017, section 3.5; there sines and
    cosines alternate, which is the same up to the order of the columns.
    """
    rates = np.exp(-math.log(10_000) * np.arange(width // 2) / (width // 2)).astype(np.float32)
    angles = ops.cast(position, "float32")[..., None] * rates
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
