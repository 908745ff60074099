"""One training step of a GPT and of an LSTM beside the same models in PyTorch, KerasHub and Keras.

    python -m benchmarks.training_step [--threads 2] [--rounds 5] [--out FILE]

All start with the same weights and must have the same loss on the same batch. The limit is the
best rate of matrix products that any of the libraries reaches on these cores in the same run.
The small GPT is nanoGPT's for a CPU.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.step_competitors import APPROXIMATE, REFERENCE, Sizes, kind, makers
from benchmarks.turns import Makers, Task, command, compete

GPT = {"vocab_size": 65, "context": 64, "width": 128, "heads": 4, "depth": 4, "batch": 12}
LARGE = {"vocab_size": 65, "context": 256, "width": 384, "heads": 6, "depth": 6, "batch": 4}
LSTM = {"vocab_size": 65, "context": 64, "embedding_width": 64, "batch": 64}
MODELS = {
    "GPT 128": GPT,
    "LSTM 128": {**LSTM, "width": 128},
    "LSTM 256": {**LSTM, "width": 256},
    "GPT 384": LARGE,
}
STEPS = {"GPT 128": 15, "LSTM 128": 15, "LSTM 256": 10, "GPT 384": 2}  # of a turn
ROUNDS = {"GPT 384": 3}
PROFILED = ("GPT 128", "LSTM 128")
SQUARE = (1024, 1024, 1024)


def measure(
    *,
    threads: int = 2,
    rounds: int = 5,
    models: dict[str, Sizes] = MODELS,
    competitors: Makers | None = None,
) -> dict[str, Any]:
    """Let all take turns at steps, at parts of them, and at matrix products.

    Args:
        threads: of each competitor.
        rounds: measured turns.
        models: the sizes by name.
        competitors: None: all of `makers`.

    Returns:
        What `turns.compete` does, and "settings"; "limits": operations of a step and the best
        rates; "profile": by model and competitor the seconds of each part of a step. Rows of
        whole steps have "share", of the limit.

    Raises:
        ValueError: if two competitors do not compute the same.
    """
    start = time.perf_counter()
    competitors = makers(models, threads) if competitors is None else competitors
    todo = tasks(models)
    part = compete(competitors, todo, rounds=rounds, threads=threads, reference=REFERENCE)
    check_equal(part["facts"])
    limits = find_limits(part["results"], models)
    for row in part["results"]:
        if row["task"].get("part") == "step":
            limit = limits["models"][row["task"]["model"]]
            row["share"] = limit["operations"] / limits["rate"] / row["seconds"][1]
    settings = {"threads": threads, "rounds": rounds, "models": models}
    return {
        "settings": settings,
        **part,
        "limits": limits,
        "profile": profile(part["results"]),
        "seconds": time.perf_counter() - start,
    }


def tasks(models: dict[str, Sizes]) -> list[Task]:
    """Return the products, and the parts of each model's step."""
    sizes = sorted({SQUARE, *(main_product(s) for s in models.values())})
    found: list[Task] = [{"product": list(size), "steps": 20} for size in sizes]
    for name in models:
        task = {"model": name, "steps": STEPS[name]}
        if name in PROFILED:
            found += [{**task, "part": part, "rounds": 2} for part in ("forward", "gradients")]
        found.append(
            {**task, "part": "step"} | ({"rounds": ROUNDS[name]} if name in ROUNDS else {})
        )
    return found


def products(sizes: Sizes) -> list[tuple[int, int, int, int]]:
    """Return the matrix products of a forward pass: how many, rows, inner size, columns."""
    tokens, width = sizes["batch"] * sizes["context"], sizes["width"]
    head = (1, tokens, width, sizes["vocab_size"])
    if kind(sizes) == "LSTM":
        inputs = (1, tokens, sizes["embedding_width"], 4 * width)
        return [inputs, (sizes["context"], sizes["batch"], width, 4 * width), head]
    depth, context, size = sizes["depth"], sizes["context"], width // sizes["heads"]
    maps = depth * sizes["batch"] * sizes["heads"]
    dense = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
    attention = [(maps, context, size, context), (maps, context, context, size)]
    return [*((depth, tokens, *shape) for shape in dense), *attention, head]


def operations(sizes: Sizes) -> int:
    """Return the multiplications and additions of a step: forward, and twice that backward."""
    return 3 * sum(2 * n * rows * inner * columns for n, rows, inner, columns in products(sizes))


def main_product(sizes: Sizes) -> tuple[int, int, int]:
    """Return the product with most of the operations: rows, inner size, columns."""
    return max(products(sizes), key=np.prod)[1:]


def find_limits(results: list[dict], models: dict[str, Sizes]) -> dict[str, Any]:
    """Return the best rates of products, operations a second, and the operations of a step."""
    rates: dict[tuple, dict[str, float]] = {}
    for row in results:
        if "product" in row["task"]:
            size = tuple(row["task"]["product"])
            rates.setdefault(size, {})[row["name"]] = 2 * float(np.prod(size)) / row["seconds"][1]
    return {
        "rate": max(rate for by_name in rates.values() for rate in by_name.values()),
        "products": [{"product": list(size), "rates": rates[size]} for size in rates],
        "models": {
            name: {
                "operations": operations(sizes),
                "product": list(main_product(sizes)),
                "rate": max(rates[main_product(sizes)].values()),
            }
            for name, sizes in models.items()
        },
    }


def profile(results: list[dict]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the seconds of forward, backward and update, from the medians of nested parts."""
    medians: dict[tuple[str, str], dict[str, float]] = {}
    for row in results:
        if "part" in row["task"]:
            key = row["task"]["model"], row["name"]
            medians.setdefault(key, {})[row["task"]["part"]] = row["seconds"][1]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (model, name), seconds in medians.items():
        if len(seconds) == 3:
            forward, both, step = (seconds[part] for part in ("forward", "gradients", "step"))
            parts = {"forward": forward, "backward": both - forward, "update": step - both}
            found.setdefault(model, {})[name] = parts
    return found


def check_equal(facts: dict[str, dict]) -> None:
    """Raise ValueError unless all have the reference's parameters and loss.

    Those in `APPROXIMATE` have other parameters and a loss that differs by up to 1e-3.
    """
    for name, fact in facts.items():
        for model, own in fact["models"].items():
            first = facts[REFERENCE]["models"][model]
            near = abs(own["loss"] - first["loss"]) <= (1e-3 if name in APPROXIMATE else 1e-4)
            if not near or (name not in APPROXIMATE and own["parameters"] != first["parameters"]):
                raise ValueError(f"{name} does not compute the same {model}: {own}, not {first}")


if __name__ == "__main__":
    command(__doc__, measure)
