"""What a run was asked for, and the memory of one of its steps, without allocating it."""

from __future__ import annotations

import signal
from typing import Any

import keras
import numpy as np

Row = dict[str, Any]


class Plan:
    """Runs that were asked for.

    Attributes:
        rows: one a kind of run: "model", "parameters", "optimizer", "shapes" of a batch's inputs,
            "steps" of a run, "runs", "exact", see `exact_memory`, and "temporaries", bytes or
            None. These are planned for a run that has more parameters times numbers in a batch
            than all before it, since that takes seconds.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.owners: list[Any] = []

    def add(self, model: Any, data: Any, steps: int, *, one_by_one: bool = False) -> None:
        """Note a run.

        Args:
            model: compiled.
            data: a batch: inputs, targets, and weights if there are any; arrays.
            steps: of this run.
            one_by_one: whether this is one step of a loop, so that it may go on with a run.
        """
        model._symbolic_build(data_batch=data)
        model.optimizer.build(model.trainable_variables)
        shapes = [list(np.shape(x)) for x in keras.tree.flatten(data[0])]
        optimizer = getattr(model.optimizer, "optimizer", model.optimizer)
        row = {"model": type(model).__name__, "parameters": model.count_params()}
        row |= {"optimizer": type(optimizer).__name__, "shapes": shapes}
        for old, owner in zip(self.rows, self.owners, strict=True):
            if row.items() <= old.items() and (old["steps"] == steps or one_by_one):
                old["steps"] += one_by_one and owner is model
                old["runs"] += owner is not model and not one_by_one
                return
        largest = all(size_of(row) > size_of(old) for old in self.rows)
        row |= {"steps": steps, "runs": 1, "exact": exact_memory(model)}
        row["temporaries"] = None
        self.rows.append(row)
        self.owners.append(model)
        if largest:
            left = signal.alarm(0)  # of the cell's time: this is not the cell's
            row["temporaries"] = temporaries(model, data)
            signal.alarm(left)


def size_of(row: Row) -> int:
    """Return parameters times numbers in a batch's inputs, which is how runs are compared."""
    return row["parameters"] * sum(int(np.prod(shape)) for shape in row["shapes"])


def exact_memory(model: Any) -> dict[str, int]:
    """Return the bytes of a model's weights, its gradients, and its optimizer's state."""

    def size(variables: Any) -> int:
        width = {v.path: keras.backend.standardize_dtype(v.dtype) for v in variables}
        return sum(int(np.prod(v.shape)) * np.dtype(width[v.path]).itemsize for v in variables)

    variables = model.weights, model.trainable_weights, model.optimizer.variables
    return dict(zip(("weights", "gradients", "optimizer"), map(size, variables), strict=True))


def temporaries(model: Any, data: Any) -> int | None:
    """Return what XLA sets aside for a whole step, bytes; gradients are in it. None: not on JAX.

    The step is compiled for this CPU, and nothing is allocated for it.
    """
    if keras.config.backend() != "jax":
        return None
    import jax

    def shaped(x: Any) -> Any:
        return jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype))

    kinds = ("trainable", "non_trainable", "optimizer", "metrics")
    state = model._get_jax_state(**{f"{kind}_variables": True for kind in kinds})
    step = jax.jit(model.train_step, donate_argnums=0)
    step = step.lower(*jax.tree.map(shaped, (state, data))).compile()
    return step.memory_analysis().temp_size_in_bytes
