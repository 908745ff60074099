"""Who takes part in `benchmarks.training_step`, each in a process of its own."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpt_step import initial_weights
from benchmarks.turns import Makers, Task

Sizes = dict[str, int]
REFERENCE = "ours, XLA"
APPROXIMATE = ("KerasHub",)  # its gelu differs: see `peers.hub_training`


class Steps:
    """A competitor: the seconds of one step, the median over the steps of a turn.

    Args:
        trainings: by the model's name, what has `parameters`, `version`, `loss`, `forward`,
            `gradients` and `step`.
        models: the sizes by the model's name.
        multiplication: returns the product of two matrices, to be timed; None: it times none.
        parts: what of a step it can do.
    """

    def __init__(
        self,
        trainings: dict[str, Any],
        models: dict[str, Sizes],
        multiplication: Callable[[np.ndarray, np.ndarray], Callable[[], Any]] | None = None,
        parts: tuple[str, ...] = ("forward", "gradients", "step"),
    ) -> None:
        self.trainings = trainings
        self.multiplication = multiplication
        self.parts = parts
        self.seen: set[str] = set()
        self.batches = {name: batch(models[name], seed=1) for name in trainings}
        versions = {training.version for training in trainings.values()}
        self.facts: dict[str, Any] = {"version": ", ".join(versions) or f"NumPy {np.__version__}"}
        self.facts["models"] = {
            name: {
                "parameters": training.parameters,
                "loss": training.loss(*self.batches[name]),
            }
            for name, training in trainings.items()
        }

    def __call__(self, task: Task) -> float | None:
        """Return the median seconds of one step, of a part of it, or of one product.

        The first time that it is asked, it does one and returns the seconds of that.
        """
        if "product" in task:
            if self.multiplication is None:
                return None
            rows, inner, columns = task["product"]
            once = self.multiplication(matrix(rows, inner), matrix(inner, columns))
        else:
            if task["model"] not in self.trainings or task["part"] not in self.parts:
                return None
            part = getattr(self.trainings[task["model"]], task["part"])
            once = functools.partial(part, *self.batches[task["model"]])
        first = _seconds(once)
        if (key := str(task)) not in self.seen:
            self.seen.add(key)
            return first  # compilation included
        return float(np.median([first, *(_seconds(once) for _ in range(task["steps"] - 1))]))


def ours(models: dict[str, Sizes], *, xla: bool) -> Steps:
    """Return the book's models, with XLA or without."""
    _quiet()
    from benchmarks import keras_training

    kinds = {"GPT": keras_training.gpt, "LSTM": keras_training.lstm}
    trainings = {
        name: kinds[kind(sizes)](sizes, weights(sizes), xla=xla) for name, sizes in models.items()
    }
    return Steps(trainings, models, keras_training.multiplication if xla else None)


def keras_layers(models: dict[str, Sizes]) -> Steps:
    """Return the LSTMs of Keras's own layers."""
    _quiet()
    from benchmarks.keras_training import sequential

    trainings = {
        name: sequential(sizes, weights(sizes))
        for name, sizes in models.items()
        if kind(sizes) == "LSTM"
    }
    return Steps(trainings, models)


def pytorch(models: dict[str, Sizes], *, threads: int, compiled: bool) -> Steps:
    """Return the models in PyTorch; ImportError without it, OSError without a C++ compiler."""
    from benchmarks.peers import torch_gpt, torch_lstm, torch_training

    kinds = {"GPT": torch_gpt.Competitor, "LSTM": torch_lstm.Competitor}
    trainings = {
        name: kinds[kind(sizes)](arguments(sizes), weights(sizes), threads, compiled)
        for name, sizes in models.items()
    }
    return Steps(trainings, models, None if compiled else torch_training.multiplication)


def keras_hub(models: dict[str, Sizes]) -> Steps:
    """Return KerasHub's GPT; ImportError without it."""
    _quiet()
    from benchmarks.peers.hub_training import gpt

    trainings = {
        name: gpt(sizes, weights(sizes)) for name, sizes in models.items() if kind(sizes) == "GPT"
    }
    return Steps(trainings, models, parts=("step",))


def numpy_products(models: dict[str, Sizes]) -> Steps:
    """Return NumPy's matrix products."""
    return Steps({}, models, lambda a, b: functools.partial(np.matmul, a, b))


def makers(models: dict[str, Sizes], threads: int) -> Makers:
    """Return all competitors by name."""
    return {
        REFERENCE: functools.partial(ours, models, xla=True),
        "ours": functools.partial(ours, models, xla=False),
        "PyTorch": functools.partial(pytorch, models, threads=threads, compiled=False),
        "PyTorch, compiled": functools.partial(pytorch, models, threads=threads, compiled=True),
        "KerasHub": functools.partial(keras_hub, models),
        "Keras layers": functools.partial(keras_layers, models),
        "NumPy": functools.partial(numpy_products, models),
    }


def kind(sizes: Sizes) -> str:
    """Return "GPT" or "LSTM"."""
    return "GPT" if "heads" in sizes else "LSTM"


def arguments(sizes: Sizes) -> Sizes:
    """Return what the models in PyTorch are made with."""
    names = ("depth", "heads", "context") if kind(sizes) == "GPT" else ("embedding_width",)
    return {name: sizes[name] for name in ("vocab_size", "width", *names)}


def weights(sizes: Sizes, seed: int = 0) -> dict[str, np.ndarray] | list[np.ndarray]:
    """Draw weights as all get them: by name for a GPT, in Keras's order for an LSTM."""
    if kind(sizes) == "GPT":
        return initial_weights(sizes, seed)
    vocab, inner, width = (sizes[name] for name in ("vocab_size", "embedding_width", "width"))
    shapes = [(vocab, inner), (inner, 4 * width), (width, 4 * width), (4 * width,)]
    shapes += [(width, vocab), (vocab,)]
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.1, shape).astype("float32") for shape in shapes]


def batch(sizes: Sizes, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw ids and targets, int32, (batch, context) each."""
    shape = (2, sizes["batch"], sizes["context"])
    ids, targets = np.random.default_rng(seed).integers(sizes["vocab_size"], size=shape, dtype="i4")
    return ids, targets


def matrix(rows: int, columns: int) -> np.ndarray:
    """Draw a matrix, float32."""
    return np.random.default_rng(0).normal(size=(rows, columns)).astype("float32")


def _seconds(once: Callable[[], Any]) -> float:
    start = time.perf_counter()
    once()
    return time.perf_counter() - start


def _quiet() -> None:
    """Start Keras with the book's settings, before anything imports TensorFlow."""
    from textgen_utils import runtime

    runtime.setup(seed=0)
