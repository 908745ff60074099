"""One file that holds all that a stopped run needs to go on as if it had not been stopped."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from textgen_utils.files import write_atomically


def save_checkpoint(
    path: str | os.PathLike,
    model: keras.Model,
    best_weights: list[np.ndarray],
    settings: dict[str, Any],
    progress: dict[str, Any],
) -> None:
    """Write a checkpoint, atomically.

    Args:
        path: the file, which is replaced in one step.
        model: compiled; the states of its weights, random generators and optimizer are kept.
        best_weights: the weights with the lowest validation loss so far.
        settings: what the run was started with, as JSON can hold it.
        progress: how far it has come, as JSON can hold it.
    """
    arrays = {f"state_{i}": np.asarray(v) for i, v in enumerate(_values(model))}
    arrays |= {f"best_{i}": weight for i, weight in enumerate(best_weights)}
    arrays["text"] = np.array(json.dumps({"settings": settings, "progress": progress}))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(
    path: str | os.PathLike, model: keras.Model, settings: dict[str, Any]
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Put a checkpoint's states into `model`.

    Args:
        path: the file.
        model: compiled, its optimizer built.
        settings: what this run was started with; must equal what is in the file.

    Returns:
        best_weights and progress, as they were saved.

    Raises:
        ValueError: if the file is damaged, or of a run with other settings.
    """
    arrays, text = _read(Path(path))
    _check_settings(path, text["settings"], json.loads(json.dumps(settings)))
    variables = _variables(model)
    states = [arrays.get(f"state_{i}") for i in range(len(variables))]
    best = [arrays.get(f"best_{i}") for i in range(len(model.weights))]
    for variable, state in zip(variables + model.weights, states + best, strict=True):
        if state is None or state.shape != tuple(variable.shape):
            found = "nothing" if state is None else f"shape {state.shape}"
            raise ValueError(
                f"checkpoint {path} is damaged: {found} for {variable.path}, "
                f"which has shape {tuple(variable.shape)}; delete the file to start again"
            )
    for variable, state in zip(variables, states, strict=True):
        variable.assign(state)
    return best, text["progress"]


def check_place(path: str | os.PathLike) -> None:
    """Find out before the first step whether a checkpoint could be written after it.

    Raises:
        OSError: if `path` is a folder, or its own folder cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"checkpoint must be the path of a file, got the folder {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OSError(f"cannot write checkpoint {path}: {error}; use another path") from error


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text = json.loads(str(arrays.pop("text")))
        if set(text) != {"settings", "progress"}:
            raise ValueError("it lacks its settings")
    except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"checkpoint {path} is damaged ({error}); delete the file to start again"
        ) from None
    return arrays, text


def _check_settings(path: str | os.PathLike, saved: dict[str, Any], now: dict[str, Any]) -> None:
    names = sorted(set(saved) | set(now))
    differ = [name for name in names if saved.get(name) != now.get(name)]
    if differ:
        details = "; ".join(
            f"{n}: {_short(saved.get(n))} there, {_short(now.get(n))} here" for n in differ
        )
        raise ValueError(
            f"checkpoint {path} is of a run with other settings ({details}); "
            "use another path, or delete the file to start again"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _variables(model: keras.Model) -> list[keras.Variable]:
    return model.variables + model.optimizer.variables


def _values(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable.value) for variable in _variables(model)]
