"""Sequences of different lengths in one array, and what batches ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike


def pad(
    sequences: Sequence[ArrayLike], value: int, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Put sequences of different lengths into one array.

    Args:
        sequences: each of ints, shape (time,).
        value: what fills the rest of a row.
        length: the width of the array; None: the longest sequence.

    Returns:
        array: int32, shape (len(sequences), length).
        mask: bool, same shape, true on the sequences' own tokens.

    Raises:
        ValueError: if there is no sequence, or one is longer than `length`.
    """
    rows = [one_axis_of_ints(sequence) for sequence in sequences]
    if not rows:
        raise ValueError("pad needs at least one sequence, got none")
    lengths = np.array([len(row) for row in rows])
    length = int(lengths.max()) if length is None else length
    if lengths.max() > length:
        raise ValueError(
            f"sequence {lengths.argmax()} has {lengths.max()} tokens, more than length={length}"
        )
    mask = np.arange(length) < lengths[:, None]
    array = np.full(mask.shape, value, np.int32)
    array[mask] = np.concatenate(rows)
    return array, mask


def lines(ids: ArrayLike, boundary: int) -> tuple[np.ndarray, np.ndarray]:
    """Put every line of a text into a row of its own.

    Args:
        ids: the text, ints, shape (time,), at least one.
        boundary: the token that ends a line; the last line may lack it.

    Returns:
        rows: int32, shape (lines, longest line), filled up with the boundary.
        mask: bool, same shape, true on the lines' own tokens, their ends included.

    Raises:
        ValueError: if the text is empty or not ints of one axis.
    """
    ids = one_axis_of_ints(ids)
    if not ids.size:
        raise ValueError("a text of lines needs at least one token, got none")
    ends = np.flatnonzero(ids == boundary) + 1
    return pad(np.split(ids, ends[ends < len(ids)]), boundary)


def one_axis_of_ints(ids: ArrayLike) -> np.ndarray:
    """The ids as an array of one axis; ValueError for anything else."""
    if isinstance(ids, str):
        raise ValueError(f"token ids must be integers, got the text {ids[:20]!r}: encode it first")
    ids = np.asanyarray(ids)
    if ids.ndim != 1:
        raise ValueError(f"token ids must have one axis (time,), got shape {ids.shape}")
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"token ids must be integers, got dtype {ids.dtype}")
    return ids


def at_least_one(number: int, name: str) -> int:
    """The number, if it is an integer of at least 1; else ValueError."""
    if not isinstance(number, Integral):
        raise ValueError(f"{name} must be an integer, got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def check_seed(seed: int) -> int:
    """The seed, if it is an integer of at least 0; else ValueError."""
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    return seed
