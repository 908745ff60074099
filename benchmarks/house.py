"""The book itself: how fast it starts, executes and builds, and what the site weighs.

    python -m benchmarks.house [--threads 2] [--rounds 4] [--out FILE]

Start-up is that of fresh processes, in turns. Notebooks whose outputs are current are not executed
again: their seconds are those of their last execution, beside as many others as there are cores.
The builds are of a folder of their own, from the committed outputs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from benchmarks.site import weight
from benchmarks.turns import THREADS, command, quartiles
from textgen_utils.runtime import progress
from tools import execute, notebooks

REFERENCE = "import textgen_utils"
STATEMENTS = ("pass", REFERENCE, "import keras", "import tensorflow")
FIRST_CELL = "from textgen_utils import runtime\n\nruntime.setup(seed=0)"
CHANGED = "cross_entropy/index.md"  # the page that is changed before the third build
HEAVY = ("numpy", "matplotlib", "keras", "tensorflow", "jax", "torch", "pandas", "scipy")
BUILD = """
import sys
from pathlib import Path
from tools import render
out, page = Path(sys.argv[1]), sys.argv[2]
render.stage(out / "src", committed=True)
if page:
    file = out / "src" / page
    file.write_text(file.read_text("utf-8") + "\\n\\nOne more sentence.\\n", "utf-8")
sys.exit(render.build(out / "src", out))
"""
Row = dict[str, Any]


def measure(*, threads: int = 2, rounds: int = 4) -> dict[str, Any]:
    """Measure start-up, notebooks, builds and the site.

    Args:
        threads: of each process.
        rounds: measured turns of the start-up.

    Returns:
        Rows as `benchmarks.turns.compete` has them; a notebook's also has "memory", its kernel's
        peak in MiB or None. "imports": the modules that `import textgen_utils` loads. "site": see
        `benchmarks.site.weight`.

    Raises:
        RuntimeError: if a notebook or a build fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = start_up(rounds, threads)
        executed, seconds = execute_notebooks()
        builds = build_rows(Path(folder))
        return {
            "settings": {"rounds": rounds, "at_once": execute.workers(), "changed": CHANGED},
            "reference": REFERENCE,
            "facts": {},
            "missing": {},
            "results": rows + notebook_rows() + builds,
            "imports": imports(),
            "execution": {"executed": executed, "seconds": seconds},
            "site": weight(Path(folder) / "html"),
        }


def start_up(rounds: int, threads: int) -> list[Row]:
    """Time fresh processes and the first cell of a notebook, in turns, after a turn for warmth."""
    actions: dict[str, Callable[[], float]] = {
        statement: lambda code=statement: process_seconds(["-c", code], threads)
        for statement in STATEMENTS
    }
    actions["kernel"] = lambda: first_cell_seconds("pass", threads)
    actions["first cell"] = lambda: first_cell_seconds(FIRST_CELL, threads)
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in progress(range(rounds + 1), "start-up"):
        for name, action in actions.items():
            taken[name].append(action())
    ours = taken[REFERENCE][1:]
    return [
        row({"part": "start-up"}, name, seconds[1:], first=seconds[0], ours=ours)
        for name, seconds in taken.items()
    ]


def process_seconds(arguments: list[str], threads: int) -> float:
    """Run Python once and return its seconds.

    Raises:
        RuntimeError: if it fails, with the end of what it wrote.
    """
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=notebooks.ROOT, capture_output=True
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{arguments[:2]} failed:\n{done.stderr.decode()[-2000:]}")
    return seconds


def first_cell_seconds(code: str, threads: int) -> float:
    """Return the seconds from the start of a kernel to the end of its first cell."""
    cell = nbformat.v4.new_code_cell(code)
    client = NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3")
    start = time.perf_counter()
    with client.setup_kernel(
        env=execute.kernel_environment(threads), stderr=subprocess.DEVNULL, cwd=str(notebooks.ROOT)
    ):
        client.execute_cell(cell, 0)
        return time.perf_counter() - start


def imports() -> dict[str, Any]:
    """Return how many modules `import textgen_utils` loads, and which large libraries."""
    code = f"import sys; before = set(sys.modules); {REFERENCE}; "
    code += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=notebooks.ROOT, capture_output=True, text=True, check=True
    )
    names = done.stdout.split()
    tops = {name.partition(".")[0] for name in names}
    return {"modules": len(names), "libraries": [name for name in HEAVY if name in tops]}


def execute_notebooks() -> tuple[int, float]:
    """Execute what is not current; return how many, and the seconds of all together.

    Raises:
        RuntimeError: if one fails.
    """
    environment = notebooks.environment_digest()
    stale = sum(not execute.is_current(path, environment) for path in notebooks.find())
    start = time.perf_counter()
    if errors := execute.update_cache():
        raise RuntimeError("\n".join(errors))
    return stale, time.perf_counter() - start


def notebook_rows() -> list[Row]:
    """Return a row for each notebook from the record of its last execution."""
    rows = []
    for path in notebooks.find():
        record = json.loads(execute.cached(path, ".json").read_text())
        name = path.relative_to(notebooks.BOOK).with_suffix("").as_posix()
        task = {"part": "notebook", "notebook": name}
        memory = {"memory": record.get("memory")}
        rows.append({**row(task, "execution", [record["seconds"]]), **memory})
    return rows


def build_rows(out: Path) -> list[Row]:
    """Build the site three times: into an empty folder, again, and with one page changed."""
    changes = {"empty folder": "", "nothing changed": "", "one page changed": CHANGED}
    return [
        row(
            {"part": "build", "change": change},
            "render",
            [process_seconds(["-c", BUILD, str(out), page], execute.cores())],
        )
        for change, page in progress(changes.items(), "builds")
    ]


def row(
    task: dict[str, Any],
    name: str,
    seconds: list[float],
    *,
    first: float | None = None,
    ours: list[float] | None = None,
) -> Row:
    """Return a row in the form of `benchmarks.turns.compete`; without `ours`, with no ratio."""
    ratio = None
    if ours is not None:
        ratio = quartiles(a / b for a, b in zip(seconds, ours, strict=True))
    return {
        "task": task,
        "name": name,
        "seconds": quartiles(seconds),
        "first": first,
        "ratio": ratio,
        "rounds": len(seconds),
    }


if __name__ == "__main__":
    command(__doc__, measure)
