"""The one abstraction of the book: from a prefix to a distribution over the next token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike


@runtime_checkable
class LanguageModel(Protocol):
    """What evaluation, decoding and compression ask of a model, and all that they ask.

    Count models return NumPy arrays. Keras models may return tensors of their backend; callers
    convert them. The boundary token ("\\n") both starts and ends a text: the first token of a
    text is predicted from the boundary.

    Attributes:
        vocab_size: the number of tokens.
        boundary: the id that is read before the first token of a text.
        max_context: the longest time axis that `score` and the most tokens in a row that `step`
            accept; None where there is no limit.
    """

    vocab_size: int
    boundary: int
    max_context: int | None

    def initial_state(self, batch_size: int) -> Any:
        """The state before anything was read, for `batch_size` texts. Opaque to the caller."""
        ...

    def step(self, tokens: Any, state: Any) -> tuple[Any, Any]:
        """Read one token of each text and predict the next one.

        Args:
            tokens: ints, shape (batch,): the tokens just read; the boundary on the first call.
            state: what `initial_state` or the last `step` returned.

        Returns:
            log_probs: floats, shape (batch, vocab_size), nats: log p(next token | all read).
            state: the new state. The old one stays valid, so that a search may go back to it.
        """
        ...

    def score(self, ids: Any) -> Any:
        """Log-probability of every token given those on its left, in one call.

        Args:
            ids: ints, shape (batch, time).

        Returns:
            floats, shape (batch, time), nats: log p(ids[:, t] | boundary, ids[:, :t]).
        """
        ...


@runtime_checkable
class TensorModel(Protocol):
    """A language model in tensors, so that a whole search or sample can be compiled.

    Functions of tensors of the backend, with the model's weights at the time, without dropout. A
    state may be any nest of tensors, each with the batch as its first axis or with none.

    Attributes:
        vocab_size, boundary, max_context: as in `LanguageModel`.
    """

    vocab_size: int
    boundary: int
    max_context: int | None

    def begin(self, batch_size: int, size: int) -> Any:
        """Return the state before anything was read, with room for `size` tokens a text."""
        ...

    def read(self, ids: Any, count: Any, state: Any) -> tuple[Any, Any]:
        """Read the first `count` tokens of each text.

        Args:
            ids: ints, shape (batch, time), the boundary in front included; time is no more than
                there is room for.
            count: an int or a tensor without axes, from 1 to time; what follows is not read.
            state: what `begin` or the last call returned.

        Returns:
            logits: floats, shape (batch, vocab_size), of the token after the last one read.
            state: the new state.
        """
        ...

    def advance(self, tokens: Any, state: Any) -> tuple[Any, Any]:
        """Read one token of each text, ints, shape (batch,): the same as `read` of one."""
        ...


def to_numpy(tensor: Any) -> np.ndarray:
    """Float64 on the host, from a NumPy array or a tensor of whatever backend; same shape."""
    if not isinstance(tensor, np.ndarray):
        from keras import ops

        tensor = ops.convert_to_numpy(tensor)
    return tensor.astype(np.float64)


def log(p: np.ndarray) -> np.ndarray:
    """Return the natural logarithm, -inf at 0 without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(p)


def check_ids(ids: ArrayLike, vocab_size: int, ndim: int) -> np.ndarray:
    """The ids as an int32 array, if they are ids.

    Args:
        ids: what should be ints in [0, vocab_size) with `ndim` axes; may be empty.
        vocab_size: the number of tokens.
        ndim: 1 for a text, 2 for a batch of texts.

    Raises:
        ValueError: another number of axes, another type, or an id out of range.
    """
    if isinstance(ids, str):
        raise ValueError(f"ids must be integers; got the text {ids[:20]!r}: encode it first")
    ids = np.asarray(ids)
    if ids.ndim != ndim:
        raise ValueError(f"ids must have {ndim} axes; got shape {ids.shape}")
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids must be integers; got {ids.dtype}")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise ValueError(f"ids must lie in [0, {vocab_size}); got {ids.min()} to {ids.max()}")
    return ids.astype(np.int32)


def check_rows(rows: ArrayLike, vocab_size: int) -> np.ndarray:
    """Return texts as int32, (n, time), n and time at least 1; ValueError for anything else."""
    rows = check_ids(rows, vocab_size, ndim=2)
    if not rows.size:
        raise ValueError(f"there must be at least one text; got shape {rows.shape}")
    return rows


def until_boundary(rows: Any, boundary: int) -> Any:
    """True up to and with the first boundary of each row: the tokens of its text.

    Args:
        rows: ints, shape (batch, time), a NumPy array or a tensor of whatever backend.
        boundary: the id that ends a text.

    Returns:
        bools, the same shape and kind.
    """
    if isinstance(rows, np.ndarray):
        ends = rows == boundary
        return np.cumsum(ends, axis=1) - ends == 0
    from keras import ops

    ends = ops.cast(ops.equal(rows, boundary), "int32")
    return ops.equal(ops.cumsum(ends, axis=1) - ends, 0)


def check_sequences(sequences: Sequence[ArrayLike], name: str) -> None:
    """Refuse sequences of which one has no token.

    Args:
        sequences: each of any length.
        name: what one of them is, such as "source".

    Raises:
        ValueError: which one is empty.
    """
    empty = next((i for i, sequence in enumerate(sequences) if not len(sequence)), None)
    if empty is not None:
        raise ValueError(f"{name} {empty} is empty: each needs at least one token")


def check_settings(sizes: dict[str, int], dropout: float, boundary: int) -> None:
    """Refuse what no network of the book can be made with.

    Args:
        sizes: by name, `vocab_size` among them; each at least 1.
        dropout: in [0, 1).
        boundary: one of the tokens.

    Raises:
        ValueError: if one of these does not hold.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
    if not 0 <= boundary < sizes["vocab_size"]:
        raise ValueError(f"boundary must be one of {sizes['vocab_size']} tokens, got {boundary}")
