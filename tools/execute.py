"""Execute notebooks, several at a time.

python -m tools.execute            bring _build/executed/ up to date (what `make book` does)
python -m tools.execute --in-place [NOTEBOOK ...]   rewrite the committed outputs
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

from tools import notebooks

EXECUTED = notebooks.ROOT / "_build" / "executed"
CELL_TIMEOUT = 600  # seconds


@dataclass(frozen=True)
class Done:
    """How the execution of one notebook ended; `error` is empty if it went well.

    `memory` is the most that its kernel held, MiB; None where the system does not tell.
    """

    path: Path
    notebook: nbformat.NotebookNode
    seconds: float
    error: str = ""
    memory: float | None = None


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> int:
    """Notebooks that run at the same time: a small network keeps about one core busy.

    Beyond four it is half of the cores, for the sake of memory: a kernel takes up to 3 GB.
    """
    return max(min(cores(), 4), cores() // 2)


def short(path: Path) -> Path:
    """A path as it is shown: relative to the repository where it lies inside."""
    return path.relative_to(notebooks.ROOT) if path.is_relative_to(notebooks.ROOT) else path


def kernel_environment(threads: int) -> dict[str, str]:
    """Environment of one kernel that may use so many threads."""
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",  # with one, the loop of an LSTM is half as fast
    )
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def peak_memory(pid: int) -> float | None:
    """Most memory that a running process has held so far, MiB; None where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def execute(path: Path, threads: int, tick: Callable[[], object] = lambda: None) -> Done:
    """Run one notebook from top to bottom in a new kernel, in the notebook's folder."""
    notebook = notebooks.read(path)
    for cell in notebooks.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    begun: list[str] = []
    memory: list[float | None] = [None]

    def executed(cell, cell_index, execute_reply):
        memory.append(peak_memory(getattr(client.km.provisioner, "pid", 0)))  # while it runs
        tick()

    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        on_cell_execute=lambda cell, cell_index: begun.append(cell.id),
        on_cell_executed=executed,
    )
    start, error = time.perf_counter(), ""
    try:
        # what libraries write past Python's own stderr is the same noise for every kernel
        client.execute(env=kernel_environment(threads), stderr=subprocess.DEVNULL)
    except (CellExecutionError, TimeoutError, RuntimeError) as problem:
        where = f"cell '{begun[-1]}'" if begun else "the kernel's start"
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(problem))
        error = f"{short(path)}: {where} failed\n{plain}"
    seconds = time.perf_counter() - start
    return Done(path, notebooks.normalise(notebook), seconds, error, memory[-1])


def execute_all(paths: Iterable[Path], save: Callable[[Done], str]) -> list[str]:
    """Execute notebooks in parallel, the longest first; `save` takes each as it ends.

    Returns:
        The errors, one text for each notebook that failed.
    """
    paths = sorted(paths, key=expected_seconds, reverse=True)
    if not paths:
        return []
    at_once = min(workers(), len(paths))
    threads = max(2, cores() // at_once)
    total = sum(len(notebooks.code_cells(notebooks.read(path))) for path in paths)
    errors = []
    bar = tqdm(total=total, unit=" cells", desc="executing", disable=None)  # only on a terminal
    with bar, ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(execute, path, threads, bar.update) for path in paths]
        for count, job in enumerate(as_completed(jobs), start=1):
            done = job.result()
            error = done.error or save(done)
            mark = "FAILED" if error else "ok"
            line = f"{count:3}/{len(paths)} {done.seconds:7.1f} s  {mark:6}  {short(done.path)}"
            tqdm.write(line, file=sys.stderr)
            errors += [error] if error else []
    return errors


def cached(path: Path, suffix: str) -> Path:
    """Where the executed copy of a notebook of the book lies."""
    return (EXECUTED / path.relative_to(notebooks.BOOK)).with_suffix(suffix)


def expected_seconds(path: Path) -> float:
    """Seconds of the last execution; before the first one, the number of code cells."""
    record = cached(path, ".json") if path.is_relative_to(notebooks.BOOK) else path
    if record.suffix == ".json" and record.is_file():
        return float(json.loads(record.read_text())["seconds"])
    return float(len(notebooks.code_cells(notebooks.read(path))))


def is_current(path: Path, environment: str) -> bool:
    """Whether the executed copy of a notebook was made by the same code."""
    record, copy = cached(path, ".json"), cached(path, ".ipynb")
    if not (record.is_file() and copy.is_file()):
        return False
    return json.loads(record.read_text())["key"] == notebooks.key(notebooks.read(path), environment)


def save_to_cache(done: Done, environment: str) -> str:
    """Keep an executed notebook under the key of what made it."""
    notebooks.write_if_changed(cached(done.path, ".ipynb"), notebooks.dumps(done.notebook).encode())
    record = {
        "key": notebooks.key(done.notebook, environment),
        "seconds": round(done.seconds, 1),
        "memory": done.memory,  # MiB
    }
    notebooks.write_if_changed(cached(done.path, ".json"), json.dumps(record).encode())
    return ""


def save_in_place(done: Done) -> str:
    """Rewrite a notebook's committed outputs, unless the file would be too large."""
    try:  # the file may have been edited while it ran: keep the prose of now
        merged = notebooks.merge(notebooks.read(done.path), done.notebook)
    except ValueError as problem:
        return f"{short(done.path)}: edited while it ran: {problem}; nothing was written"
    content = notebooks.dumps(notebooks.normalise(merged)).encode()
    if len(content) > notebooks.SIZE_LIMIT:
        return (
            f"{short(done.path)}: {len(content):,} bytes with its outputs, and the limit is "
            f"{notebooks.SIZE_LIMIT:,}: print less, or draw smaller figures; nothing was written"
        )
    notebooks.write_if_changed(done.path, content)
    return ""


def update_cache() -> list[str]:
    """Execute the notebooks whose code, or whose package, has changed."""
    environment = notebooks.environment_digest()
    everything = notebooks.find()
    stale = [path for path in everything if not is_current(path, environment)]
    print(f"{len(everything)} notebooks, {len(stale)} to execute", flush=True)
    return execute_all(stale, lambda done: save_to_cache(done, environment))


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in-place", action="store_true", help="rewrite committed outputs")
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (with --in-place)")
    options = parser.parse_args(arguments)
    if options.paths and not options.in_place:
        parser.error("notebooks are named only with --in-place")
    if missing := [str(p) for p in options.paths if p.suffix != ".ipynb" or not p.is_file()]:
        parser.error(f"no such notebook: {', '.join(missing)}")
    if options.in_place:
        os.environ["TEXTGEN_SCALE"] = "cpu"  # committed outputs are made at CPU scale
        chosen = [path.resolve() for path in options.paths] or notebooks.find()
        errors = execute_all(chosen, save_in_place)
    else:
        errors = update_cache()
    for error in errors:
        print(f"\n{error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
