"""Named arrays in one .npz file, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike


def write_arrays(path: str | Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write the arrays beside `path`, then put the file in its place in one move.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote; nothing in the file is executed."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
