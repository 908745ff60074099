"""A masked language model, the architecture of BERT: each blank from the words on both sides."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_ids, check_rows, check_settings, until_boundary
from textgen_utils.models.blocks import ReaderBlock
from textgen_utils.models.compiled import Compiled, call_in_batches
from textgen_utils.models.transformer import norm, normal
from textgen_utils.runtime import split_seed

Tensor = Any
BATCH = 256  # blanks that are filled at a time


@keras.saving.register_keras_serializable(package="textgen_utils")
class MaskedLanguageModel(keras.Model):
    """Embedded tokens and positions, blocks that look to both sides, logits by the embedding.

    It is no `LanguageModel`: there is no `step` and no `score`, because what it gives are
    p(one token | all others), which are not the factors of a probability of the text. Two ids that
    are not in the vocabulary can be read: `mask_id` stands for a blank, `padding_id` for nothing.

    Args:
        vocab_size: the number of tokens that can be predicted.
        max_context: the longest text that can be read, tokens.
        width: size of a position's vector; a multiple of `heads`.
        heads: attention heads of a block.
        depth: blocks.
        dropout: share dropped of the embedded tokens, the attention weights, and the output of
            each branch.
        boundary: the id that ends a text.
        seed: draws the initial weights and what is dropped; None: Keras's own seed does.

    Raises:
        ValueError: if a size is below 1, the dropout not in [0, 1), the boundary not a token, or
            the width not a multiple of the heads.

    Source: J. Devlin et al., "BERT: pre-training of deep bidirectional Transformers for language
    understanding", 2019; without its second task, the next sentence. Layers are normalised on
    their way in, as in `GPT`.
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
        self.mask_id = vocab_size
        self.padding_id = vocab_size + 1
        tokens, positions, drop, *rest = split_seed(seed, 3 + depth)
        self.tokens = layers.Embedding(vocab_size + 2, width, normal(0.02, tokens))
        self.positions = layers.Embedding(max_context, width, normal(0.02, positions))
        self.drop = layers.Dropout(dropout, seed=drop)
        output_scale = 0.02 / (2 * depth) ** 0.5
        self.blocks = [ReaderBlock(width, heads, dropout, output_scale, seed=s) for s in rest]
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
        x = self.hidden(ids, training=training)
        return ops.matmul(x, ops.transpose(self.tokens.embeddings[: self.vocab_size]))

    def hidden(self, ids: Tensor, training: bool = False) -> Tensor:
        """Return what the blocks make of each position, (batch, time, width)."""
        if ids.shape[1] is not None:
            self._check_length(ids.shape[1])
        seen = ops.not_equal(ids, self.padding_id)
        x = self.tokens(ids) + self.positions(ops.arange(ops.shape(ids)[1]))
        x = self.drop(x, training=training)
        for block in self.blocks:
            x = block(x, seen, training=training)
        return self.norm(x)

    def fill(self, ids: ArrayLike, positions: ArrayLike) -> np.ndarray:
        """Return what the model would write into the blanks of texts.

        Args:
            ids: ints, (batch, time): a text a row, up to and with its first boundary; what
                follows it is not read. Whole rows are read where there is no boundary.
            positions: ints, (batch, k): places that are blank, all k of a row at once. What `ids`
                has there does not matter, unless it is the boundary.

        Returns:
            float32, (batch, k, vocab_size), nats: log q(token | what is not blank).

        Raises:
            ValueError: texts that are longer than `max_context`, ids out of range, positions
                outside of the text, or no token of a text left to see.
        """
        read, lengths = self.read(ids)
        positions = np.asarray(positions)
        if positions.ndim != 2 or len(positions) != len(read) or not positions.shape[1]:
            raise ValueError(
                f"positions must have shape (batch, k) with batch = {len(read)} and k at least 1; "
                f"got {positions.shape}"
            )
        if (positions < 0).any() or (positions >= lengths[:, None]).any():
            raise ValueError("positions must lie inside of the texts, from 0 to their length - 1")
        np.put_along_axis(read, positions, self.mask_id, axis=1)
        hidden = (read == self.mask_id).sum(axis=1)
        if (hidden == lengths).any():
            row = int(np.argmax(hidden == lengths))
            raise ValueError(
                f"all {lengths[row]} tokens of text {row} are masked: leave at least one to see"
            )
        return self._fill(read, positions.astype(np.int32))

    def pseudo_log_likelihood(self, ids: ArrayLike) -> np.ndarray:
        """Return the sum of log q(token | all other tokens of the text), each blank in its turn.

        This is no log-probability: over all texts its exponential does not sum to 1.

        Args:
            ids: ints, (batch, time), texts of at least two tokens; see `fill`.

        Returns:
            float64, (batch,), nats.

        Raises:
            ValueError: see `fill`.

        Source: J. Besag, "Statistical analysis of non-lattice data", 1975; of a masked model:
        J. Salazar et al., "Masked language model scoring", 2020.
        """
        ids = check_ids(ids, self.vocab_size, ndim=2)
        _, lengths = self.read(ids)
        if lengths.min() < 2:
            raise ValueError(
                f"text {lengths.argmin()} has one token, and all would be masked: "
                "a text needs at least two"
            )
        row = np.repeat(np.arange(len(ids)), lengths)
        start = np.repeat(np.cumsum(lengths) - lengths, lengths)
        position = np.arange(len(row)) - start
        log_probs = self.fill(ids[row], position[:, None])[:, 0]
        own = log_probs[np.arange(len(row)), ids[row, position]]
        return np.bincount(row, own, minlength=len(ids))

    def read(self, ids: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the texts with padding in the place of what follows them, and their lengths.

        Args:
            ids: see `fill`.

        Returns:
            ints, (batch, time), and ints, (batch,), ends included.

        Raises:
            ValueError: see `fill`.
        """
        ids = check_rows(ids, self.vocab_size)
        self._check_length(ids.shape[1])
        inside = until_boundary(ids, self.boundary)
        return np.where(inside, ids, self.padding_id).astype(np.int32), inside.sum(axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("vocab_size", "max_context", "width", "heads", "depth", "dropout", "boundary")
        return {name: getattr(self, name) for name in (*names, "seed", "name")}

    def _fill(self, read: np.ndarray, positions: np.ndarray) -> np.ndarray:
        if "fill" not in self._compiled:
            self._compiled["fill"] = Compiled(self, self._log_probs)
        return call_in_batches(self._compiled["fill"], BATCH, read, positions)

    def _log_probs(self, read: Tensor, positions: Tensor) -> Tensor:
        x = ops.take_along_axis(self.hidden(read), positions[:, :, None], axis=1)
        logits = ops.matmul(x, ops.transpose(self.tokens.embeddings[: self.vocab_size]))
        return ops.log_softmax(ops.cast(logits, "float32"))

    def _check_length(self, time: int) -> None:
        if time > self.max_context:
            raise ValueError(
                f"the model reads at most {self.max_context} tokens, got {time}; "
                "shorten the text, or make a model with a larger max_context"
            )
