"""Sequence to sequence: what any encoder and decoder share, and the language model they make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.batches import pad
from textgen_utils.losses import log_likelihood
from textgen_utils.models.base import check_ids, check_settings
from textgen_utils.models.compiled import Compiled, shift_right

Tensor = Any
State = tuple[list[np.ndarray], list[np.ndarray]]

# Sources and targets are padded to a multiple of this, so that few shapes are compiled.
STRIDE = 8


class Seq2Seq(keras.Model):
    """An encoder that reads a source and a decoder that writes a target token by token.

    `model((source, shifted))` gives logits for training with teacher forcing. `condition` gives
    the language model of the targets of some sources, for decoding and evaluation. A subclass
    says how to read (`encode`), how to score whole targets (`decode`), and how to go on token by
    token (`begin`, `advance`).

    Args:
        source_vocab_size: the number of tokens of sources.
        vocab_size: the number of tokens of targets.
        boundary: the target token that is read before a target's first token and ends it.
        padding: the source token that fills a batch up and is never read.
        dropout: in [0, 1).

    Raises:
        ValueError: if a size is below 1, the dropout not in [0, 1), or the boundary or the padding
            not a token.
    """

    max_context: int | None = None

    def __init__(
        self,
        source_vocab_size: int,
        vocab_size: int,
        *,
        boundary: int,
        padding: int,
        dropout: float,
        sizes: dict[str, int],
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        sizes = {"source_vocab_size": source_vocab_size, "vocab_size": vocab_size, **sizes}
        check_settings(sizes, dropout, boundary)
        if not 0 <= padding < source_vocab_size:
            raise ValueError(
                f"padding must be one of {source_vocab_size} source tokens, got {padding}"
            )
        self.source_vocab_size = source_vocab_size
        self.vocab_size = vocab_size
        self.boundary = boundary
        self.padding = padding
        self.dropout = dropout
        self._calls: dict[str, Compiled] = {}

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        """Return logits of each target token given those before it and the source.

        Args:
            inputs: source, ints (batch, n), and the target moved right by one with the boundary
                in front, ints (batch, m).
            training: whether there is dropout.

        Returns:
            floats, (batch, m, vocab_size).
        """
        source, shifted = inputs
        memory = self.encode(self.embed(source), self.mask(source), training=training)
        return self.decode(shifted, memory, training=training)

    def mask(self, source: Tensor) -> Tensor:
        """Return bools, (batch, n): True at the source's own tokens."""
        return ops.not_equal(source, self.padding)

    @abstractmethod
    def embed(self, source: Tensor) -> Tensor:
        """Return the vectors of the source's tokens, (batch, n, size)."""

    @abstractmethod
    def encode(self, x: Tensor, mask: Tensor, training: bool = False) -> list[Tensor]:
        """Return the memory of an embedded source: tensors, batch first."""

    @abstractmethod
    def decode(self, shifted: Tensor, memory: list[Tensor], training: bool = False) -> Tensor:
        """Return logits of whole targets, (batch, m, vocab_size)."""

    @abstractmethod
    def begin(self, memory: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return what every later step looks at, and the state before the first one.

        With a `max_context`, the first part of the state counts the tokens read, (batch,).
        """

    @abstractmethod
    def advance(
        self, tokens: Tensor, fixed: list[Tensor], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Read one target token each, (batch,); return logits, (batch, vocab_size), and state."""

    def condition(self, sources: Sequence[ArrayLike] | np.ndarray) -> Conditioned:
        """Return the language model of the targets of these sources.

        Args:
            sources: sequences of ints, each at least one token and without padding; or one array
                (n, time), padded on the right.

        Raises:
            ValueError: if there is no source, one is empty, or an id is out of range.
        """
        return Conditioned(self, self.padded(sources))

    def padded(self, sources: Sequence[ArrayLike] | np.ndarray) -> np.ndarray:
        """Return the sources as one checked array, (n, time), time a multiple of `STRIDE`.

        Raises:
            ValueError: see `condition`.
        """
        if isinstance(sources, (str, bytes)) or not len(sources) or not np.ndim(sources[0]):
            raise ValueError(f"sources must be a list of lists of ids, got {sources!r:.60}")
        rows = [np.asarray(source) for source in sources]
        empty = [i for i, row in enumerate(rows) if not (row != self.padding).any()]
        if empty:
            raise ValueError(f"source {empty[0]} is empty: there is nothing to condition on")
        array = pad(rows, self.padding, _rounded_up(max(map(len, rows))))[0]
        return check_ids(array, self.source_vocab_size, ndim=2)

    def padded_targets(self, targets: Sequence[ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
        """Return the targets as one checked array, and which of it is theirs.

        Args:
            targets: sequences of ints.

        Returns:
            ids, int32 (n, time), filled up with the boundary, where time is a multiple of `STRIDE`
            or, if the model writes no more than that, less; and a mask, bool, of the same shape.

        Raises:
            ValueError: if there is no target, an id is out of range, or a target is too long.
        """
        longest = max(map(len, targets), default=0)
        self.check_length(longest)
        length = _rounded_up(longest)
        if self.max_context is not None:
            length = min(length, self.max_context)
        ids, mask = pad(targets, self.boundary, length)
        return check_ids(ids, self.vocab_size, ndim=2), mask

    def check_length(self, time: int) -> None:
        """Raise ValueError if a target has more tokens than the model writes."""
        if self.max_context is not None and time > self.max_context:
            raise ValueError(f"the model writes at most {self.max_context} tokens, got {time}")

    def looked_at(self, sources: Any, targets: ArrayLike, function: Any) -> np.ndarray:
        """Return `function(source, shifted)`, compiled, for as many targets as sources.

        Raises:
            ValueError: if the numbers differ, an id is out of range, or a target is too long.
        """
        targets = check_ids(targets, self.vocab_size, ndim=2)
        self.check_length(targets.shape[1])
        sources = self.padded(sources)
        if len(sources) != len(targets):
            raise ValueError(f"got {len(sources)} sources but {len(targets)} targets")
        weights = self.compiled_call("attention", function)
        return weights(sources, shift_right(targets, self.boundary))

    def compiled_call(self, name: str, function: Any) -> Compiled:
        """Return `function` compiled, the same object for the same name."""
        if name not in self._calls:
            self._calls[name] = Compiled(self, function)
        return self._calls[name]


class Conditioned:
    """The targets of some sources, as a language model in the sense of `models.base`.

    Row i of every batch belongs to source i; with k times as many rows as sources, rows i * k to
    i * k + k - 1 do, so that a search may follow k hypotheses of each source.

    Args:
        model: read its sources.
        sources: ints, (n, time), padded.

    Attributes:
        vocab_size, boundary, max_context: as in `models.base.LanguageModel`.
        sources: ints, (n, time).
    """

    def __init__(self, model: Seq2Seq, sources: np.ndarray) -> None:
        self.vocab_size = model.vocab_size
        self.boundary = model.boundary
        self.max_context = model.max_context
        self.sources = sources
        self._model = model
        begin = model.compiled_call("begin", lambda source: model.begin(_encoded(model, source)))
        self._begun = begin(sources)
        self._step = model.compiled_call("step", lambda *parts: _step(model, *parts))
        self._score = model.compiled_call("score", lambda *parts: _score(model, *parts))

    def initial_state(self, batch_size: int) -> State:
        """The sources read and nothing written, for a multiple of as many rows as sources."""
        return keras.tree.map_structure(lambda part: self._repeated(part, batch_size), self._begun)

    def step(self, tokens: ArrayLike, state: State) -> tuple[np.ndarray, State]:
        """Read one token of each target: see `models.base.LanguageModel`. NumPy but for the state.

        Raises:
            ValueError: if an id is out of range, or `max_context` tokens were read before.
        """
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        if self.max_context is not None:
            self._model.check_length(int(np.max(state[1][0])) + 1)
        log_probs, new = self._step.tensors(tokens, *state)
        return ops.convert_to_numpy(log_probs), (state[0], new)

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every target token: see `models.base.LanguageModel`.

        Raises:
            ValueError: if the rows are no multiple of the sources, or the targets too long.
        """
        ids = check_ids(ids, self.vocab_size, ndim=2)
        self._model.check_length(ids.shape[1])
        sources = self._repeated(self.sources, len(ids))
        return self._score(sources, shift_right(ids, self.boundary), ids)

    def _repeated(self, array: np.ndarray, batch_size: int) -> np.ndarray:
        times, rest = divmod(batch_size, len(self.sources))
        if rest or not times:
            raise ValueError(
                f"the batch must be a multiple of the {len(self.sources)} sources, got {batch_size}"
            )
        return np.repeat(array, times, axis=0)


def _rounded_up(time: int) -> int:
    return -(-time // STRIDE) * STRIDE


def _encoded(model: Seq2Seq, source: Tensor) -> list[Tensor]:
    return model.encode(model.embed(source), model.mask(source))


def _step(model: Seq2Seq, tokens: Tensor, fixed: list, state: list) -> tuple[Tensor, list]:
    logits, state = model.advance(tokens, fixed, state)
    return ops.log_softmax(ops.cast(logits, "float32")), state


def _score(model: Seq2Seq, source: Tensor, shifted: Tensor, target: Tensor) -> Tensor:
    logits = model((source, shifted), training=False)
    return log_likelihood(target, ops.cast(logits, "float32"))
