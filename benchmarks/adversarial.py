"""Adversarial training after maximum likelihood, on the language that is known: recorded.

    python -m benchmarks.adversarial [--seeds 3] [--out FILE]

For each seed: an LSTM is trained by maximum likelihood; its temperature curve is measured; a
discriminator and the perfect critic judge its texts; and from the same weights it is trained on,
with the same optimizer and batches, by each of WAYS. Finished seeds stay in the file, so that a
run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks import records
from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.compiled import shift_right
from textgen_utils.models.gan import Discriminator
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.relaxed import Drawer
from textgen_utils.tokenizers import Words
from textgen_utils.training import adversarial, critic

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/adversarial.json"
SETTINGS = {
    "texts": 20_000,
    "test": 1_000,
    "width": 128,
    "pretraining": 300,
    "steps": 80,
    "observe_every": 20,
    "batch_size": 64,
    "rollouts": 2,
    "prefixes": 3,
    "learning_rate": 3e-4,
    "hasty": 1e-3,
    "temperatures": [1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5],
    "critic_steps": [100, 300, 600],
    "judged": 4_000,
}
WAYS = ("likelihood", "policy", "gumbel", "perfect", "relaxed", "hasty")


class Task:
    """The texts and the truth; what is measured of a model.

    Attributes:
        rows, test: reviews, ints (n, time), for training and for the distance.
        train, valid: the texts that `training.train` reads.
    """

    def __init__(self) -> None:
        self.reviews = Reviews()
        self.truth = self.reviews.oracle("en", "words")
        self.words = Words(self.truth.tokens)
        self.train, self.valid = self.ids(SETTINGS["texts"], 1), self.ids(300, 2)
        self.rows = lines(self.train, self.truth.boundary)[0]
        self.test = lines(self.ids(SETTINGS["test"], 3), self.truth.boundary)[0]

    def ids(self, n: int, seed: int) -> np.ndarray:
        """Return reviews as one text of ids."""
        return self.words.encode(self.reviews.text(n, seed=seed, language="en"))

    def measured(self, model: Any, written: np.ndarray) -> dict[str, Any]:
        """Return the distance from the truth, the exact critic's loss, and what there is of all."""
        found = asdict(evaluation.distance_between(self.truth, model, self.test, written))
        log_p = evaluation.text_log_probs(self.truth, self.test)
        log_q = evaluation.text_log_probs(model, self.test)
        found["to_mixture"] = float(np.mean(np.log(2) - np.logaddexp(0.0, log_q - log_p)))
        possible = evaluation.text_log_probs(self.truth, written) > -np.inf
        texts = [self.words.decode(row).split("\n")[0] for row in written]
        meanings = [
            self.reviews.parse(text, "en")
            for text, valid in zip(texts, possible, strict=True)
            if valid
        ]
        return found | {
            "texts": len(set(texts)),
            "meanings": len(set(meanings)),
            "products": dict(Counter(str(meaning.product) for meaning in meanings)),
        }


def pretrained(task: Task, seed: int) -> LSTMLanguageModel:
    """Return a generator trained by maximum likelihood."""
    steps, boundary = SETTINGS["pretraining"], task.truth.boundary
    size = task.truth.vocab_size
    model = LSTMLanguageModel(size, width=SETTINGS["width"], boundary=boundary, seed=seed)
    training.train(
        model,
        task.train,
        task.valid,
        steps=steps,
        window=40,
        batch_size=SETTINGS["batch_size"],
        eval_every=steps // 2,
        seed=seed,
        lines=True,
        optimizer=training.muon(training.warmup_cosine(0.02, steps, final=0.05)),
    )
    return model


def go_on(task: Task, model: LSTMLanguageModel, observe: Callable, seed: int) -> dict[str, Any]:
    """Train on by maximum likelihood, with the other ways' optimizer and batches."""
    rng, began = np.random.default_rng(seed), time.perf_counter()
    rate, size, every = (SETTINGS[k] for k in ("learning_rate", "batch_size", "observe_every"))
    model.compile(training.adam(rate), training.token_loss())
    observed = []
    for step in range(SETTINGS["steps"]):
        if step % every == 0:
            observed.append((step, observe(step)))
        rows = task.rows[rng.integers(len(task.rows), size=size)]
        ends = rows == model.boundary
        inside = np.cumsum(ends, axis=1) - ends == 0
        model.train_on_batch(shift_right(rows, model.boundary), rows, inside.astype("float32"))
    observed.append((SETTINGS["steps"], observe(SETTINGS["steps"])))
    return {"observed": observed, "seconds": [time.perf_counter() - began]}


