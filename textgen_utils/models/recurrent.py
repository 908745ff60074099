"""A language model with a long short-term memory (LSTM)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_ids, check_settings
from textgen_utils.models.compiled import Compiled, Predictor, Scorer, shift_right
from textgen_utils.runtime import split_seed

State = list[np.ndarray]


@keras.saving.register_keras_serializable(package="textgen_utils")
class LSTMLanguageModel(keras.Model):
    """Embedding, LSTM layers, logits: p(next token) from all tokens before it.

    `model(ids)` gives logits for training; `initial_state`, `step` and `score` make it a
    language model in the sense of `models.base`, with the weights that it has at the time.

    On a GPU Keras runs the layers with cuDNN. On two CPU cores the plain loop of Keras trains
    about 135,000 characters a second at width 128 and 50,000 at width 256. XLA (`jit_compile` in
    `training.train`) gave 1.1 to 1.5 times that, but a third of it at width 64; an unrolled loop
    gave the same and takes longer to compile, up to half a minute with XLA. A backward pass
    written out, with each weight's gradient as one product over all times, was tried: under XLA
    it took the layer forwards and backwards (batch 64, 64 tokens, the best of 30) in 40 ms for
    the 50 of Keras's layer at width 256, but in 22 for 23 at width 128; without XLA it was a
    tenth faster at width 256 and slower at 128. So the layer is Keras's. PyTorch's took about 40
    and 11 ms on the same cores.

    Args:
        vocab_size: the number of tokens.
        width: units of each LSTM layer.
        depth: the number of LSTM layers.
        embedding_width: size of a token's vector; None: `width` if `tied`, else at most 64.
        dropout: share of activations dropped before each LSTM layer and before the logits.
        tied: use the embedding's vectors as the weights of the logits, too.
        boundary: the id that is read before the first token of a text.
        memory: the longest time, in tokens, for which a new cell keeps what it has: see
            `ChronoBias`. None: Keras's start, with which a cell forgets in a few tokens.
        seed: draws the initial weights and what is dropped; None: Keras's own seed does.

    Raises:
        ValueError: if a size is below 1, the dropout not in [0, 1), the boundary not a token, or
            the embedding of a tied model not as wide as its layers.

    Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        width: int = 128,
        depth: int = 1,
        embedding_width: int | None = None,
        dropout: float = 0.0,
        tied: bool = False,
        boundary: int,
        memory: int | None = None,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if embedding_width is None:
            embedding_width = width if tied else min(width, 64)
        sizes = {"vocab_size": vocab_size, "width": width, "depth": depth}
        check_settings({**sizes, "embedding_width": embedding_width}, dropout, boundary)
        if tied and embedding_width != width:
            raise ValueError(
                f"a tied model needs embedding_width = width, got {embedding_width} and {width}"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.depth = depth
        self.embedding_width = embedding_width
        self.dropout = dropout
        self.tied = tied
        self.boundary = boundary
        self.memory = memory
        self.seed = seed
        self.max_context = None
        seeds = iter(split_seed(seed, 3 + 3 * depth))
        uniform = keras.initializers.RandomUniform(seed=next(seeds))
        self.embedding = layers.Embedding(vocab_size, embedding_width, uniform)
        self.recurrent = [
            layers.LSTM(
                width,
                kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
                recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
                bias_initializer=_bias(memory, next(seeds)),
                unit_forget_bias=memory is None,
                return_sequences=True,
            )
            for _ in range(depth)
        ]
        self.drop = layers.Dropout(dropout, seed=next(seeds))
        glorot = keras.initializers.GlorotUniform(seed=next(seeds))
        self.head = (
            TiedHead(self.embedding)
            if tied
            else layers.Dense(vocab_size, kernel_initializer=glorot)
        )
        self._compiled: dict[str, Any] = {}
        self.build((None, None))

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time), of which nothing is used."""
        if self.built:
            return
        self.embedding.build((None, None))
        size = self.embedding_width
        for layer in self.recurrent:
            layer.build((None, None, size))
            size = self.width
        self.head.build((None, None, self.width))
        self.built = True

    def call(self, ids: Any, training: bool = False) -> Any:
        """Return logits, (batch, time) ints to (batch, time, vocab_size) floats."""
        return self.head(self.drop(self._hidden(ids, training), training=training))

    def initial_state(self, batch_size: int) -> State:
        """Return zeros: hidden and cell state of each layer, each (batch_size, width)."""
        return [np.zeros((batch_size, self.width), np.float32) for _ in range(2 * self.depth)]

    def step(self, tokens: ArrayLike, state: State) -> tuple[np.ndarray, State]:
        """Read one token of each text: see `models.base.LanguageModel`. NumPy in and out."""
        if "step" not in self._compiled:
            self._compiled["step"] = Compiled(self, self._step)
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        log_probs, *state = self._compiled["step"](tokens, *state)
        return log_probs, state

    def begin(self, batch_size: int, size: int) -> list[Any]:
        """Return the state before anything was read: see `models.base.TensorModel`."""
        return [ops.zeros((batch_size, self.width), self.compute_dtype)] * (2 * self.depth)

    def read(self, ids: Any, count: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """Read some tokens of each text: see `models.base.TensorModel`."""
        logits = ops.zeros((ids.shape[0], self.vocab_size), self.compute_dtype)
        return ops.while_loop(
            lambda t, *_: t < count,
            lambda t, _, state: (t + 1, *self.advance(ops.take(ids, t, axis=1), state)),
            (ops.zeros((), "int32"), logits, state),
        )[1:]

    def advance(self, tokens: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """Read one token of each text: see `models.base.TensorModel`."""
        x, new_state = self.embedding(tokens), []
        for layer, hidden, cell in zip(self.recurrent, state[::2], state[1::2], strict=True):
            x, pair = layer.cell(x, [hidden, cell])
            new_state += pair
        return self.head(x), new_state

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        if "score" not in self._compiled:
            self._compiled["score"] = Scorer(self, self.boundary)
        return self._compiled["score"](check_ids(ids, self.vocab_size, ndim=2))

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token at every position: see `models.distributions`."""
        if "distributions" not in self._compiled:
            self._compiled["distributions"] = Predictor(self, self.boundary)
        return self._compiled["distributions"](check_ids(ids, self.vocab_size, ndim=2))

    def vectors(self, ids: ArrayLike) -> np.ndarray:
        """Return the last layer's hidden vectors, from which each token is predicted.

        Args:
            ids: ints, shape (batch, time).

        Returns:
            float32, shape (batch, time, width): at t after the boundary and ids[:, :t].
        """
        if "vectors" not in self._compiled:
            self._compiled["vectors"] = Compiled(self, self._hidden)
        ids = check_ids(ids, self.vocab_size, ndim=2)
        return self._compiled["vectors"](shift_right(ids, self.boundary))

    def vector(self, state: State) -> np.ndarray:
        """Return the last layer's hidden vector in a state, (batch, width)."""
        return state[-2]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("vocab_size", "width", "depth", "embedding_width", "dropout", "tied")
        names += ("boundary", "memory", "seed", "name")
        return {name: getattr(self, name) for name in names}

    def _hidden(self, ids: Any, training: bool = False) -> Any:
        """The last layer's hidden vectors, (batch, time, width)."""
        x = self.embedding(ids)
        for layer in self.recurrent:
            x = layer(self.drop(x, training=training), training=training)
        return x

    def _step(self, tokens: Any, *state: Any) -> list[Any]:
        logits, new_state = self.advance(tokens, state)
        return [ops.log_softmax(ops.cast(logits, "float32")), *new_state]


