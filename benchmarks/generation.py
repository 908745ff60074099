"""Text from one GPT, written by our loops and by those of KerasHub and Hugging Face.

    python -m benchmarks.generation [--rounds 5] [--threads 2] [--out FILE]

A turn is one call that writes all texts of a task, as a user would make it. A call for one token
after a long prompt is the time to the first token. All have the same weights, which must give the
same log-probability of a fixed text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import turns, writers
from benchmarks.turns import Task
from benchmarks.writers import Sizes, Writer

SIZES = {
    "small": {"vocab_size": 65, "context": 64, "width": 128, "heads": 4, "depth": 4},
    "large": {"vocab_size": 65, "context": 256, "width": 384, "heads": 6, "depth": 6},
}
REFERENCE = "ours, compiled"
# Full recomputation writes fewer tokens where that takes long; its seconds are scaled.
LIMITS = {("small", 16): 16, ("large", 1): 8, ("large", 16): 2}


def tasks() -> list[Task]:
    """Return what is written. The large size has the nucleus only: each way is compiled anew."""

    def task(size: str, batch: int, method: str, prompt: int, new: int, **more: int) -> Task:
        names = {"size": size, "batch": batch, "method": method, "prompt": prompt, "new": new}
        return {**names, **more}

    small = [
        task("small", batch, method, 1, 63, **({"rounds": 2} if method == "beam" else {}))
        for method in ("greedy", "nucleus", "beam")
        for batch in (1, 16)
    ]
    return [
        *small,
        task("small", 1, "greedy", 32, 1),
        task("large", 1, "nucleus", 1, 127, rounds=3),
        task("large", 16, "nucleus", 1, 63, rounds=2),
        task("large", 1, "greedy", 128, 1, rounds=3),
    ]


class Timed:
    """A contestant of `turns.compete` from what makes a writer."""

    def __init__(self, maker: Callable[[], Writer]) -> None:
        self.writer = maker()
        self.facts = self.writer.facts
        self.seed = 0
        self.before: Task | None = None

    def __call__(self, task: Task) -> float | None:
        """Write the texts of a task; of fewer tokens, return the seconds that all would take.

        A task's first call is not scaled: most of it is compilation.
        """
        self.seed += 1
        compiles, self.before = task != self.before, task
        start = time.perf_counter()
        ids = self.writer.write(task, self.seed)
        seconds = time.perf_counter() - start
        if ids is None:
            return None
        return seconds if compiles else seconds * task["new"] / np.shape(ids)[1]


def hub(sizes: Sizes, xla: bool) -> Writer:
    """Return KerasHub's GPT-2."""
    from textgen_utils import runtime

    runtime.setup(seed=0)
    from benchmarks.peers.hub_gpt import HubWriter

    return HubWriter(sizes, xla)


def hugging_face(sizes: Sizes, compiled: bool) -> Writer:
    """Return Hugging Face's GPT-2."""
    from benchmarks.peers.hf_gpt import HuggingFaceWriter

    return HuggingFaceWriter(sizes, compiled)


def makers(sizes: Sizes) -> dict[str, Callable[[], Timed]]:
    """Return what makes each contestant."""
    ways = {
        REFERENCE: partial(writers.Compiled, sizes),
        "ours, step by step": partial(writers.Loop, sizes),
        "ours, recomputed": partial(writers.Recomputed, sizes, LIMITS),
        "KerasHub, XLA": partial(hub, sizes, xla=True),
        "KerasHub": partial(hub, sizes, xla=False),
        "Hugging Face": partial(hugging_face, sizes, compiled=False),
        "Hugging Face, compiled": partial(hugging_face, sizes, compiled=True),
    }
    return {name: partial(Timed, way) for name, way in ways.items()}


def measure(*, threads: int = 2, rounds: int = 5) -> dict[str, Any]:
    """Let all write in turns: see `benchmarks.suite`.

    Raises:
        ValueError: if one does not compute the same.
    """
    part = turns.compete(
        makers(SIZES), tasks(), rounds=rounds, threads=threads, reference=REFERENCE
    )
    check_equal(part["facts"], list(SIZES))
    for row in part["results"]:
        if row["task"]["new"] > 1:
            tokens = row["task"]["batch"] * row["task"]["new"]
            row["tokens_per_second"] = tokens / row["seconds"][1]
    limits = [{"size": s, "batch": b, "new": new} for (s, b), new in LIMITS.items()]
    settings = {"sizes": SIZES, "nucleus": writers.NUCLEUS, "beams": writers.BEAMS}
    return {"settings": {**settings, "rounds": rounds, "recomputed": limits}, **part}


def check_equal(facts: dict[str, dict], sizes: list[str]) -> None:
    """Raise ValueError unless all have the same parameters but for zeros, and the same log p."""
    first = next(iter(facts.values()))
    for name, fact in facts.items():
        for size in sizes:
            ours, theirs = first[size], fact[size]
            equal = theirs["parameters"] - theirs["zeros"] == ours["parameters"]
            if not equal or abs(theirs["log_p"] - ours["log_p"]) > 1e-4:
                raise ValueError(f"{name} does not compute the same: {facts}")


if __name__ == "__main__":
    turns.command(__doc__, measure)
