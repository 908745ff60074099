"""One LSTM under eight losses: distance from the truth, calibration, text; over seeds, recorded.

    python -m benchmarks.which_loss [--seeds 3] [--out FILE]

For each seed and loss an LSTM is trained on the reviews and measured against the grammar. So is
the grammar as the loss would have it (seed 0, no training), where its belief is known, and the
corrected LSTM, where the belief can be taken back. Finished runs stay in the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import decoding, evaluation, losses, runtime, training
from textgen_utils.batches import Windows, lines
from textgen_utils.batches.negatives import Negatives
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.decoding.believed import Believed
from textgen_utils.losses import beliefs
from textgen_utils.models.base import LanguageModel, until_boundary
from textgen_utils.models.distributions import distributions
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/which_loss.json"
SETTINGS = {
    "reviews": 20_000,
    "texts": 1000,
    "prompts": 200,
    "prompt": 6,
    "length": 48,
    "width": 128,
    "steps": 300,
    "window": 40,
    "batch_size": 64,
    "learning_rate": 0.02,
    "smoothing": 0.1,
    "gamma": 2.0,
    "unlikelihood": 1.0,
    "samples": 20,
    "silenced": " not",
}
LOSSES = ("cross_entropy", "squared_error", "absolute_error", "smoothed_cross_entropy")
LOSSES += ("focal", "sampled_softmax", "unlikelihood", "weighted_cross_entropy")
WAYS_BACK = {
    "smoothed_cross_entropy": lambda q: beliefs.smoothed_truth(q, SETTINGS["smoothing"]),
    "focal": lambda q: beliefs.focal_truth(q, SETTINGS["gamma"]),
}


class Task:
    """The reviews in words: the truth, and ids for training, validation and testing."""

    def __init__(self) -> None:
        reviews = Reviews()
        self.truth = reviews.oracle("en", "words")
        words = Words(self.truth.tokens)
        sizes = {1: SETTINGS["reviews"], 2: 300, 3: SETTINGS["texts"]}
        texts = {seed: reviews.text(n, seed=seed, language="en") for seed, n in sizes.items()}
        self.train, self.valid, test = (words.encode(texts[seed]) for seed in sizes)
        self.test, self.mask = lines(test, self.truth.boundary)
        self.p = np.exp(distributions(self.truth, self.test)[self.mask])
        self.silenced = list(self.truth.tokens).index(SETTINGS["silenced"])
        self.weights = np.where(np.arange(self.truth.vocab_size) == self.silenced, 0.0, 1.0)

    def loss(self, name: str) -> losses.NamedLoss:
        """Return the loss of this name with the settings of the record."""
        proposal = losses.unigram_proposal(self.train, self.truth.vocab_size)
        options = {
            "smoothed_cross_entropy": {"smoothing": SETTINGS["smoothing"]},
            "focal": {"gamma": SETTINGS["gamma"]},
            "unlikelihood": {"weight": SETTINGS["unlikelihood"]},
            "weighted_cross_entropy": {"weights": self.weights.tolist()},
            "sampled_softmax": {"proposal": proposal.tolist()},
        }
        return losses.NamedLoss(name, options.get(name))

    def beliefs(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Return what each loss makes of the truth, where that is known."""
        return {
            "absolute_error": beliefs.absolute_belief,
            "smoothed_cross_entropy": lambda p: beliefs.smoothed_belief(p, SETTINGS["smoothing"]),
            "focal": lambda p: beliefs.focal_belief(p, SETTINGS["gamma"]),
            "weighted_cross_entropy": lambda p: beliefs.weighted_belief(p, self.weights),
        }


def trained(task: Task, name: str, seed: int) -> LSTMLanguageModel:
    """Return an LSTM trained under a loss."""
    runtime.setup(seed=seed)
    size, boundary, steps = task.truth.vocab_size, task.truth.boundary, SETTINGS["steps"]
    model = LSTMLanguageModel(size, width=SETTINGS["width"], boundary=boundary, seed=seed)
    loss, (window, rows) = task.loss(name), (SETTINGS["window"], SETTINGS["batch_size"])
    batches = Windows(task.train, window, rows, steps, seed, boundary=boundary)
    if name == "sampled_softmax":
        batches = Negatives(batches, loss.settings["proposal"], SETTINGS["samples"], seed)
    optimizer = training.muon(training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05))
    training.train_on(model, batches, lambda: 0.0, steps=steps, optimizer=optimizer, loss=loss)
    return model


