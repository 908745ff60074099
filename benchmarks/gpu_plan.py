"""What the notebooks would train at GPU scale, and the memory of a step: computed, not run.

Each notebook's cells run with ``TEXTGEN_SCALE=gpu`` in a process of their own, where `fit` and
`train_on_batch` write down what they were asked for and return. Compiled scoring and generation
return numbers of the right shape. Cells that fail because of that are noted, and the next one
follows. Nothing is trained and nothing is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu_stand_ins import nothing_trains
from benchmarks.records import save
from textgen_utils.files import write_atomically
from tools import notebooks

RECORD = notebooks.BOOK / "reference" / "records" / "gpu_plan.json"
CELL, NOTEBOOK = 60, 240  # seconds


def main(arguments: list[str] | None = None) -> None:
    """Plan every notebook that has settings for a GPU, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--notebook", type=Path, help="one notebook, in this process")
    told = parser.parse_args(arguments)
    if told.notebook is not None:
        run_cells(told.notebook, told.out)
        return
    plans: dict[str, Any] = {}
    settings = {"scale": "gpu", "cell": CELL, "notebook": NOTEBOOK}
    paths = with_gpu_settings()
    with ThreadPoolExecutor(told.processes) as pool:
        for path, found in zip(paths, pool.map(plan, paths), strict=True):
            name = path.relative_to(notebooks.BOOK).with_suffix("").as_posix()
            plans[name] = found
            print(f"{name}: {len(found['trained'])} kinds of runs", flush=True)
            save(told.out, {"settings": settings, "plans": plans})


def with_gpu_settings() -> list[Path]:
    """Return the notebooks of the book whose code asks for the scale."""
    return [
        path
        for path in notebooks.find()
        if any("by_scale(" in c.source for c in notebooks.code_cells(notebooks.read(path)))
    ]


def plan(path: Path) -> dict[str, Any]:
    """Run a notebook's cells in a process of their own; on TensorFlow where JAX reaches nothing.

    Args:
        path: the notebook.

    Returns:
        "backend"; "trained", see `gpu_memory.Plan`; "failed", the error of each cell that had one;
        "cells", how many ran, and of how many.
    """
    for backend in ("jax", "tensorflow"):
        environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
        environment |= {"TEXTGEN_SCALE": "gpu", "KERAS_BACKEND": backend, "MPLBACKEND": "agg"}
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "plan.json"
            command = [sys.executable, "-m", "benchmarks.gpu_plan"]
            command += ["--notebook", str(path.resolve()), "--out", str(out)]
            write(out, [], {}, (0, 0))
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    command,
                    env=environment,
                    cwd=notebooks.ROOT,
                    timeout=NOTEBOOK,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            found = json.loads(out.read_text())
        if found["trained"]:
            break
    return {"backend": backend, **found}


def run_cells(path: Path, out: Path) -> None:
    """Run the cells of a notebook where nothing trains; `out` is rewritten after each of them."""
    from IPython.core.interactiveshell import InteractiveShell

    failed: dict[str, str] = {}
    os.chdir(path.parent)
    sys.path.insert(0, str(notebooks.ROOT))
    with nothing_trains() as trained:
        shell = InteractiveShell.instance()
        signal.signal(signal.SIGALRM, _too_long)
        cells = notebooks.code_cells(notebooks.read(path))
        for i, cell in enumerate(cells):
            signal.alarm(CELL)
            result = shell.run_cell(cell.source)
            signal.alarm(0)
            error = result.error_before_exec or result.error_in_exec
            if error is not None and "raises-exception" not in cell.metadata.get("tags", []):
                failed[cell.id] = type(error).__name__
            write(out, trained.rows, failed, (i + 1, len(cells)))


def write(out: Path, trained: list, failed: dict[str, str], cells: tuple[int, int]) -> None:
    """Write what is known so far."""
    plan = {"trained": trained, "failed": failed, "cells": cells}
    write_atomically(out, json.dumps(plan) + "\n")


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"more than {CELL} s")


if __name__ == "__main__":
    main()
