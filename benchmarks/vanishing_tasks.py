"""The remedies against vanishing and exploding gradients on two more tasks: adding, and text.

    python -m benchmarks.vanishing_tasks [--adding-steps 400] [--text-steps 200] [--out FILE]

The networks, remedies and starts are those of `benchmarks.vanishing_remedies`; only what enters
and what is predicted differ. Adding: numbers and marks enter, the sum of the two marked numbers is
asked for at the end, 40 steps after the first. Text: the next character of a Chinese review at
every place. All starts, seeds and learning rates of a remedy are trained at once, stacked, so that
each remedy is compiled once for each task.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks import vanishing_remedies as remedies
from benchmarks.vanishing_remedies import Remedy
from textgen_utils import runtime
from textgen_utils.batches import Windows
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.files import write_atomically
from textgen_utils.tokenizers import Characters

RECORD = remedies.RECORD.with_name("vanishing_tasks.json")
SETTINGS = {
    "batch_size": 32,
    "distance": 40,
    "window": 40,
    "train_reviews": 20_000,
    "valid_batches": 20,
    "last": 50,  # steps over which the final loss of adding is averaged: every batch is new
    "seeds": {"adding": 2, "text": 1},
    "adding_rates": 4,
    "text_rates": {
        "SGD": [10.0, 3.0, 1.0, 0.3, 0.1, 0.03],
        "RMSprop, Adam": [0.1, 0.03, 0.01, 0.003],
    },
}
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """What enters a network, what it is asked, and what it is judged by.

    Attributes:
        inputs: numbers that enter a step, or characters that there are.
        outputs: numbers that a network predicts.
        enter: weights and a batch's x to W x_t, (time, networks, batch, gates * width).
        loss: outputs, (time, networks, batch, outputs), and a batch's y to each network's losses,
            (time or 1, networks, batch).
        batches: new batches without end: x; y, (time or 1, batch); and a mask as y.
        unseen: a few batches to judge by, or none: then the last losses in training do.
        baselines: losses of whoever knows less, and of whoever knows all.
        rates: the learning rates that are tried for the remedy of that name.
    """

    inputs: int
    outputs: int
    enter: Callable[[dict, tf.Tensor], tf.Tensor]
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    batches: Callable[[], Iterator[Batch]]
    unseen: tuple[Batch, ...]
    baselines: dict[str, float]
    rates: Callable[[str], list[float]]


def adding() -> Task:
    """The adding problem (Hochreiter and Schmidhuber, 1997); squared error."""
    return Task(
        inputs=2,
        outputs=1,
        enter=lambda p, x: tf.einsum("tbi,nig->tnbg", x, p["W"]),
        loss=lambda out, y: (out[-1:, ..., 0] - y[:, None]) ** 2,
        batches=lambda: adding_batches(np.random.default_rng(99)),
        unseen=(),
        baselines={"always 1": 1 / 6, "floor": 0.0},
        rates=adding_rates,
    )


def adding_rates(name: str) -> list[float]:
    """Those of the recall's rates nearest to its best from the two starts, and a far smaller one.

    The smaller one, because nothing bounds the slope of a squared error.
    """
    results = json.loads(remedies.RECORD.read_text())["results"][name]
    best = [result[str(SETTINGS["distance"])]["rate"] for result in results.values()]
    away = {r: np.abs(np.log(r / np.array(best))).min() for r in remedies.REMEDIES[name].rates()}
    near = sorted(away, key=away.get)[: SETTINGS["adding_rates"]]
    return [*near, min(near) / 10]


def adding_batches(rng: np.random.Generator) -> Iterator[Batch]:
    """x: (distance + 1, batch, 2), numbers in [0, 1] and marks; y: (1, batch), the sums."""
    time, size = SETTINGS["distance"] + 1, SETTINGS["batch_size"]
    while True:
        x = np.stack([rng.random((time, size)), np.zeros((time, size))], axis=-1)
        x[rng.integers(max(1, time // 10), size=size), range(size), 1] = 1
        x[rng.integers(time // 2, time, size=size), range(size), 1] = 1
        y = (x[..., 0] * x[..., 1]).sum(axis=0, keepdims=True)
        yield x.astype("float32"), y.astype("float32"), np.ones_like(y, "float32")


def text() -> Task:
    """The next character of Chinese reviews, read from the start of a line; nats a character."""
    reviews, size = Reviews(), SETTINGS["batch_size"]
    seen = "\n" + reviews.text(SETTINGS["train_reviews"], seed=1, language="zh")
    tokenizer = Characters.fit(seen)
    ids, vocabulary = tokenizer.encode(seen), tokenizer.vocab_size
    count = SETTINGS["valid_batches"] * size
    lines = reviews.text(2 * count, seed=2, language="zh")
    valid = whole_lines(tokenizer.encode("\n" + lines), tokenizer.boundary, count)
    return Task(
        inputs=vocabulary,
        outputs=vocabulary,
        enter=remedies.embedded,
        loss=lambda out, y: tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.tile(y[:, None], [1, out.shape[1], 1]), out
        ),
        batches=lambda: text_batches(ids, tokenizer.boundary),
        unseen=tuple(tuple(np.split(a, count // size, axis=1)) for a in valid),
        baselines=count_losses(ids, valid, vocabulary)
        | {"floor": reviews.entropy_per_character("zh")},
        rates=text_rates,
    )


def text_rates(name: str) -> list[float]:
    """Rates for text, where the loss is a mean over places and plain steps must be longer."""
    adaptive = remedies.REMEDIES[name].optimizer != "SGD"
    return SETTINGS["text_rates"]["RMSprop, Adam" if adaptive else "SGD"]


def text_batches(ids: np.ndarray, boundary: int) -> Iterator[Batch]:
    """x and y: (window, batch), y one character later."""
    size, steps = SETTINGS["batch_size"], 10**6
    windows = Windows(ids, SETTINGS["window"], size, steps, seed=99, boundary=boundary)
    for i in range(steps):
        x, y = (a.T for a in windows[i])
        yield x, y, np.ones(y.shape, "float32")


def whole_lines(ids: np.ndarray, boundary: int, count: int) -> Batch:
    """The first lines, (time, count) as a batch; the mask ends each with its line."""
    starts = np.flatnonzero(ids == boundary)
    longest = np.diff(starts[: count + 1]).max()
    rows = ids[starts[:count] + np.arange(longest + 1)[:, None]].astype("int32")
    before = np.cumsum(rows[1:] == boundary, axis=0) - (rows[1:] == boundary)
    return rows[:-1], rows[1:], (before == 0).astype("float32")


def count_losses(ids: np.ndarray, valid: Batch, vocabulary: int) -> dict[str, float]:
    """What counts of one character, and of two, pay for the validation lines."""
    x, y, mask = valid
    single = np.bincount(ids, minlength=vocabulary) + 1.0
    single /= single.sum()
    pairs = np.bincount(ids[:-1] * vocabulary + ids[1:], minlength=vocabulary**2)
    pairs = pairs.reshape(vocabulary, vocabulary) + single  # one more count, spread as singles are
    pairs /= pairs.sum(axis=1, keepdims=True)
    return {
        "uniform": float(np.log(vocabulary)),
        "unigram": float(-np.average(np.log(single[y]), weights=mask)),
        "bigram": float(-np.average(np.log(pairs[x, y]), weights=mask)),
    }


def start(task: Task, remedy: Remedy, radius: float, seed: int) -> dict[str, np.ndarray]:
    """Initial weights of one network: the recall's, with other inputs and outputs."""
    p, rng = remedies.start(remedy, radius, seed), np.random.default_rng((seed, 1))
    width = len(p["U"])
    return p | {
        "W": rng.normal(scale=0.3, size=(task.inputs, p["W"].shape[1])),
        "A": rng.normal(size=(width, task.outputs)) / width**0.5,
        "a": np.zeros(task.outputs),
    }


