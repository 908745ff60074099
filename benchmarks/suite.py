"""All comparisons with other libraries, and the book's own times, in one run.

    make benchmarks
    python -m benchmarks.suite [--parts ngrams generation ...] [--threads 2] [--out FILE]

One part after the other, each by itself a command of the same options. The file is written after
each part, so that a run that was stopped goes on: parts that it holds, made on the same machine
with the same versions, are not run again. The figures are drawn beside it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.machine import machine
from benchmarks.turns import table
from textgen_utils.files import write_atomically
from textgen_utils.runtime import progress

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/reference/records/benchmarks.json"
OUT = ROOT / "_build/benchmarks/benchmarks.json"
PARTS = ("training_step", "generation", "ngrams", "seconds_to_loss", "house")
Measure = Callable[..., dict[str, Any]]


def run(
    out: Path, parts: dict[str, Measure], *, threads: int, again: bool = False
) -> dict[str, Any]:
    """Measure what is not in the file yet, and write the file after each part.

    Args:
        out: the record, JSON; its folder is made when missing.
        parts: by name, what measures it.
        threads: of each competitor.
        again: measure also what is there.

    Returns:
        the record.
    """
    where = machine()
    record = {} if again else earlier(out, where, threads)
    done = record.get("parts", {})
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in progress([name for name in parts if name not in done], "parts"):
        start = time.perf_counter()
        part = parts[name](threads=threads)
        part["seconds"] = time.perf_counter() - start
        part["date"] = datetime.date.today().isoformat()
        done[name] = part
        record = {"command": "make benchmarks", "threads": threads, "machine": where, "parts": done}
        write_atomically(out, json.dumps(record, indent=1, allow_nan=False) + "\n")
        print("\n".join([f"\n== {name}", *table(part)]), flush=True)
    return record


def earlier(out: Path, where: dict[str, Any], threads: int) -> dict[str, Any]:
    """Return the record that is there; {} if it is of another machine, version or setting."""
    if not out.exists():
        return {}
    record = json.loads(out.read_text())
    same = record["machine"] == where and record["threads"] == threads
    return record if same else {}


def measures(names: list[str]) -> dict[str, Measure]:
    """Return the function `measure` of each part's module."""
    return {name: importlib.import_module(f"benchmarks.{name}").measure for name in names}


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--again", action="store_true", help="also what the file holds already")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    run(options.out, measures(options.parts), threads=options.threads, again=options.again)
    pictures, errors = figures.draw(options.out)
    for error in errors:
        print(f"the page says something else than this run: {error}")
    print(f"\n{options.out}, and {len(pictures)} figures beside it; ", end="")
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