def measured(task: Task, model: LanguageModel, seed: int) -> dict[str, Any]:
    """Distance, calibration and text of one model."""
    size, length, stop = SETTINGS["texts"], SETTINGS["length"], task.truth.boundary
    own = decoding.generate(model, [], length, batch_size=size, stop=stop, seed=seed)
    found = evaluation.distance_between(task.truth, model, task.test, own)
    q = np.exp(distributions(model, task.test)[task.mask]).astype(np.float64)
    q /= q.sum(axis=1, keepdims=True)
    bins = evaluation.reliability(*evaluation.top_forecast(q, task.p))
    names = ("excess", "coverage", "validity", "oracle_nats")
    return {
        **{name: getattr(found, name) for name in names},
        "calibration_error": bins.error,
        "overconfidence": bins.bias,
        "brier": evaluation.brier_score(q, task.p),
        "entropy": entropy(q),
        "reliability": [x.tolist() for x in (bins.forecast, bins.observed, bins.count)],
        "repeated": evaluation.repetition(texts_of(own, stop), 2),
        "silenced": float((own == task.silenced).any(axis=1).mean()),
        "greedy": greedy(task, model),
    }


def greedy(task: Task, model: LanguageModel) -> dict[str, float]:
    """Go on with the beginnings of test reviews, the most probable token each time."""
    prompts = task.test[: SETTINGS["prompts"], : SETTINGS["prompt"]]
    length, stop = SETTINGS["length"] - SETTINGS["prompt"], task.truth.boundary
    rest = decoding.generate(model, prompts, length, greedy=True, stop=stop, seed=0)
    rows = np.concatenate([prompts, rest], axis=1)
    texts = texts_of(rows, stop)
    return {
        "validity": float((evaluation.text_log_probs(task.truth, rows) > -np.inf).mean()),
        "different": len({tuple(text) for text in texts_of(rest, stop)}) / len(texts),
        "repeated": evaluation.repetition(texts, 2),
        "looping": evaluation.looping(texts),
    }


def texts_of(rows: np.ndarray, boundary: int) -> list[list[int]]:
    """Each row up to and with its first boundary."""
    inside = until_boundary(rows, boundary)
    return [row[own].tolist() for row, own in zip(rows, inside, strict=True)]


def entropy(q: np.ndarray) -> float:
    """Return the mean entropy of predictions, nats per token."""
    return float(-np.where(q > 0, q * np.log(np.maximum(q, 1e-300)), 0).sum(axis=1).mean())


def run(task: Task, name: str, seed: int) -> dict[str, Any]:
    """Everything about one loss and seed; seed 0 is the truth itself, as the loss would have it."""
    found: dict[str, Any] = {"loss": name, "seed": seed}
    if seed == 0:
        belief = task.beliefs().get(name, lambda p: p)
        return found | {"model": measured(task, Believed(task.truth, belief), 1), "corrected": None}
    model = trained(task, name, seed)
    corrected = None
    if name in WAYS_BACK:
        corrected = measured(task, Believed(model, WAYS_BACK[name]), seed)
    return found | {"model": measured(task, model, seed), "corrected": corrected}


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    options = records.options(__doc__, RECORD, arguments)
    command = f"python -m benchmarks.which_loss --seeds {options.seeds}"
    record: dict[str, Any] = {"command": command, "settings": SETTINGS}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(r["loss"], r["seed"]) for r in record["runs"]}
    task = Task()
    asked = [(name, 0) for name in ("cross_entropy", *task.beliefs())]
    asked += [(n, s) for s, n in itertools.product(range(1, options.seeds + 1), LOSSES)]
    for name, seed in asked:
        if (name, seed) not in done:
            record["runs"].append(run(task, name, seed))
            print(name, seed, record["runs"][-1]["model"]["excess"], flush=True)
            records.save(options.out, record)


if __name__ == "__main__":
    main()
