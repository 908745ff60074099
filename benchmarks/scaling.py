"""Loss of small GPTs against their size and their training tokens, on a language of known entropy.

    python -m benchmarks.scaling [--out FILE]

One run for each width, number of steps and seed, all with the same recipe, and some more with
other learning rates. The record has one entry a run; *Outlook, and four questions* fits and
draws it. Each finished run is kept in FILE.partial, so that a grid that was stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgen_utils import evaluation, runtime, training
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.files import write_atomically
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Characters

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/gradient_methods/records/scaling.json"
SETTINGS = {
    "language": "zh",
    "train_reviews": 200_000,
    "valid_reviews": 2_000,
    "grids": [
        {"widths": [12, 24, 40, 72, 128], "steps": [100, 200, 400, 800], "seeds": [1]},
        {"widths": [12, 24, 40], "steps": [100, 200, 400, 800], "seeds": [2]},
        {"widths": [12, 24, 40], "steps": [1600], "seeds": [1]},
        {"widths": [12, 128], "steps": [200], "seeds": [1], "learning_rates": [0.01, 0.04]},
    ],
    "learning_rate": 0.02,
    "depth": 2,
    "heads": 4,
    "window": 56,
    "batch_size": 32,
}
XLA_FROM = 24  # below this width compiling takes longer than it saves; the results are the same


class Plan(NamedTuple):
    """What one run is: the key of its entry."""

    width: int
    steps: int
    learning_rate: float
    seed: int


class Data(NamedTuple):
    """Text as integers, its tokenizer, and what the truth pays for the validation part."""

    train: np.ndarray
    valid: np.ndarray
    tokenizer: Characters
    entropy: float
    truth: float


def load() -> Data:
    """Draw the text; entropy and truth are nats per character."""
    reviews, code = Reviews(), SETTINGS["language"]
    train_text = reviews.text(SETTINGS["train_reviews"], seed=1, language=code)
    valid_text = reviews.text(SETTINGS["valid_reviews"], seed=2, language=code)
    tokenizer = Characters.fit(train_text)
    valid = tokenizer.encode(valid_text)
    oracle = reviews.oracle(code, tokens=tokenizer.tokens)
    truth = evaluation.evaluate(oracle, valid, lines=True).nats_per_token
    entropy = reviews.entropy_per_character(code)
    return Data(tokenizer.encode(train_text), valid, tokenizer, entropy, truth)


def plans() -> list[Plan]:
    """Return every combination of each grid, one grid after the other."""
    usual = [SETTINGS["learning_rate"]]
    return [
        Plan(width, steps, rate, seed)
        for grid in SETTINGS["grids"]
        for rate in grid.get("learning_rates", usual)
        for seed in grid["seeds"]
        for steps in grid["steps"]
        for width in grid["widths"]
    ]


def run(plan: Plan, data: Data) -> dict[str, Any]:
    """Train one model and return its entry.

    `parameters` are those of the blocks, without embeddings; `tokens` those trained on, in random
    windows of a text that is longer; `loss` in nats per character.
    """
    start = time.perf_counter()
    window, batch_size = SETTINGS["window"], SETTINGS["batch_size"]
    model = GPT(
        data.tokenizer.vocab_size,
        max_context=window,
        width=plan.width,
        heads=SETTINGS["heads"],
        depth=SETTINGS["depth"],
        boundary=data.tokenizer.boundary,
        seed=plan.seed,
    )
    schedule = training.warmup_cosine(plan.learning_rate, plan.steps, final=0.02)
    curve = training.train(
        model,
        data.train,
        data.valid,
        steps=plan.steps,
        window=window,
        batch_size=batch_size,
        optimizer=training.muon(schedule),
        eval_every=plan.steps,
        lines=True,
        seed=plan.seed,
        jit_compile=plan.width >= XLA_FROM,
    )
    return {
        **plan._asdict(),
        "parameters": sum(block.count_params() for block in model.blocks),
        "tokens": plan.steps * batch_size * window,
        "loss": curve.valid[-1],
        "seconds": round(time.perf_counter() - start, 2),
    }


def run_all(partial: Path) -> dict[str, Any]:
    """Run what `partial` does not hold yet, and return what was measured.

    Raises:
        ValueError: if `partial` is of a grid with other settings.
    """
    runtime.setup(seed=16)
    done: list[dict] = []
    if partial.exists():
        kept = json.loads(partial.read_text())
        if kept["settings"] != SETTINGS:
            raise ValueError(f"{partial} was made with other settings: finish it or remove it")
        done = kept["runs"]
    data = load()
    finished = {tuple(entry[name] for name in Plan._fields) for entry in done}
    missing = [plan for plan in plans() if plan not in finished]
    for plan in runtime.progress(missing, "runs"):
        done.append(run(plan, data))
        write_atomically(partial, json.dumps({"settings": SETTINGS, "runs": done}) + "\n")
    return {
        "settings": SETTINGS,
        "entropy": data.entropy,
        "truth": data.truth,
        "seconds": sum(entry["seconds"] for entry in done),
        "runs": done,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_suffix(".partial")
    record = {
        "command": "python -m benchmarks.scaling",
        "date": datetime.date.today().isoformat(),
        "machine": runtime.device_report(),
        "python": sys.version.split()[0],
        **run_all(partial),
    }
    write_atomically(options.out, json.dumps(record, indent=1) + "\n")
    partial.unlink(missing_ok=True)
    best = min(record["runs"], key=lambda entry: entry["loss"])
    above = 100 * (best["loss"] / record["truth"] - 1)
    print(f"{len(record['runs'])} runs, the best {above:.2f} % above the truth: {options.out}")


if __name__ == "__main__":
    main()
