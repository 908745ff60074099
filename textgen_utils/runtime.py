"""Where and how the book runs: quiet start, seeds, scale, device, figure style, progress.

A notebook begins with::

    from textgen_utils import runtime

    runtime.setup(seed=1)
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

SCALES = ("cpu", "gpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# Readable on a telephone, where a figure is shown at about half its size.
FIGURE_STYLE = {
    "figure.figsize": (6.0, 3.6),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": "figure",
    "axes.facecolor": "white",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "textgen",
}

# What a PNG is saved with: no software version in it, so that its bytes depend on its data only.
PNG_OPTIONS = {
    "metadata": {"Software": None},
    "pil_kwargs": {"optimize": True},
    "facecolor": "white",
}


def setup(seed: int, *, deterministic: bool = False) -> None:
    """Start a notebook: quiet logs, seeds, figure style.

    On a CPU the same seed then gives the same bits in every run on the same machine, which the
    tests check on a model in training.

    `TEXTGEN_PRECISION` names Keras's policy for the models that are made afterwards, float32 if it
    is not set. With "mixed_bfloat16" weights and losses stay float32, and products are computed
    with two to three digits: for long runs on a GPU, not for comparing a formula with a layer to
    the sixth digit, as most notebooks do.

    Call it first, before anything imports Keras; a later call does the same, only the start-up
    noise of TensorFlow has then been printed already.

    Args:
        seed: seeds `random`, NumPy and the Keras backend.
        deterministic: ask the TensorFlow backend for operations that give the same bits in
            every run, which is needed on a GPU only. Keras then compiles nothing with XLA, and
            random operations without a seed raise. It cannot be undone within a process.

    Raises:
        ValueError: if `seed` is not an integer from 0 to 2**32 - 1, or `TEXTGEN_SCALE` is
            neither "cpu" nor "gpu", or `TEXTGEN_PRECISION` is not one of `PRECISIONS`.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, got {seed!r}")
    _requested_scale()
    precision = _requested("TEXTGEN_PRECISION", PRECISIONS)
    keras = _import_keras_quietly()
    keras.utils.set_random_seed(seed)
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    if deterministic and keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    _set_figure_style()


def split_seed(seed: int | None, n: int) -> list[int | None]:
    """Return `n` independent seeds, or `n` times None.

    Layers that were given one seed would start with the same weights.
    """
    if seed is None:
        return [None] * n
    import numpy as np

    return [int(part) for part in np.random.SeedSequence(seed).generate_state(n)]


def scale() -> str:
    """Return the scale at which to run, "cpu" or "gpu".

    `TEXTGEN_SCALE` decides; without it, whether Keras sees an accelerator.

    Raises:
        ValueError: if `TEXTGEN_SCALE` is neither "cpu" nor "gpu".
    """
    return _requested_scale() or ("gpu" if accelerators() else "cpu")


def by_scale(*, cpu: T, gpu: T) -> T:
    """Return `cpu` or `gpu`, the value for the scale at which the book runs.

    Raises:
        ValueError: if `TEXTGEN_SCALE` is neither "cpu" nor "gpu".
    """
    return gpu if scale() == "gpu" else cpu


def accelerators() -> list[str]:
    """Return the names of the devices that Keras sees beside the CPU, such as ``["gpu:0"]``."""
    keras = _import_keras_quietly()
    return [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_report() -> str:
    """Return one line: backend and versions, device, cores, scale.

    It differs between machines: a cell that prints it is not one to be compared.
    """
    keras = _import_keras_quietly()
    backend = keras.config.backend()
    version = getattr(sys.modules.get(backend), "__version__", "")
    devices = ", ".join(accelerators()) or f"{platform.machine()} without an accelerator"
    precision = keras.config.dtype_policy().name
    return (
        f"Keras {keras.version()} on {backend} {version}, Python {platform.python_version()}; "
        f"{devices}, {cores()} CPU cores; scale {scale()}, {precision}"
    )


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Iterate over `items` with a progress bar on stderr, which vanishes at the end.

    Nothing reaches stdout, so the stored output of a cell does not change with its speed.
    """
    return progress_bar(description, total=total, items=items)


def progress_bar(
    description: str, *, total: int | None = None, initial: int = 0, items: Iterable | None = None
) -> Any:
    """Return a `tqdm` bar in this book's style: plain text, on stderr, removed when closed."""
    from tqdm import tqdm

    return tqdm(
        items,
        desc=description,
        total=total,
        initial=initial,
        file=sys.stderr,
        ascii=True,
        leave=False,
        mininterval=0.5,
        dynamic_ncols=True,
    )


def _requested_scale() -> str | None:
    return _requested("TEXTGEN_SCALE", SCALES)


def _requested(variable: str, accepted: tuple[str, ...]) -> str | None:
    requested = os.environ.get(variable) or None
    if requested is not None and requested not in accepted:
        raise ValueError(f"{variable} must be one of {accepted} or unset, got {requested!r}")
    return requested


def _import_keras_quietly() -> Any:
    # The C++ parts of TensorFlow read the level when they are loaded, and write some lines to
    # file descriptor 2 before they have read it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    quiet = contextlib.nullcontext() if "keras" in sys.modules else _silent_stderr()
    with quiet:
        import keras
    if "tensorflow" in sys.modules:
        # In a notebook the logger is made to print everything, and made only when asked for.
        sys.modules["tensorflow"].get_logger().setLevel(logging.ERROR)
    return keras


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send what is written to file descriptor 2, from Python or C++, to nowhere."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _set_figure_style() -> None:
    import matplotlib as mpl

    mpl.rcParams.update(FIGURE_STYLE)
    if "IPython" not in sys.modules:
        return
    shell = sys.modules["IPython"].get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    import matplotlib.pyplot  # noqa: F401 (sets the inline backend up, with its own options)
    from matplotlib_inline.backend_inline import set_matplotlib_formats
    from matplotlib_inline.config import InlineBackend

    inline = InlineBackend.instance(parent=shell)
    inline.print_figure_kwargs = {"bbox_inches": "tight", **PNG_OPTIONS}
    set_matplotlib_formats("png")
