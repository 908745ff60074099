"""Penalties against overfitting with equal tuning effort, recorded.

    python -m benchmarks.penalties [--out FILE]

The model of `tuning` on half of its text, Adam at one constant rate, more steps than it takes to
begin to overfit. Every penalty has as many trials, its strength drawn log-uniformly; the strength
with the lowest validation loss at the end of the run is repeated with new seeds. The curves are
recorded, so that stopping early can be compared without a run of its own. Finished runs stay in the
file.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks import records
from benchmarks.tuning import Task, drawn
from textgen_utils import runtime, training

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/penalties.json"
SETTINGS: dict[str, Any] = {
    "train_characters": 10_000,
    "learning_rate": 3e-3,
    "steps": 800,
    "every": 80,
    "trials": 4,
    "seeds": 3,
    "strengths": {
        "L1 in the loss": [1e-6, 1e-3],
        "L2 in the loss": [1e-5, 1e-2],
        "decoupled decay": [3e-3, 3],
        "dropout": [0.03, 0.6],
    },
    "small": 1e-3,
}


def prepared(penalty: str | None, strength: float) -> tuple[Task, Any]:
    """Return the task and a function that trains its model under a penalty."""
    dropout = strength if penalty == "dropout" else 0.0
    task = Task(dropout, SETTINGS["train_characters"])
    decay = strength if penalty == "decoupled decay" else None
    rule = keras.optimizers.Adam(beta_2=0.99, weight_decay=decay)
    rule.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    weight = {"L1 in the loss": "l1", "L2 in the loss": "l2"}.get(penalty)
    loss = training.penalised(task.model, **{weight: strength}) if weight else None
    return task, task.trainer(rule, loss)


def trained(task: Task, run: Any, seed: int) -> dict[str, Any]:
    """Train once; return the curves, and the share of the weights that are next to nothing."""
    curve: dict[str, list[float]] = {"steps": [], "train": [], "valid": [], "test": []}

    def watch(step: int) -> None:
        if step % SETTINGS["every"] == 0:
            curve["steps"].append(step)
            for part in task.parts:
                curve[part].append(task.nats(part))

    run(np.full(SETTINGS["steps"], SETTINGS["learning_rate"]), seed, watch=watch)
    matrices = [w for w in task.model.get_weights() if w.ndim > 1]
    theta = np.concatenate([w.ravel() for w in matrices])
    small = float((np.abs(theta) < SETTINGS["small"]).mean())
    return {"norm": float(np.linalg.norm(theta)), "small": small, "curve": curve}


def search(penalty: str | None) -> list[dict[str, Any]]:
    """All trials of a penalty, then the best strength with new seeds; or no penalty."""
    found: list[dict[str, Any]] = []
    prepare = cache(prepared)

    def add(kind: str, strength: float, seed: int) -> None:
        names = {"penalty": penalty or "none", "kind": kind, "strength": strength, "seed": seed}
        found.append({**names, **trained(*prepare(penalty, strength), seed)})

    best = 0.0
    if penalty is not None:
        for trial in range(SETTINGS["trials"]):
            [strength] = drawn(penalty, {"strength": SETTINGS["strengths"][penalty]}, trial)
            add("search", strength, 0)
        best = min(found, key=lambda run: run["curve"]["valid"][-1])["strength"]
    for seed in range(1, SETTINGS["seeds"] + 1):
        add("final", best, seed)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    runtime.setup(seed=0)
    record = {"command": "python -m benchmarks.penalties", "settings": SETTINGS}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {run["penalty"] for run in record["runs"]}
    for penalty in (None, *SETTINGS["strengths"]):
        if (penalty or "none") in done:
            continue
        new = search(penalty)
        record["runs"] += new
        ends = [(f"{r['strength']:.2g}", round(r["curve"]["valid"][-1], 3)) for r in new]
        print(penalty, ends, [round(min(r["curve"]["valid"]), 3) for r in new], flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