class ChronoBias(keras.initializers.Initializer):
    """Biases of the gates with which the cells of an LSTM remember from 1 to `memory` tokens.

    A cell whose forget gate stands at f keeps what it has for about 1 / (1 - f) tokens. The
    forget gates' biases are log(u), u uniform between 1 and `memory`, so that these times are
    spread over that range, and the input gates' biases are their negatives.

    Args:
        memory: tokens, at least 2.
        seed: draws u.

    Raises:
        ValueError: if `memory` is below 2.

    Source: C. Tallec and Y. Ollivier, "Can recurrent neural networks warp time?", 2018.
    """

    def __init__(self, memory: int, seed: int | None = None) -> None:
        if memory < 2:
            raise ValueError(f"memory must be at least 2 tokens, got {memory}")
        self.memory = memory
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Return biases, (4 * width,): input, forget, cell and output gates."""
        width = shape[0] // 4
        u = keras.random.uniform((width,), 1.0, self.memory, dtype=dtype, seed=self.seed)
        rest = ops.zeros((2 * width,), dtype=dtype)
        return ops.concatenate([-ops.log(u), ops.log(u), rest])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"memory": self.memory, "seed": self.seed}


@keras.saving.register_keras_serializable(package="textgen_utils")
class TiedHead(layers.Layer):
    """Logits from the embedding's own vectors: (..., width) to (..., vocab)."""

    def __init__(self, embedding: layers.Embedding) -> None:
        super().__init__()
        self._shared = (embedding,)
        self.vocab_size = embedding.input_dim

    def build(self, input_shape: Any) -> None:
        """Create the bias, the only weights of its own."""
        self.bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Any) -> Any:
        """Return logits."""
        return ops.matmul(x, ops.transpose(self._shared[0].embeddings)) + self.bias


def _bias(memory: int | None, seed: int | None) -> Any:
    return "zeros" if memory is None else ChronoBias(memory, seed)
