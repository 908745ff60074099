"""Update rules and schedules with equal tuning effort on one small language model, recorded.

    python -m benchmarks.tuning [--out FILE]

Every rule has as many trials: learning rates drawn log-uniformly from three decades of its own, and
with them its momentum or weight decay where it has one. The trial with the lowest validation loss
is repeated with new seeds, and these are scored on the test text too. Then the same for
schedules. Every run reads as many characters. Finished runs stay in the file.
"""

from __future__ import annotations

import argparse
import math
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import records
from textgen_utils import runtime, training
from textgen_utils.corpora import keras_manual
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Characters

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/tuning.json"
XLA = True
SETTINGS: dict[str, Any] = {
    "model": {"width": 32, "depth": 2, "heads": 2, "max_context": 32},
    "train_characters": 20_000,
    "other_characters": 16_384,
    "batch_size": 32,
    "steps": 400,
    "trials": 8,
    "seeds": 3,
    "rules": {
        "gradient descent, all examples": {"learning_rate": [1e-2, 10]},
        "SGD": {"learning_rate": [1e-2, 10]},
        "momentum": {"learning_rate": [1e-3, 1], "1 - momentum": [0.01, 0.3]},
        "Nesterov": {"learning_rate": [1e-3, 1], "1 - momentum": [0.01, 0.3]},
        "AdaGrad": {"learning_rate": [1e-3, 1]},
        "RMSProp": {"learning_rate": [1e-4, 1e-1]},
        "Adam": {"learning_rate": [1e-4, 1e-1]},
        "AdamW": {"learning_rate": [1e-4, 1e-1], "weight_decay": [1e-2, 1]},
        "Lion": {"learning_rate": [1e-5, 1e-2], "weight_decay": [1e-2, 1]},
        "Muon": {"learning_rate": [1e-4, 1e-1]},
    },
    "schedules": ["cosine", "linear", "inverse root"],
    "scheduled": ["Adam", "Muon"],
}


def optimizer(rule: str, second: float | None) -> keras.optimizers.Optimizer:
    """Return a rule; `second` is its momentum's distance from one, or its weight decay."""
    k = keras.optimizers
    make: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
        "momentum": lambda: k.SGD(momentum=1 - second),
        "Nesterov": lambda: k.SGD(momentum=1 - second, nesterov=True),
        "AdaGrad": k.Adagrad,
        "RMSProp": k.RMSprop,
        "Adam": lambda: k.Adam(beta_2=0.99),
        "AdamW": lambda: k.AdamW(beta_2=0.99, weight_decay=second),
        "Lion": lambda: k.Lion(weight_decay=second),
        "Muon": lambda: k.Muon(
            adam_beta_2=0.99, weight_decay=0.0, adam_weight_decay=0.0, rms_rate=0.2
        ),
    }
    return make.get(rule, k.SGD)()


