"""Training by the clock: evaluations at given seconds, which do not count, and what came of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

Curve = dict[str, list]


class Run(Protocol):
    """A model in training.

    Attributes:
        facts: what JSON can hold.
        planned: steps of its schedule.
    """

    facts: dict[str, Any]
    planned: int

    def steps(self) -> Iterator[None]:
        """Do a step for each item asked for."""
        ...

    def loss(self, windows: np.ndarray) -> float:
        """Return the mean loss of windows, ints, (n, time + 1), nats per token."""
        ...


def learn(begin: Callable[[], Run], rows: np.ndarray) -> dict[str, Any]:
    """Train to the end of the schedule, and evaluate by the clock and at the end.

    Args:
        begin: makes the run; its seconds count.
        rows: windows to be judged by.

    Returns:
        "facts", and "curve": "steps", "seconds" and "loss" of each evaluation.
    """
    start, away, due = time.perf_counter(), 0.0, evaluation_times()
    run, following = begin(), next(due)
    curve: Curve = {"steps": [], "seconds": [], "loss": []}
    for step, _ in enumerate(itertools.islice(run.steps(), run.planned), 1):
        seconds = time.perf_counter() - start - away
        if seconds < following and step < run.planned:
            continue
        following = next(t for t in due if t > seconds)
        for name, value in zip(curve, (step, seconds, run.loss(rows)), strict=True):
            curve[name].append(value)
        away = time.perf_counter() - start - seconds
    return {"facts": run.facts, "curve": curve}


def evaluation_times() -> Iterator[float]:
    """Yield the seconds on the clock at which a run is evaluated: 2, then 1.3 times as many."""
    return (2 * 1.3**k for k in itertools.count())


def seconds_to(curve: Curve, loss: float) -> float | None:
    """Return when a curve first reaches a loss, between two evaluations in a straight line."""
    i = next((i for i, value in enumerate(curve["loss"]) if value <= loss), None)
    if not i:
        return None if i is None else curve["seconds"][0]
    around = slice(i, i - 2 if i > 1 else None, -1)  # this evaluation and the one before it
    return float(np.interp(loss, curve["loss"][around], curve["seconds"][around]))
