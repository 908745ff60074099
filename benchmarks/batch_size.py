"""Steps to a loss against the batch size, and the noise scale of the gradient, recorded.

    python -m benchmarks.batch_size [--seeds 3] [--out FILE]

A small LSTM reads English reviews in words, with a constant learning rate, until its loss is a
given number of nats a review above the truth's. For each batch size the rates are tried with one
seed; the best of them is then run with other seeds, and those runs count. The noise scale is
estimated from many small batches at several moments of training. Finished runs stay in the file,
so that a run that was stopped goes on.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks import records
from textgen_utils import evaluation, runtime, training
from textgen_utils.batches import Windows
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/batch_size.json"
SETTINGS = {
    "width": 64,
    "window": 40,
    "reviews": 120_000,
    "valid": 200,
    "batch_sizes": [2, 4, 8, 16, 32, 64, 128, 256],
    "rates": [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32],
    "targets": [10.0, 5.0],
    "steps": 1600,
    "windows": 64_000,
    "spacing": 1.08,
    "noise": {
        "batch_size": 64,
        "rate": 0.02,
        "at": [0, 40, 80, 160, 320],
        "few": 8,
        "batches": 256,
    },
}


class Task:
    """English reviews in words: ids, and what the truth pays for the validation text."""

    def __init__(self) -> None:
        reviews = Reviews()
        self.truth = reviews.oracle("en", "words")
        words = Words(self.truth.tokens)
        texts = [reviews.text(SETTINGS[k], s, "en") for k, s in (("reviews", 1), ("valid", 2))]
        self.train, self.valid = map(words.encode, texts)
        self.floor = self.nats(self.truth)

    def nats(self, model: Any) -> float:
        """Nats a review on the validation text."""
        return -evaluation.token_log_probs(model, self.valid, lines=True).sum() / SETTINGS["valid"]

    def model(self, seed: int) -> LSTMLanguageModel:
        """Return an untrained network."""
        size, boundary = self.truth.vocab_size, self.truth.boundary
        return LSTMLanguageModel(size, width=SETTINGS["width"], boundary=boundary, seed=seed)

    def windows(self, batch_size: int, steps: int, seed: int) -> Windows:
        """Return batches of windows that begin at reviews."""
        boundary = self.truth.boundary
        return Windows(self.train, SETTINGS["window"], batch_size, steps, seed, boundary=boundary)


def crossing(steps: list[int], losses: list[float], target: float) -> float | None:
    """Return where a curve first passes a target, linear in log(steps); None if it does not."""
    i = next((i for i, loss in enumerate(losses) if loss <= target), None)
    if i is None or i == 0:
        return None if i is None else float(steps[0])
    share = (losses[i - 1] - target) / (losses[i - 1] - losses[i])
    return steps[i - 1] * (steps[i] / steps[i - 1]) ** share


def steps_to(task: Task, batch_size: int, rate: float, seed: int) -> list[float | None]:
    """Train until the lowest target is passed; return the steps to each target."""
    runtime.setup(seed=seed)
    model, most = task.model(seed), min(SETTINGS["steps"], SETTINGS["windows"] // batch_size)
    model.compile(training.muon(rate), training.token_loss())
    batches, steps, losses, following = task.windows(batch_size, most, seed), [], [], 10.0
    for step in range(1, most + 1):
        model.train_on_batch(*batches[step - 1])
        if step >= following or step == most:
            steps.append(step)
            losses.append(task.nats(model) - task.floor)
            following = step * SETTINGS["spacing"]
            if losses[-1] <= min(SETTINGS["targets"]):
                break
    return [crossing(steps, losses, target) for target in SETTINGS["targets"]]


def gradients(model: keras.Model, batches: Windows) -> np.ndarray:
    """Return the gradient of each batch, (batches, parameters): a step of rate one undone."""
    probe = keras.models.clone_model(model)
    probe.compile(keras.optimizers.SGD(1.0), training.token_loss())
    start, found = model.get_weights(), []
    for i in range(len(batches)):
        probe.set_weights(start)
        probe.train_on_batch(*batches[i])
        moved = zip(start, probe.get_weights(), strict=True)
        found.append(np.concatenate([(a - b).ravel() for a, b in moved]))
    return np.array(found)


def noise_scale(found: np.ndarray, size: int) -> dict[str, float]:
    """Return the noise scale tr(Sigma) / |G|^2, its parts and a standard error.

    Args:
        found: gradients of n batches, (n, parameters), n at least 3.
        size: examples a batch.

    The squared length of a mean of noisy gradients is too long by its variance, which is taken
    off. The standard error is the jackknife's, over the batches.

    Source: S. McCandlish et al., "An empirical model of large-batch training", 2018, appendix A.
    """
    n, mean = len(found), found.mean(axis=0, dtype=np.float64)
    squares = (found.astype(np.float64) ** 2).sum(axis=1)

    def parts(n: Any, total: Any, length: Any) -> tuple[Any, Any]:  # the trace, and |G|^2
        variance = (total - n * length) / (n - 1)
        return size * variance, length - variance / n

    trace, length = parts(n, squares.sum(), mean @ mean)
    # Without batch i the mean is (n * mean - g_i) / (n - 1).
    along = found @ mean
    lengths = (n**2 * (mean @ mean) - 2 * n * along + squares) / (n - 1) ** 2
    left = np.divide(*parts(n - 1, squares.sum() - squares, lengths))
    error = np.sqrt((n - 1) * np.var(left))
    return {"scale": trace / length, "error": error, "trace": trace, "length": length}


def noise_over_training(task: Task, seed: int) -> list[dict[str, float]]:
    """The noise scale at several moments of one training."""
    runtime.setup(seed=seed)
    plan, model = SETTINGS["noise"], task.model(seed)
    model.compile(training.muon(plan["rate"]), training.token_loss())
    batches, points = task.windows(plan["batch_size"], max(plan["at"]) + 1, seed), []
    for step in range(max(plan["at"]) + 1):
        if step in plan["at"]:
            few = task.windows(plan["few"], plan["batches"], seed + 100)
            found = noise_scale(gradients(model, few), plan["few"])
            found["excess"] = task.nats(model) - task.floor
            points.append({"step": step, **{k: float(v) for k, v in found.items()}})
        model.train_on_batch(*batches[step])
    return points


def tuned(task: Task, batch_size: int, seeds: int) -> dict[str, Any]:
    """Try every rate with seed 0, then run the best, of each target, with the other seeds."""
    tried = [steps_to(task, batch_size, rate, 0) for rate in SETTINGS["rates"]]
    entry: dict[str, Any] = {"batch_size": batch_size, "tried": tried, "targets": []}
    known: dict[float, list] = {}
    for k, target in enumerate(SETTINGS["targets"]):
        reached = [math.inf if row[k] is None else row[k] for row in tried]
        rate = SETTINGS["rates"][int(np.argmin(reached))]
        if rate not in known:
            known[rate] = [steps_to(task, batch_size, rate, s) for s in range(1, seeds + 1)]
        steps = [row[k] for row in known[rate]]
        entry["targets"].append({"target": target, "rate": rate, "steps": steps})
    return entry


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    options = records.options(__doc__, RECORD, arguments)
    command = f"python -m benchmarks.batch_size --seeds {options.seeds}"
    record: dict[str, Any] = {"command": command, "settings": SETTINGS}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {run.get("batch_size", f"noise {run.get('seed')}") for run in record["runs"]}
    task = Task()
    for seed in range(1, options.seeds + 1):
        if f"noise {seed}" not in done:
            record["runs"].append({"seed": seed, "points": noise_over_training(task, seed)})
            print(record["runs"][-1], flush=True)
            records.save(options.out, record)
    for batch_size in SETTINGS["batch_sizes"]:
        if batch_size not in done:
            record["runs"].append(tuned(task, batch_size, options.seeds))
            print(record["runs"][-1], flush=True)
            records.save(options.out, record)


if __name__ == "__main__":
    main()
