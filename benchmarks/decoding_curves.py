"""Validity against coverage of filtered models, and the likelihood trap, over seeds, recorded.

    python -m benchmarks.decoding_curves [--seeds 3] [--out FILE]

For each training budget and seed: every setting of temperature, top-k and nucleus makes another
language model of an LSTM, whose coverage and validity against the grammar are measured; and so does
keeping only the most probable of its whole texts. Its samples are sorted by their log-probability,
and its most probable review is searched for. Finished runs stay in the file, so that a run that was
stopped goes on.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/decoding_curves.json"
SETTINGS = {
    "reviews": 20_000,
    "texts": 2000,
    "learning_rate": 0.02,
    "length": 48,
    "expanded": 60_000,
    "models": {"300 steps": {"steps": 300}, "1200 steps": {"steps": 1200}},
    "families": {
        "temperature": [0.3, 0.5, 0.7, 0.8, 0.9, 1.2, 1.5],
        "top_k": [1, 2, 3, 5, 7, 10, 20, 50],
        "nucleus": [0.1, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99],
    },
    "kept": [0.1, 0.2, 0.3, 0.5, 0.75, 0.9],
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
        self.test, _ = lines(test, self.truth.boundary)


def trained(task: Task, name: str, seed: int) -> LanguageModel:
    """Return a trained model."""
    runtime.setup(seed=seed)
    size, boundary = task.truth.vocab_size, task.truth.boundary
    model = LSTMLanguageModel(size, width=128, boundary=boundary, seed=seed)
    steps = SETTINGS["models"][name]["steps"]
    schedule = training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
    sizes = {"steps": steps, "window": 40, "batch_size": 64, "eval_every": steps // 2}
    optimizer = training.muon(schedule)
    training.train(
        model, task.train, task.valid, **sizes, seed=seed, lines=True, optimizer=optimizer
    )
    return model


def written(task: Task, model: LanguageModel, seed: int) -> np.ndarray:
    """Return reviews of the model, ids, (texts, time)."""
    count, length, stop = SETTINGS["texts"], SETTINGS["length"], task.truth.boundary
    return decoding.generate(model, [], length, batch_size=count, stop=stop, seed=seed)


def values(found: evaluation.Distance, own: np.ndarray) -> dict[str, float | None]:
    """Return what is recorded of a distance, and the share of the texts that differ."""
    names = ("coverage", "validity", "oracle_nats", "coverage_error", "validity_error", "excess")
    kept = {name: getattr(found, name) for name in names}
    kept["different"] = len({row.tobytes() for row in own}) / len(own)
    # JSON has no infinity and no NaN.
    return {name: float(v) if np.isfinite(v) else None for name, v in kept.items()}


def point(task: Task, model: LanguageModel, seed: int) -> dict[str, float | None]:
    """Coverage and validity of one model."""
    own = written(task, model, seed)
    return values(evaluation.distance_between(task.truth, model, task.test, own), own)


def filtered_points(task: Task, model: LanguageModel, seed: int) -> list[dict[str, Any]]:
    """One point for every setting of every family."""
    points = []
    for family, settings in SETTINGS["families"].items():
        for value in settings:
            filtered = decoding.Filtered(model, **{family: value})
            points.append({"family": family, "value": value, **point(task, filtered, seed)})
    return points


def kept_points(task: Task, model: LanguageModel, seed: int) -> list[dict[str, Any]]:
    """One point for every share of whole texts that is kept, the most probable ones."""
    own = written(task, model, seed)
    p_test, p_own = (evaluation.text_log_probs(task.truth, rows) for rows in (task.test, own))
    q_test, q_own = (evaluation.text_log_probs(model, rows) for rows in (task.test, own))
    q_own = np.maximum(q_own, -1e6)  # quantiles interpolate, which -inf of the unfinished forbids
    points = []
    for share in SETTINGS["kept"]:
        least = np.quantile(q_own, 1 - share)
        kept = q_own >= least
        q = np.where(q_test >= least, q_test - np.log(kept.mean()), -np.inf)
        found = evaluation.distance(p_test, q, p_own[kept])
        points.append({"share": share, **values(found, own[kept])})
    return points


def by_probability(task: Task, model: LanguageModel, seed: int, groups: int = 10) -> list[dict]:
    """Finished samples in groups of falling log-probability: are they valid, how long?"""
    own = written(task, model, seed + 100)
    own = own[(own == task.truth.boundary).any(axis=1)]
    log_q = evaluation.text_log_probs(model, own)
    valid = evaluation.text_log_probs(task.truth, own) > -np.inf
    tokens = (own != task.truth.boundary).sum(axis=1) + 1
    return [
        {
            "nats": float(-log_q[rows].mean()),
            "validity": float(valid[rows].mean()),
            "tokens": float(tokens[rows].mean()),
        }
        for rows in np.array_split(np.argsort(-log_q, kind="stable"), groups)
    ]


def mode(task: Task, model: LanguageModel) -> dict[str, Any]:
    """The most probable review of a model, as an exact search finds it."""
    stop = task.truth.boundary
    found = decoding.exact_search(
        model, SETTINGS["length"], stop=stop, max_expanded=SETTINGS["expanded"], batch_size=512
    )
    true = evaluation.text_log_probs(task.truth, found.ids[None])[0]
    return {
        "nats": -found.log_prob,
        "true_nats": float(-true) if true > -np.inf else None,
        "tokens": len(found.ids),
        "proven": found.proven,
    }


def run(task: Task, name: str, seed: int) -> dict[str, Any]:
    """Everything about one model."""
    model = trained(task, name, seed)
    return {
        "model": name,
        "seed": seed,
        "parameters": model.count_params(),
        "pure": point(task, model, seed),
        "filtered": filtered_points(task, model, seed),
        "kept": kept_points(task, model, seed),
        "by_probability": by_probability(task, model, seed),
        "mode": mode(task, model),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    options = records.options(__doc__, RECORD, arguments)
    command = f"python -m benchmarks.decoding_curves --seeds {options.seeds}"
    record: dict[str, Any] = {"command": command, "settings": SETTINGS, "runs": []}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(r["model"], r["seed"]) for r in record["runs"]}
    task = Task()
    for seed, name in itertools.product(range(1, options.seeds + 1), SETTINGS["models"]):
        if (name, seed) in done:
            continue
        record["runs"].append(run(task, name, seed))
        print(name, seed, record["runs"][-1]["pure"], record["runs"][-1]["mode"], flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
