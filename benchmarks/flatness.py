"""How sharply the loss bends where runs with small and large rates go, recorded.

    python -m benchmarks.flatness [--out FILE]

The model and text of `tuning`, trained by momentum at two rates. Along each run: losses, the
extreme eigenvalues of the Hessian of the training loss, and how much that loss rises on average at
a fixed distance in random directions, normalised by filters. Finished runs stay in the file.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks import records
from benchmarks.tuning import Task
from textgen_utils import runtime
from textgen_utils.interpret import Surface, sharpness
from textgen_utils.losses import cross_entropy

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/flatness.json"
SETTINGS: dict[str, Any] = {
    "rates": [0.01, 0.1],
    "momentum": 0.9,
    "steps": 600,
    "every": 120,
    "seeds": 3,
    "windows": 64,
    "iterations": 12,
    "directions": 5,
    "distance": 0.2,
}


def measured(task: Task, surface: Surface) -> dict[str, float]:
    """Return losses, curvature and the rise in random directions, where the model is."""
    point, size = surface.point, SETTINGS["directions"]
    directions = np.stack([surface.direction(point, seed) for seed in range(size)])
    steps = SETTINGS["distance"] * np.concatenate([np.eye(size), -np.eye(size)])
    rise = surface.losses(point, directions, steps).mean() - surface.loss(point)
    found = sharpness(surface.gradient, point, iterations=SETTINGS["iterations"])
    return {
        **{part: task.nats(part) for part in task.parts},
        "largest": found.largest,
        "smallest": found.smallest,
        "rise": float(rise),
        "norm": float(np.linalg.norm(point)),
    }


def along(task: Task, surface: Surface, run: Any, rate: float, seed: int) -> dict[str, Any]:
    """Train once and measure on the way."""
    points: list[dict[str, float]] = []

    def watch(step: int) -> None:
        if step % SETTINGS["every"] == 0:
            points.append({"step": step, **measured(task, surface)})

    run(np.full(SETTINGS["steps"], rate), seed, watch=watch)
    return {"rate": rate, "seed": seed, "points": points}


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    runtime.setup(seed=0)
    record = {"command": "python -m benchmarks.flatness", "settings": SETTINGS}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(run["rate"], run["seed"]) for run in record["runs"]}
    task = Task()
    inputs, targets = (part.numpy()[: SETTINGS["windows"]] for part in task.parts["train"])
    surface = Surface(task.model, inputs, targets, cross_entropy)
    run = task.trainer(keras.optimizers.SGD(momentum=SETTINGS["momentum"]))
    for seed, rate in itertools.product(range(1, SETTINGS["seeds"] + 1), SETTINGS["rates"]):
        if (rate, seed) in done:
            continue
        record["runs"].append(along(task, surface, run, rate, seed))
        print(rate, seed, record["runs"][-1]["points"][-1], flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