def rates(peak: float, schedule: str, steps: int) -> np.ndarray:
    """Return the learning rate of every step; all but the constant one rise at first."""
    t, warmup = np.arange(steps), max(1, steps // 20)
    rise = np.minimum(1.0, (t + 1) / warmup)
    left = 1 - np.maximum(0, t - warmup) / (steps - warmup)
    falls = {
        "constant": np.ones(steps),
        "cosine": rise * (0.5 - 0.5 * np.cos(np.pi * left)),
        "linear": rise * left,
        "inverse root": rise * np.sqrt(warmup / np.maximum(t, warmup)),
    }
    return peak * falls[schedule]


class Task:
    """Windows of the Keras manual, a small model, and its compiled measures."""

    def __init__(self, dropout: float = 0.0, characters: int | None = None) -> None:
        manual, size = keras_manual.load(), SETTINGS["other_characters"]
        text = manual.train[: characters or SETTINGS["train_characters"]]
        tokens = Characters.fit(text, unknown="\ufffd")
        self.window = SETTINGS["model"]["max_context"]
        self.ids = tokens.encode(text)
        self.parts = {"train": self.cut(self.ids)}
        for name in ("valid", "test"):
            self.parts[name] = self.cut(tokens.encode(getattr(manual, name)[:size]))
        self.sizes = {"vocab_size": tokens.vocab_size, "boundary": tokens.boundary}
        self.model = GPT(**self.sizes, **SETTINGS["model"], dropout=dropout, seed=0)
        self.loss_of = training.token_loss()
        self._measure = tf.function(lambda x, y: self.loss_of(y, self.model(x)), jit_compile=XLA)

    def cut(self, ids: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Return windows that do not overlap, and their targets."""
        n = (len(ids) - 1) // self.window * self.window
        shifted = (ids[:n], ids[1 : n + 1])
        return tuple(tf.constant(part.reshape(-1, self.window), tf.int32) for part in shifted)

    def batch(self, rng: np.random.Generator) -> tuple[tf.Tensor, tf.Tensor]:
        """Return random windows and their targets."""
        starts = rng.integers(len(self.ids) - self.window, size=SETTINGS["batch_size"])
        rows = self.ids[starts[:, None] + np.arange(self.window + 1)]
        return tf.constant(rows[:, :-1], tf.int32), tf.constant(rows[:, 1:], tf.int32)

    def nats(self, part: str) -> float:
        """Return the mean loss of a text: each character once, after those of its window."""
        return float(self._measure(*self.parts[part]))

    def start(self, seed: int) -> list[np.ndarray]:
        """Return the weights with which all runs of a seed begin."""
        return GPT(**self.sizes, **SETTINGS["model"], seed=seed).get_weights()

    def trainer(self, rule: keras.optimizers.Optimizer, loss_of: Any = None) -> Callable[..., None]:
        """Return a function that trains with one compiled step, at the given rates."""
        variables, loss_of = self.model.trainable_variables, loss_of or self.loss_of
        rule.build(variables)
        empty = [v.numpy() for v in rule.variables]

        @tf.function(jit_compile=XLA)
        def advance(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = loss_of(y, self.model(x, training=True))
            rule.apply(tape.gradient(loss, variables), variables)
            return loss

        def run(
            step_rates: np.ndarray, seed: int, *, full: bool = False, watch: Any = None
        ) -> None:
            rng = np.random.default_rng(seed)
            for variable, value in zip(variables, self.start(seed), strict=True):
                variable.assign(value)
            for variable, value in zip(rule.variables, empty, strict=True):
                variable.assign(value)
            for step, rate in enumerate(step_rates, 1):
                rule.learning_rate.assign(rate)
                advance(*(self.parts["train"] if full else self.batch(rng)))
                if watch is not None:
                    watch(step)

        return run


def drawn(name: str, ranges: dict[str, list[float]], trial: int) -> list[float]:
    """Return a trial's numbers, log-uniform in their ranges."""
    rng = np.random.default_rng((zlib.crc32(name.encode()), trial))
    return [float(math.exp(rng.uniform(*np.log(limits)))) for limits in ranges.values()]


def trained(task: Task, run: Any, rule: str, schedule: str, rate: float, seed: int) -> dict:
    """Train once and return the losses; null where it diverged."""
    full, steps = "all examples" in rule, SETTINGS["steps"]
    if full:  # as many characters
        steps = round(steps * SETTINGS["batch_size"] / len(task.parts["train"][0]))
    begin = time.perf_counter()
    run(rates(rate, schedule, steps), seed, full=full)
    seconds = time.perf_counter() - begin
    losses = {part: task.nats(part) for part in task.parts}
    return {"steps": steps, "seconds": round(seconds, 2), **losses}


def search(task: Task, rule: str, schedule: str) -> list[dict[str, Any]]:
    """All trials of a rule with a schedule, then the best of them with new seeds."""
    trainer = cache(lambda *second: task.trainer(optimizer(rule, *(second or (None,)))))
    found: list[dict[str, Any]] = []

    def add(kind: str, trial: int, numbers: list[float], seed: int) -> None:
        ends = trained(task, trainer(*numbers[1:]), rule, schedule, numbers[0], seed)
        names = {"rule": rule, "schedule": schedule, "kind": kind, "trial": trial, "seed": seed}
        found.append({**names, "numbers": numbers, **ends})

    for trial in range(SETTINGS["trials"]):
        add("search", trial, drawn(rule, SETTINGS["rules"][rule], trial), 0)
    finite = [run for run in found if math.isfinite(run["valid"])]
    best = min(finite, key=lambda run: run["valid"])
    for seed in range(1, SETTINGS["seeds"] + 1):
        add("final", best["trial"], best["numbers"], seed)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    runtime.setup(seed=0)
    task = Task()
    record = {"command": "python -m benchmarks.tuning", "settings": SETTINGS}
    record["parameters"] = task.model.count_params()
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(run["rule"], run["schedule"]) for run in record["runs"]}
    pairs = [(rule, "constant") for rule in SETTINGS["rules"]]
    pairs += [(r, s) for r in SETTINGS["scheduled"] for s in SETTINGS["schedules"]]
    for rule, schedule in pairs:
        if (rule, schedule) in done:
            continue
        new = search(task, rule, schedule)
        record["runs"] += new
        ends = [round(run["valid"], 3) for run in new]
        print(rule, schedule, new[-1]["numbers"], ends, flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
