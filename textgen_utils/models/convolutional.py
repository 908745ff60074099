"""A causal convolutional language model: a pyramid of dilated convolutions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_ids, check_settings
from textgen_utils.models.compiled import Compiled, Scorer
from textgen_utils.models.transformer import norm, normal
from textgen_utils.runtime import split_seed

Tensor = Any
State = list[np.ndarray]


@keras.saving.register_keras_serializable(package="textgen_utils")
class ConvLanguageModel(keras.Model):
    """Embedded tokens, causal convolutions on a residual path, logits by the embedding.

    The prediction after position t depends on the `receptive_field` tokens up to and including t
    and on no other: 1 + (kernel_size - 1) * sum(dilations).

    Args:
        vocab_size: the number of tokens.
        width: size of a position's vector.
        kernel_size: positions that one convolution sees, at least 2.
        dilations: of each block, from the input on: how far apart those positions are.
        dropout: share dropped of the embedded tokens and of what each block adds.
        boundary: the id that is read before the first token of a text.
        seed: draws the initial weights and what is dropped; None: Keras's own seed does.

    Attributes:
        receptive_field: tokens.

    Raises:
        ValueError: if a size or a dilation is below 1, the kernel below 2, there is no dilation,
            the dropout is not in [0, 1), or the boundary is not a token.

    Source: causal dilated convolutions from A. van den Oord et al., "WaveNet", 2016; residual
    blocks of them as language models, S. Bai et al., "An empirical evaluation of generic
    convolutional and recurrent networks for sequence modeling", 2018; normalisation, gelu and
    initial weights as in `transformer.GPT`.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        width: int = 56,
        kernel_size: int = 2,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32),
        dropout: float = 0.0,
        boundary: int,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        check_settings({"vocab_size": vocab_size, "width": width}, dropout, boundary)
        _check_pyramid(kernel_size, dilations)
        self.vocab_size = vocab_size
        self.width = width
        self.kernel_size = kernel_size
        self.dilations = tuple(dilations)
        self.dropout = dropout
        self.boundary = boundary
        self.seed = seed
        self.max_context = None
        self.receptive_field = 1 + (kernel_size - 1) * sum(dilations)
        tokens, drop, *rest = split_seed(seed, 2 + len(dilations))
        self.tokens = layers.Embedding(vocab_size, width, normal(0.02, tokens))
        self.drop = layers.Dropout(dropout, seed=drop)
        # The sum over the blocks is as large as one block at first.
        output_scale = 0.02 / len(dilations) ** 0.5
        self.blocks = [
            ConvBlock(width, kernel_size, dilation, dropout, output_scale, seed=part)
            for dilation, part in zip(dilations, rest, strict=True)
        ]
        self.norm = norm()
        self._compiled: dict[str, Any] = {}
        self.build((None, None))

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time), of which nothing is used."""
        if self.built:
            return
        self.tokens.build((None, None))
        for layer in (*self.blocks, self.norm):
            layer.build((None, None, self.width))
        self.built = True

    def call(self, ids: Tensor, training: bool = False) -> Tensor:
        """Return logits, (batch, time) ints to (batch, time, vocab_size) floats."""
        return self.logits(self.tokens(ids), training=training)

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """Return logits from embedded tokens, (batch, time, width) to (batch, time, vocab)."""
        x = self.drop(x, training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return self._head(x)

    def initial_state(self, batch_size: int) -> State:
        """Return what each block has seen, the oldest first: zeros, (batch, reach, width) each.

        The reach of a block is (kernel_size - 1) * dilation.
        """
        shapes = [(batch_size, block.reach, self.width) for block in self.blocks]
        return [np.zeros(shape, self.compute_dtype) for shape in shapes]

    def step(self, tokens: ArrayLike, state: State) -> tuple[np.ndarray, State]:
        """Read one token of each text: see `models.base.LanguageModel`. NumPy in and out."""
        if "step" not in self._compiled:
            self._compiled["step"] = Compiled(self, self._step)
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        log_probs, *state = self._compiled["step"](tokens, *state)
        return log_probs, state

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        if "score" not in self._compiled:
            self._compiled["score"] = Scorer(self, self.boundary)
        return self._compiled["score"](check_ids(ids, self.vocab_size, ndim=2))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("vocab_size", "width", "kernel_size", "dilations", "dropout", "boundary")
        return {name: getattr(self, name) for name in (*names, "seed", "name")}

    def _head(self, x: Tensor) -> Tensor:
        return ops.matmul(self.norm(x), ops.transpose(self.tokens.embeddings))

    def _step(self, tokens: Tensor, *state: Tensor) -> list[Tensor]:
        x, new_state = self.tokens(tokens), []  # (batch, width)
        for block, seen in zip(self.blocks, state, strict=True):
            x, seen = block.step(x, seen)
            new_state.append(seen)
        return [ops.log_softmax(ops.cast(self._head(x), "float32")), *new_state]


@keras.saving.register_keras_serializable(package="textgen_utils")
class ConvBlock(layers.Layer):
    """x + W gelu(causal convolution of norm(x)), twice as wide inside.

    The convolution is a dense layer on the vectors at t - (kernel_size - 1) * dilation, ...,
    t - dilation, t, side by side; before the first position they are zero. Its matrix,
    (kernel_size * width, 2 * width), is the kernel of a `Conv1D`, (kernel_size, width, 2 * width).

    Args:
        width: size of a position's vector.
        kernel_size: positions seen.
        dilation: how far apart they are.
        dropout: share dropped of what is added to x.
        output_scale: standard deviation of the initial entries of W.
        seed: draws the weights and what is dropped.
    """

    def __init__(
        self,
        width: int,
        kernel_size: int,
        dilation: int,
        dropout: float,
        output_scale: float,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.config = {"width": width, "kernel_size": kernel_size, "dilation": dilation}
        self.config |= {"dropout": dropout, "output_scale": output_scale, "seed": seed}
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.reach = (kernel_size - 1) * dilation
        seeds = split_seed(seed, 3)
        self.norm = norm()
        self.conv = layers.Dense(
            2 * width, "gelu", use_bias=False, kernel_initializer=normal(0.02, seeds[0])
        )
        self.mix = layers.Dense(
            width, use_bias=False, kernel_initializer=normal(output_scale, seeds[1])
        )
        self.drop = layers.Dropout(dropout, seed=seeds[2])

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time, width)."""
        width = self.config["width"]
        self.norm.build((None, None, width))
        self.conv.build((None, None, self.kernel_size * width))
        self.mix.build((None, None, 2 * width))
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return (batch, time, width) from (batch, time, width)."""
        time = ops.shape(x)[1]
        padded = ops.pad(self.norm(x), ((0, 0), (self.reach, 0), (0, 0)))
        starts = range(0, self.reach + 1, self.dilation)
        seen = ops.concatenate([padded[:, s : s + time] for s in starts], axis=-1)
        return x + self.drop(self.mix(self.conv(seen)), training=training)

    def step(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Read one position.

        Args:
            x: (batch, width).
            seen: normalised inputs of the last `reach` positions, (batch, reach, width).

        Returns:
            The output, (batch, width), and what is seen at the next position.
        """
        seen = ops.concatenate([seen, self.norm(x)[:, None]], axis=1)  # (batch, reach + 1, width)
        taps = [seen[:, s] for s in range(0, self.reach + 1, self.dilation)]
        return x + self.mix(self.conv(ops.concatenate(taps, axis=-1))), seen[:, 1:]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return self.config


def _check_pyramid(kernel_size: int, dilations: tuple[int, ...]) -> None:
    if kernel_size < 2:
        raise ValueError(f"kernel_size must be at least 2 to see the past, got {kernel_size}")
    if not dilations or min(dilations) < 1:
        raise ValueError(f"dilations must be one or more numbers of at least 1, got {dilations}")
