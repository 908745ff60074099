"""A device whose memory is used up: a message that says what was asked, instead of a trace.

TensorFlow and JAX tell of it by errors of their own, and a program is stopped by a page of names of
operations. They are recognised here by name and message, so that neither need be imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

# ResourceExhaustedError is TensorFlow's; JAX raises one class for all that goes wrong.
CLASSES = ("ResourceExhaustedError",)
LIBRARIES = ("jax", "jaxlib", "tensorflow", "keras", "builtins")
SIGNS = (
    "RESOURCE_EXHAUSTED",
    "OOM when allocating",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
ADVICE = "TEXTGEN_SCALE=cpu runs the book's notebooks with small settings"


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on whatever backend."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or _is_of_a_library(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def shortage(doing: str, model: Any, asked: str, lower: str) -> MemoryError:
    """Return the error to raise: what was asked for, and what to lower.

    Args:
        doing: what memory was missing for, such as "a training step".
        model: a Keras model.
        asked: the sizes, such as "batch_size 64".
        lower: what to make smaller.
    """
    parameters = sum(math.prod(weight.shape) for weight in model.weights)
    policy = getattr(getattr(model, "dtype_policy", None), "name", "float32")
    return MemoryError(
        f"there is not enough memory for {doing} of {type(model).__name__} with {parameters:,} "
        f"parameters ({policy}), {asked}. Lower {lower}; {ADVICE}."
    )


def shapes(arrays: Sequence[Any]) -> str:
    """Return the shapes of arrays as words, such as "inputs of shape (64, 256)"."""
    sizes = list(dict.fromkeys(str(tuple(array.shape)) for array in arrays))
    return f"inputs of shape {' and '.join(sizes)}" if sizes else "no inputs"


def _is_of_a_library(error: BaseException) -> bool:
    kind = type(error)
    if kind.__name__ in CLASSES:
        return True
    from_library = kind.__module__.split(".")[0] in LIBRARIES
    return from_library and any(sign in str(error) for sign in SIGNS)
