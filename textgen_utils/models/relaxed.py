"""Whole texts from a recurrent language model in one call, drawn or relaxed.

All chance is put in from outside, as Gumbel noise: a text is then a function of the noise and the
weights. With the largest entry taken at each place it is an exact draw from the model; with a
softmax in its place it is differentiable.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from textgen_utils.models.compiled import Compiled
from textgen_utils.models.gan import gumbel_noise, gumbel_softmax
from textgen_utils.models.recurrent import LSTMLanguageModel

FORCED = 1e9  # noise that outweighs every logit


class WriterCell(layers.Layer):
    """One token of a text: what a recurrent layer of Keras repeats along the noise.

    A text that has ended goes on with the boundary. Whether it has ended is itself relaxed: the
    share `ended` of it, 1 minus the product of the shares that did not end before.

    Args:
        model: the language model that writes.
        mode: "draw" for one-hot tokens without a gradient, "relaxed" for Gumbel-softmax ones,
            "straight" for one-hot tokens with the gradient of relaxed ones.
    """

    def __init__(self, model: LSTMLanguageModel, mode: str) -> None:
        super().__init__()
        if mode not in ("draw", "relaxed", "straight"):
            raise ValueError(f"mode must be 'draw', 'relaxed' or 'straight', got {mode!r}")
        self.model, self.mode = model, mode
        # token that was written (vocab), share of the text that has ended (1), states
        self.state_size = [model.vocab_size, 1, *[model.width] * (2 * model.depth)]
        self.output_size = model.vocab_size
        self.temperature = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="temperature"
        )
        self.built = True

    def call(self, noise: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        """Return the next token, (batch, vocab), and the states after it."""
        model = self.model
        boundary = ops.one_hot(model.boundary, model.vocab_size)
        (read, ended, *cells), after = states, []
        x = ops.matmul(read, model.embedding.embeddings)
        for layer, hidden, cell in zip(model.recurrent, cells[::2], cells[1::2], strict=True):
            x, pair = layer.cell(x, [hidden, cell])
            after += pair
        token = self._token(ops.log_softmax(model.head(x)), noise)
        written = (1 - ended) * token + ended * boundary
        ended = ended + (1 - ended) * token[:, model.boundary : model.boundary + 1]
        return written, [written, ended, *after]

    def _token(self, logits: Any, noise: Any) -> Any:
        if self.mode == "draw":
            return ops.one_hot(ops.argmax(logits + noise, axis=-1), self.model.vocab_size)
        straight = self.mode == "straight"
        return gumbel_softmax(logits, noise, self.temperature, straight_through=straight)


class Relaxed(keras.Model):
    """Texts as a function of noise, (batch, time, vocab) to the same shape.

    Args:
        model: the language model that writes; its weights are this model's weights.
        straight_through: see `gumbel_softmax`.

    Attributes:
        temperature: a variable.
    """

    def __init__(self, model: LSTMLanguageModel, *, straight_through: bool = False) -> None:
        super().__init__()
        cell = WriterCell(model, "straight" if straight_through else "relaxed")
        self.writer = layers.RNN(cell, return_sequences=True)
        self.temperature = cell.temperature
        self.built = True

    def call(self, noise: Any) -> Any:
        """Return the texts, rows of distributions over tokens."""
        return self.writer(noise, initial_state=_start(self.writer.cell, noise))


class Drawer:
    """Exact draws from a recurrent language model, many texts in one compiled call.

    Args:
        model: the language model that writes, with the weights that it has at the time.
        length: tokens a row; a text that is longer is cut, and so has no end.
    """

    def __init__(self, model: LSTMLanguageModel, length: int) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1 token, got {length}")
        self.length, self._model = length, model
        writer = layers.RNN(WriterCell(model, "draw"), return_sequences=True)

        def draw(noise: Any) -> Any:
            return ops.argmax(writer(noise, initial_state=_start(writer.cell, noise)), axis=-1)

        self._draw = Compiled(writer, draw)

    def __call__(
        self, n: int, rng: np.random.Generator, prefixes: np.ndarray | None = None
    ) -> np.ndarray:
        """Write texts.

        Args:
            n: how many.
            rng: draws the tokens.
            prefixes: ints, shape (n, time): how the rows begin; None: nothing is given.

        Returns:
            int32, shape (n, length): after a text's end the row goes on with the boundary.
        """
        noise = gumbel_noise((n, self.length, self._model.vocab_size), rng)
        if prefixes is not None:
            given = prefixes.shape[1]
            np.put_along_axis(noise[:, :given], prefixes[..., None], FORCED, axis=-1)
        return np.asarray(self._draw(noise), np.int32)


def _start(cell: WriterCell, noise: Any) -> list[Any]:
    """Return the states before the first token: the boundary was read, nothing has ended."""
    nothing = ops.zeros_like(noise[:, 0, :1])
    read = nothing + ops.one_hot(cell.model.boundary, cell.model.vocab_size)
    return [read, *[ops.tile(nothing, (1, size)) for size in cell.state_size[1:]]]