def losses(task: Task, cell: str, p: dict, batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
    """The mean loss of each network, (networks,)."""
    x, y, mask = batch
    x, width = task.enter(p, x), p["U"].shape[1]
    p = {k: v if k in "WUA" else v[:, None] for k, v in p.items()}
    zeros = tf.zeros((*x.shape[1:3], width * (2 if cell == "LSTM" else 1)))
    states = tf.scan(lambda state, x: remedies.cell_step(cell, p, state, x), x, zeros)
    out = states[..., :width] @ p["A"] + p["a"]
    return tf.reduce_sum(task.loss(out, y) * mask[:, None], [0, 2]) / tf.reduce_sum(mask)


def train(task: Task, name: str, steps: int, seeds: int) -> list[dict]:
    """Train all starts, seeds, rates and penalties of a remedy; one dictionary a network."""
    remedy = remedies.REMEDIES[name]
    tried = [
        {"start": kind, "seed": seed, "rate": rate, "l1": l1, "l2": l2}
        for kind in remedies.SETTINGS["radii"]
        for seed in range(seeds)
        for rate in task.rates(name)
        for l1 in remedy.l1
        for l2 in remedy.l2
    ]
    radii = remedies.SETTINGS["radii"]
    starts = [start(task, remedy, radii[one["start"]], one["seed"]) for one in tried]
    p = {k: tf.Variable(np.stack([s[k] for s in starts]).astype("float32")) for k in starts[0]}
    step = remedies.stepper(remedy, p, tried, lambda *batch: losses(task, remedy.cell, p, batch))
    batches = task.batches()
    seen = [step(*map(tf.constant, next(batches)))[0].numpy() for _ in range(steps)]
    final = np.mean(seen[-SETTINGS["last"] :], axis=0)
    if task.unseen:
        final = unseen_loss(task, remedy.cell, p)
    return [one | {"loss": float(loss)} for one, loss in zip(tried, final, strict=True)]


def unseen_loss(task: Task, cell: str, p: dict) -> np.ndarray:
    """Loss on the task's unseen batches, every symbol weighed alike, (networks,)."""
    judge = tf.function(lambda *batch: losses(task, cell, p, batch), jit_compile=True)
    batches = list(zip(*task.unseen, strict=True))
    sums = [judge(*map(tf.constant, batch)).numpy() * batch[2].sum() for batch in batches]
    return np.sum(sums, axis=0) / sum(batch[2].sum() for batch in batches)


def summary(runs: list[dict]) -> dict:
    """The rate (and penalty) with the lowest median loss over the seeds; diverged is infinite."""
    choices = {}
    for run in runs:
        loss = run["loss"] if np.isfinite(run["loss"]) else np.inf
        choices.setdefault((run["rate"], run["l1"], run["l2"]), []).append(loss)
    best = min(choices, key=lambda choice: np.median(choices[choice]))
    return {
        "rate": best[0],
        "penalty": max(best[1:]),
        "losses": [float(f"{x:.6g}") if x < np.inf else None for x in choices[best]],
        "diverged": int(sum(np.isinf(losses).sum() for losses in choices.values())),
        "runs": len(runs),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adding-steps", type=int, default=400)
    parser.add_argument("--text-steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    runtime.setup(seed=13)
    steps = {"adding": options.adding_steps, "text": options.text_steps}
    began, tasks, results = time.perf_counter(), {"adding": adding(), "text": text()}, {}
    for name in remedies.REMEDIES:
        results[name] = {}
        for kind, task in tasks.items():
            runs = train(task, name, steps[kind], SETTINGS["seeds"][kind])
            results[name][kind] = {
                s: summary([r for r in runs if r["start"] == s]) for s in remedies.SETTINGS["radii"]
            }
            print(name, kind, {s: r["losses"] for s, r in results[name][kind].items()}, flush=True)
    shared = {k: remedies.SETTINGS[k] for k in ("width", "radii")}
    record = {
        "command": "python -m benchmarks.vanishing_tasks "
        f"--adding-steps {steps['adding']} --text-steps {steps['text']}",
        "date": datetime.date.today().isoformat(),
        "machine": runtime.device_report(),
        "python": sys.version.split()[0],
        "seconds": round(time.perf_counter() - began, 1),
        "settings": {**shared, **SETTINGS, "steps": steps},
        "baselines": {kind: task.baselines for kind, task in tasks.items()},
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
