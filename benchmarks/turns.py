"""Competitors in processes of their own that take turns: A B C A B C ...

Whatever else the machine does in the meantime then falls on all of them, and a ratio within a
round means something even where the seconds do not.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from textgen_utils.files import write_atomically
from textgen_utils.runtime import progress_bar

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
Task = dict[str, Any]


class Contestant(Protocol):
    """One competitor, alive in a process of its own.

    Attributes:
        facts: what JSON can hold: version, parameters, and what else tells that it computes the
            same as the others.
    """

    facts: dict[str, Any]

    def __call__(self, task: Task) -> float | None:
        """Do a task once and return the seconds of what is measured; None: it cannot."""
        ...


Makers = dict[str, Callable[[], Contestant]]


def compete(
    makers: Makers, tasks: Iterable[Task], *, rounds: int, threads: int, reference: str
) -> dict[str, Any]:
    """Let competitors do tasks in turns.

    Args:
        makers: by name, what makes a competitor in its process; must be picklable. One whose
            library is not installed (ImportError), or which says with OSError what it lacks, is
            reported as missing, and the others go on.
        tasks: what each does; "rounds" in one overrides `rounds`.
        rounds: measured turns of each. A first one before them is kept apart: it compiles.
        threads: of each process.
        reference: the name with whose seconds the others' are compared.

    Returns:
        "reference", "facts" and "missing" by name, and "results": for each task and competitor
        the quartiles of seconds and of the ratio to the reference in the same round (above 1: it
        takes longer than the reference), the first turn's seconds, and the process's peak memory
        so far, MiB.

    Raises:
        RuntimeError: if a competitor fails, with its traceback; or the reference is missing.
        ValueError: if the reference is not among the makers.
    """
    if reference not in makers:
        raise ValueError(f"the reference must be one of {list(makers)}, got {reference!r}")
    tasks = list(tasks)
    with _processes(makers, threads) as pipes:
        greetings = {name: _receive(name, pipe) for name, pipe in pipes.items()}
        missing, facts = _part(greetings, "missing"), _part(greetings, "facts")
        if facts and reference not in facts:
            raise RuntimeError(f"the reference {reference!r} is missing: {missing[reference]}")
        pipes = {name: pipe for name, pipe in pipes.items() if name in facts}
        turns = sum(1 + task.get("rounds", rounds) for task in tasks) * len(pipes)
        with progress_bar("turns", total=turns) as bar:
            results = [
                row
                for task in tasks
                for row in _task(pipes, task, task.get("rounds", rounds), reference, bar)
            ]
    return {"reference": reference, "facts": facts, "missing": missing, "results": results}


def quartiles(values: Iterable[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return [float(q) for q in np.quantile(list(values), (0.25, 0.5, 0.75))]


def command(
    doc: str, measure: Callable[..., dict[str, Any]], arguments: list[str] | None = None
) -> None:
    """Run one part by itself, print its table, and write it if a file is named."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="measured turns; default: the part's own")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    settings = {"threads": options.threads}
    if options.rounds is not None:
        settings["rounds"] = options.rounds
    start = time.perf_counter()
    part = measure(**settings)
    part["seconds"] = time.perf_counter() - start
    print("\n".join(table(part)))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, json.dumps(part, indent=1) + "\n")


def table(part: dict[str, Any]) -> list[str]:
    """Return a part's results as lines of text."""
    lines = []
    for row in part.get("results", []):
        task = ", ".join(f"{k} {v}" for k, v in row["task"].items() if k != "rounds")
        seconds, ratio = row["seconds"][1], (row["ratio"] or [0, float("nan"), 0])[1]
        lines.append(f"{task:44} {row['name']:28} {seconds * 1e3:11.3f} ms {ratio:9.2f} x")
    lines += [f"{name}: missing: {why}" for name, why in part.get("missing", {}).items()]
    return [*lines, f"{part['seconds']:.0f} s in all"]


def _task(pipes: dict[str, Any], task: Task, rounds: int, reference: str, bar: Any) -> list[dict]:
    """Let all take turns at one task and return a row for each that can do it."""
    first, taken = {}, {name: [] for name in pipes}
    memory = {}
    for turn in range(rounds + 1):
        for name, pipe in pipes.items():
            if first.get(name, 0.0) is not None:  # None: it has said that it cannot
                pipe.send(task)
                reply = _receive(name, pipe)
                memory[name] = reply["memory"]
                if turn:
                    taken[name].append(reply["seconds"])
                else:
                    first[name] = reply["seconds"]
            bar.update()
    ours = np.array(taken[reference])
    return [
        {
            "task": {key: value for key, value in task.items() if key != "rounds"},
            "name": name,
            "seconds": quartiles(seconds),
            "first": first[name],
            "ratio": quartiles(np.array(seconds) / ours) if len(ours) else None,
            "rounds": rounds,
            "memory": memory[name],
        }
        for name, seconds in taken.items()
        if seconds
    ]


@contextmanager
def _processes(makers: Makers, threads: int) -> Any:
    """Start a process for each competitor, one after the other, and end them all."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = {}, []
    try:
        with threads_of_children(threads):
            for name, maker in makers.items():
                pipes[name], theirs = context.Pipe()
                worker = context.Process(target=_work, args=(maker, theirs), daemon=True)
                worker.start()
                theirs.close()  # so that the end of the process is seen as the end of the pipe
                workers.append(worker)
                pipes[name].poll(None)  # its making must not disturb the next one's
        yield pipes
    finally:
        for pipe in pipes.values():
            pipe.close()
        for worker in workers:
            worker.join(5)
            worker.terminate()


@contextmanager
def threads_of_children(threads: int) -> Iterator[None]:
    """Let processes that are started meanwhile use so many threads."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, str(threads))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(maker: Callable[[], Contestant], pipe: Any) -> None:
    """Make a competitor, tell its facts, and answer each task with its seconds."""
    try:
        try:
            contestant = maker()
        except (ImportError, OSError) as error:
            pipe.send({"missing": f"{type(error).__name__}: {error}"})
            return
        pipe.send({"facts": contestant.facts})
        while True:
            seconds = contestant(pipe.recv())
            pipe.send({"seconds": seconds, "memory": peak_memory()})
    except EOFError:
        pass
    except BaseException:
        pipe.send({"failed": traceback.format_exc()})


def _receive(name: str, pipe: Any) -> dict[str, Any]:
    try:
        message = pipe.recv()
    except EOFError:
        raise RuntimeError(f"the process of {name!r} ended without a word") from None
    if "failed" in message:
        raise RuntimeError(f"{name!r} failed:\n{message['failed']}")
    return message


def _part(messages: dict[str, dict], key: str) -> dict[str, Any]:
    return {name: message[key] for name, message in messages.items() if key in message}


def peak_memory() -> float:
    """Return the most memory that this process has held, MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
