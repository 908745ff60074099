"""Sequence to sequence with LSTMs: through one fixed vector, or looking back at the source."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.attention import Scores
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.runtime import split_seed

Tensor = Any


@keras.saving.register_keras_serializable(package="textgen_utils")
class RecurrentSeq2Seq(Seq2Seq):
    """An LSTM reads the source in both directions, another one writes the target.

    The decoder starts from the encoder's last states. Without attention they are all that it ever
    knows of the source. With it, each of its outputs h looks at the encoder's outputs: their
    weighted mean c is the context, and the logits are read off tanh(W [h; c]).

    Args:
        source_vocab_size, vocab_size, boundary, padding: see `Seq2Seq`.
        width: size of the decoder's state; even, since each direction of the encoder has half.
        depth: LSTM layers on each side.
        embedding_width: size of a token's vector; None: at most 64.
        attention: None, "dot" or "additive".
        dropout: share of activations dropped before each LSTM and before the logits.
        seed: draws the initial weights and what is dropped; None: Keras's own seed does.

    Raises:
        ValueError: as `Seq2Seq`; if `width` is odd or `attention` unknown.

    Source: I. Sutskever, O. Vinyals and Q. V. Le, "Sequence to sequence learning with neural
    networks", 2014; the place of the attention as in T. Luong, H. Pham and C. D. Manning, 2015,
    which leaves the whole target to one call of the LSTM.
    """

    def __init__(
        self,
        source_vocab_size: int,
        vocab_size: int,
        *,
        width: int = 128,
        depth: int = 1,
        embedding_width: int | None = None,
        attention: str | None = None,
        dropout: float = 0.0,
        boundary: int,
        padding: int,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        embedding_width = min(width, 64) if embedding_width is None else embedding_width
        sizes = {"width": width, "depth": depth, "embedding_width": embedding_width}
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
            raise ValueError(f"width must be even, half for each direction, got {width}")
        self.width = width
        self.depth = depth
        self.embedding_width = embedding_width
        self.attention_kind = attention
        self.seed = seed
        seeds = iter(split_seed(seed, 10 + 9 * depth))
        uniform = keras.initializers.RandomUniform
        glorot = keras.initializers.GlorotUniform
        self.source_tokens = layers.Embedding(
            source_vocab_size, embedding_width, uniform(seed=next(seeds))
        )
        self.target_tokens = layers.Embedding(
            vocab_size, embedding_width, uniform(seed=next(seeds))
        )
        self.drop = layers.Dropout(dropout, seed=next(seeds))
        self.forwards = [_lstm(width // 2, seeds) for _ in range(depth)]
        self.backwards = [_lstm(width // 2, seeds, go_backwards=True) for _ in range(depth)]
        self.decoders = [_lstm(width, seeds) for _ in range(depth)]
        self.scores = None
        if attention is not None:
            self.scores = Scores(width, attention, tuple(next(seeds) for _ in range(3)))
            self.combine = layers.Dense(
                width, activation="tanh", kernel_initializer=glorot(seed=next(seeds))
            )
        self.head = layers.Dense(vocab_size, kernel_initializer=glorot(seed=next(seeds)))
        self.build(None)

    def build(self, input_shape: Any) -> None:
        """Create the weights; nothing of `input_shape` is used."""
        if self.built:
            return
        self.source_tokens.build((None, None))
        self.target_tokens.build((None, None))
        size = self.embedding_width
        for layer in zip(self.forwards, self.backwards, self.decoders, strict=True):
            for part in layer:
                part.build((None, None, size))
            size = self.width
        if self.scores is not None:
            self.scores.build((None, None, size))
            self.combine.build((None, None, 2 * size))
        self.head.build((None, None, size))
        self.built = True

    def embed(self, source: Tensor) -> Tensor:
        """Return the vectors of the source's tokens, (batch, n, embedding_width)."""
        return self.source_tokens(source)

    def encode(self, x: Tensor, mask: Tensor, training: bool = False) -> list[Tensor]:
        """Return outputs (batch, n, width), mask, then h and c (batch, width) of each layer."""
        states = []
        for forward, backward in zip(self.forwards, self.backwards, strict=True):
            x = self.drop(x, training=training)
            ahead, *ahead_states = forward(x, mask=mask, training=training)
            behind, *behind_states = backward(x, mask=mask, training=training)
            x = ops.concatenate([ahead, ops.flip(behind, axis=1)], axis=-1)
            both = zip(ahead_states, behind_states, strict=True)
            states += [ops.concatenate(pair, axis=-1) for pair in both]
        return [x, mask, *states]

    def decode(self, shifted: Tensor, memory: list[Tensor], training: bool = False) -> Tensor:
        """Return logits of whole targets, (batch, m, vocab_size)."""
        h = self._outputs(shifted, memory, training)
        if self.scores is not None:
            outputs, mask = memory[:2]
            h = self._attended(h, self.scores.key(outputs), outputs, mask)[0]
        return self.head(self.drop(h, training=training))

    def begin(self, memory: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return (keys, outputs, mask), or nothing without attention; and h and c of each layer."""
        outputs, mask, *states = memory
        return [] if self.scores is None else [self.scores.key(outputs), outputs, mask], states

    def advance(
        self, tokens: Tensor, fixed: list[Tensor], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Read one target token each: see `Seq2Seq.advance`."""
        h, new = self.target_tokens(tokens), []
        for layer, hidden, cell in zip(self.decoders, state[::2], state[1::2], strict=True):
            h, pair = layer.cell(h, [hidden, cell])
            new += pair
        if self.scores is not None:
            h = self._attended(h[:, None], *fixed)[0][:, 0]
        return self.head(h), new

    def attention(self, sources: Any, targets: ArrayLike) -> np.ndarray:
        """Return what each target position looks at, when its token is predicted.

        Args:
            sources: see `condition`.
            targets: ints, (n, m).

        Returns:
            floats, (n, 1, 1, m, time): one layer, one head; rows sum to 1 over the source.

        Raises:
            ValueError: if the model has no attention, an id is out of range, or the numbers of
                sources and targets differ.
        """
        if self.scores is None:
            raise ValueError("this model has no attention: make it with attention=...")
        return self.looked_at(sources, targets, self._weights)[:, None, None]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("source_vocab_size", "vocab_size", "width", "depth", "embedding_width")
        names += ("dropout", "boundary", "padding", "seed", "name")
        config = {name: getattr(self, name) for name in names}
        return config | {"attention": self.attention_kind}

    def _outputs(self, shifted: Tensor, memory: list[Tensor], training: bool) -> Tensor:
        """Return the states of the decoder's last layer, (batch, m, width)."""
        h, states = self.target_tokens(shifted), memory[2:]
        for layer, hidden, cell in zip(self.decoders, states[::2], states[1::2], strict=True):
            h = self.drop(h, training=training)
            h = layer(h, initial_state=[hidden, cell], training=training)[0]
        return h

    def _attended(
        self, h: Tensor, keys: Tensor, outputs: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights = self.scores(h, keys, mask)  # (batch, m, n)
        context = ops.matmul(ops.cast(weights, outputs.dtype), outputs)
        return self.combine(ops.concatenate([h, context], axis=-1)), weights

    def _weights(self, source: Tensor, shifted: Tensor) -> Tensor:
        memory = self.encode(self.embed(source), self.mask(source))
        h = self._outputs(shifted, memory, training=False)
        return self.scores(h, self.scores.key(memory[0]), memory[1])


def _lstm(width: int, seeds: Any, *, go_backwards: bool = False) -> layers.LSTM:
    return layers.LSTM(
        width,
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        return_sequences=True,
        return_state=True,
        go_backwards=go_backwards,
    )
