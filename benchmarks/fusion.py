"""Counts, an LSTM and a Transformer on the English reviews, alone and fused, recorded.

    python -m benchmarks.fusion [--seeds 3] [--out FILE]

The weights of every mixture are fitted to reviews that were held out of training; they also choose
the weights of the networks at which training stopped. Losses are in nats a review, on one test
text for all, beside what the truth needs for it. Finished runs stay in the file.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.base import LanguageModel, to_numpy
from textgen_utils.models.distributions import distributions, of_tokens
from textgen_utils.models.mixture import LogLinear, Mixture
from textgen_utils.models.mixture_fit import linear_weights, log_linear_weights
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/fusion.json"
SETTINGS: dict[str, Any] = {
    "reviews": 150_000,
    "held_out": 1_000,
    "test": 4_000,
    "order": 8,
    "lstm": {"width": 128},
    "gpt": {"width": 64, "heads": 4, "depth": 2, "max_context": 48},
    "steps": {"LSTM": 2_000, "GPT": 1_200},
    "batch_size": 64,
    "window": 40,
    "learning_rate": 0.02,
}


class Task:
    """Reviews in words: the truth, the text to learn from, and rows of held-out and test reviews.

    Attributes:
        train, held: ids, (time,).
        tuned, tested: pairs of rows (n, time) and the mask of their tokens.
    """

    def __init__(self) -> None:
        reviews = Reviews()
        self.entropy = reviews.entropy("en")
        self.truth = reviews.oracle("en", "words")
        words = Words(self.truth.tokens)

        def ids(count: int, seed: int) -> np.ndarray:
            return words.encode(reviews.text(count, seed=seed, language="en"))

        self.train = ids(SETTINGS["reviews"], 1)
        self.held = ids(SETTINGS["held_out"], 2)
        self.tuned = lines(self.held, self.truth.boundary)
        self.tested = lines(ids(SETTINGS["test"], 3), self.truth.boundary)


def network(task: Task, name: str, seed: int) -> tuple[LanguageModel, float]:
    """Return a trained network and the seconds it took."""
    size, boundary = task.truth.vocab_size, task.truth.boundary
    kind, sizes = {"LSTM": (LSTMLanguageModel, "lstm"), "GPT": (GPT, "gpt")}[name]
    model = kind(size, boundary=boundary, seed=seed, **SETTINGS[sizes])
    steps = SETTINGS["steps"][name]
    curve = training.train(
        model,
        task.train,
        task.held,
        steps=steps,
        window=SETTINGS["window"],
        batch_size=SETTINGS["batch_size"],
        optimizer=training.muon(
            training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.02)
        ),
        eval_every=steps // 2,
        seed=seed,
        lines=True,
        jit_compile=name == "GPT",
    )
    return model, round(curve.seconds[-1], 1)


def along(models: list[LanguageModel], rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return every model's log p of every token at each place, (models, tokens, vocab)."""
    parts = np.array_split(np.arange(len(rows)), max(1, len(rows) // 500))
    found = [
        np.concatenate([distributions(model, rows[part])[mask[part]] for part in parts])
        for model in models
    ]
    return np.stack(found)


def mixtures(
    names: list[str], models: list[LanguageModel], task: Task
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Fit every mixture of two or more; return weights and log p of the test's tokens."""
    (rows, mask), (test_rows, test_mask) = task.tuned, task.tested
    tuned, tested = along(models, rows, mask), along(models, test_rows, test_mask)
    targets, test_targets = rows[mask], test_rows[test_mask]
    fused: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for count in range(2, len(models) + 1):
        for chosen in itertools.combinations(range(len(models)), count):
            part, name = list(chosen), " + ".join(names[i] for i in chosen)
            of = [models[i] for i in part]
            given = np.stack([of_tokens(log_probs, targets) for log_probs in tuned[part]])
            for kind, weights in (
                ("linear", linear_weights(given)),
                ("log-linear", log_linear_weights(tuned[part], targets)),
            ):
                mixture = (Mixture if kind == "linear" else LogLinear)(of, weights)
                mixed = of_tokens(mixture.combine(tested[part]), test_targets)
                fused[f"{name}, {kind}"] = weights, mixed
    alone = {
        n: (np.ones(1), of_tokens(t, test_targets)) for n, t in zip(names, tested, strict=True)
    }
    return alone | fused


def run(task: Task, seed: int) -> dict[str, Any]:
    """Train, fuse and measure; nats a review."""
    runtime.setup(seed=seed)
    counts = NGram(
        SETTINGS["order"], task.truth.vocab_size, task.truth.boundary, independent_lines=True
    ).fit(task.train)
    networks = {name: network(task, name, seed) for name in SETTINGS["steps"]}
    models = [counts, *(model for model, _ in networks.values())]
    rows, mask = task.tested
    place = np.nonzero(mask)[0]
    truth = np.bincount(place, -to_numpy(task.truth.score(rows))[mask])
    results = {}
    for name, (weights, log_probs) in mixtures(["counts", *networks], models, task).items():
        nats = np.bincount(place, -log_probs)
        excess = nats - truth
        results[name] = {
            "weights": [round(float(w), 4) for w in weights],
            "nats": float(nats.mean()),
            "excess": float(excess.mean()),
            "excess_error": float(excess.std(ddof=1) / np.sqrt(len(excess))),
        }
    return {
        "seed": seed,
        "seconds": {name: seconds for name, (_, seconds) in networks.items()},
        "parameters": {name: model.count_params() for name, (model, _) in networks.items()},
        "truth": float(truth.mean()),
        "results": results,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the seeds that are missing, and write the record after each."""
    options = records.options(__doc__, RECORD, arguments)
    runs = records.finished(options.out, SETTINGS)
    missing = set(range(1, options.seeds + 1)) - {r["seed"] for r in runs}
    task = Task() if missing else None
    command = f"python -m benchmarks.fusion --seeds {options.seeds}"
    for seed in sorted(missing):
        runs.append(run(task, seed))
        record = {"command": command, "settings": SETTINGS, "entropy": task.entropy, "runs": runs}
        records.save(options.out, record)
        for name, result in runs[-1]["results"].items():
            print(seed, name, f"{100 * result['excess'] / runs[-1]['truth']:.2f} %", flush=True)


if __name__ == "__main__":
    main()