def train_on(task: Task, way: str, model: LSTMLanguageModel, seed: int) -> dict[str, Any]:
    """Train a pretrained generator further, in one of the ways, and measure it on the way."""
    drawer = Drawer(model, task.rows.shape[1])

    def observe(step: int) -> dict[str, Any]:
        return task.measured(model, drawer(1_000, np.random.default_rng(5)))

    if way == "likelihood":
        return go_on(task, model, observe, seed)
    judge: Any = Discriminator(task.truth.vocab_size, seed=seed)
    options = {k: SETTINGS[k] for k in ("steps", "batch_size", "learning_rate", "observe_every")}
    options |= {"observe": observe, "seed": seed}
    if way in ("policy", "perfect"):
        judge = critic.PerfectCritic(task.truth, model) if way == "perfect" else judge
        options |= {k: SETTINGS[k] for k in ("rollouts", "prefixes")}
        return asdict(adversarial.train_policy_gradient(model, judge, task.rows, **options))
    if way == "hasty":
        options["learning_rate"] = SETTINGS["hasty"]
    options["straight_through"] = way != "relaxed"
    return asdict(adversarial.train_gumbel(model, judge, task.rows, **options))


def judged(task: Task, model: LSTMLanguageModel, seed: int) -> dict[str, Any]:
    """Return how often critics are right about texts of a model, and how often one could be."""
    n, time_ = SETTINGS["judged"], task.rows.shape[1]
    drawer, rng = Drawer(model, time_), np.random.default_rng(seed)
    real = np.full((n, time_), task.truth.boundary)
    fresh = lines(task.ids(n, 4), task.truth.boundary)[0][:, :time_]
    real[:, : fresh.shape[1]] = fresh
    new, labels = np.concatenate([real, drawer(n, rng)]), np.repeat([1, 0], n)
    parts = [drawer(1_000, rng) for _ in range(len(task.rows) // 1_000)]
    rows = np.concatenate([task.rows, *parts])
    origin = np.repeat([1, 0], [len(task.rows), len(rows) - len(task.rows)])
    judge, done, accuracy = Discriminator(task.truth.vocab_size, seed=seed), 0, []
    for steps in SETTINGS["critic_steps"]:
        critic.train_discriminator(judge, rows, origin, steps=steps - done, seed=seed + steps)
        accuracy.append(critic.balanced_accuracy(judge, new, labels))
        done = steps
    perfect = critic.PerfectCritic(task.truth, model)
    coverage = evaluation.distance_between(task.truth, model, real, new[n:]).coverage
    return {
        "accuracy": accuracy,
        "perfect": critic.balanced_accuracy(perfect, new, labels),
        "bound": 1 - coverage / 2,
    }


def run(task: Task, seed: int) -> dict[str, Any]:
    """Return all measurements of one seed."""
    runtime.setup(seed=seed)
    model = pretrained(task, seed)
    start, curve = model.get_weights(), []
    for t in SETTINGS["temperatures"]:
        filtered = decoding.Filtered(model, temperature=t)
        size, stop = task.rows.shape[1], model.boundary
        written = decoding.generate(filtered, [], size, batch_size=1_000, stop=stop, seed=5)
        curve.append(task.measured(filtered, written))
    result = {"seed": seed, "temperature": curve, "critic": judged(task, model, seed), "ways": {}}
    for way in WAYS:
        model.set_weights(start)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            result["ways"][way] = train_on(task, way, model, seed)
        vanished = any("vanished" in str(w.message) for w in caught)
        result["ways"][way]["vanished"] = vanished
        last = result["ways"][way]["observed"][-1][1]
        print(seed, way, {k: round(last[k], 3) for k in ("coverage", "excess", "validity")})
        sys.stdout.flush()
        keras.backend.clear_session()
    return result


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {
        "command": f"python -m benchmarks.adversarial --seeds {options.seeds}",
        "settings": SETTINGS,
        "runs": [],
    }
    record["runs"] = records.finished(options.out, SETTINGS)
    task, done = Task(), {run["seed"] for run in record["runs"]}
    for seed in range(1, options.seeds + 1):
        if seed in done:
            continue
        record["runs"].append(run(task, seed))
        records.save(options.out, record)


if __name__ == "__main__":
    main()
