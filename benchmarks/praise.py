"""Praise or complaint: classifiers of reviews against the exact posterior, over labels and seeds.

    python -m benchmarks.praise [--seeds 3] [--out FILE]

Every classifier learns from the same labelled reviews and is judged on the same test reviews, of
which the posterior is known, so that its distance from the best classifier has no noise but the
choice of the test reviews. "told": linear classifiers that are given the posterior for a label.
"parsed": logistic regression on four numbers that the grammar reads off a review. Finished seeds
stay in the file, so that a stopped run goes on.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks import records
from benchmarks.praise_classifiers import Task, learn, told
from textgen_utils import runtime
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.corpora.reviews.meaning import Review
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/praise.json"
KINDS = ("naive", "words", "pairs", "grams", "mean", "lstm", "reader", "bert")
OPENING = "I bought this jacket in a sale. The fabric is "
PROBES = [
    OPENING + "far from soft, but the design is modern. I would wait for a sale.",
    OPENING + "soft, but the design is far from modern. I would wait for a sale.",
    OPENING + "far from soft, but the design is very modern. I will keep wearing this jacket.",
    OPENING + "far from soft, but the design is modern. I will keep wearing this jacket.",
    OPENING + "soft, and the design is very modern. I will keep wearing this jacket.",
    OPENING + "soft, and the design is modern. I will keep wearing this jacket.",
]


def steps(counts: list[int], numbers: list[int]) -> dict[str, int]:
    """Return training steps by the number of labels, as JSON keeps it."""
    return {str(count): number for count, number in zip(counts, numbers, strict=True)}


LABELS = [100, 1000, 5000, 30_000]
LONG, SHORT = [60, 120, 300, 1200], [60, 120, 200, 400]
SETTINGS = {
    "labels": LABELS,
    "more": {"model": "lstm", "labels": 100_000},
    "test": 20_000,
    "test_seed": 9,  # not those on which the networks were chosen
    "unlabelled": 20_000,
    "penalty": 1.0,
    "order": 3,
    "batch": 64,
    "depth": 2,
    "context": 48,
    "networks": {
        "mean": {"width": 64, "peak": 0.02, "steps": steps(LABELS, LONG)},
        "lstm": {"width": 128, "peak": 0.01, "steps": steps([*LABELS, 100_000], [*LONG, 2400])},
        "reader": {"width": 64, "peak": 0.006, "steps": steps(LABELS, SHORT)},
        "bert": {"width": 64, "peak": 0.006, "steps": steps(LABELS, SHORT)},
    },
    "pretraining": {"steps": 300, "batch_size": 48, "mask_rate": 0.3, "peak": 0.02},
}


def construction(review: Review) -> str:
    """Return the hardest thing that must be understood in a review."""
    clauses = review.meaning.clauses
    if len({clause.polarity for clause in clauses}) == 2:
        return "contradiction"
    if any(clause.negated for clause in clauses):
        return "negation"
    return "degree" if any(c.intensity != "plain" for c in clauses) else "plain"


def parsed(reviews: Reviews, part: list[Review]) -> np.ndarray:
    """Return four numbers of each review: first clause, second if it agrees, if not, verdict."""
    lexicon, rows = reviews.lexicon, np.zeros((len(part), 4))
    for row, review in zip(rows, part, strict=True):
        meaning = review.meaning
        first = meaning.clauses[0].polarity
        for number, clause in enumerate(meaning.clauses):
            opinion = lexicon.aspects[clause.aspect].adjectives[clause.opinion]
            value = lexicon.degrees[clause.intensity].scale * opinion.tone * opinion.strength
            row[number + (clause.polarity != first)] = value
        row[3] = lexicon.verdicts[meaning.verdict].score
    return rows


class Language:
    """The test reviews with their posterior, and how a reader of them is judged."""

    def __init__(self) -> None:
        self.reviews = Reviews()
        truth = self.reviews.oracle("en", "words")
        self.words = Words(truth.tokens)
        self.test = self.reviews.sample(SETTINGS["test"], seed=SETTINGS["test_seed"])
        self.rows, self.labels, self.posterior = self.encoded(self.test)
        self.kinds = np.array([construction(review) for review in self.test])
        self.probes = lines(self.words.encode("\n".join(PROBES) + "\n"), truth.boundary)[0]
        unlabelled = self.reviews.text(SETTINGS["unlabelled"], seed=1, language="en")
        unlabelled_rows = lines(self.words.encode(unlabelled), truth.boundary)[0]
        self.task = Task(truth.vocab_size, truth.boundary, unlabelled_rows, SETTINGS)

    def encoded(self, part: list[Review]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows, labels and P(label = 1 | review)."""
        ids = self.words.encode("".join(review.english + "\n" for review in part))
        p = [self.reviews.sentiment.positive(review.meaning) for review in part]
        rows = lines(ids, self.words.boundary)[0]
        return rows, np.array([review.label for review in part]), np.array(p)

    def judged(self, z: np.ndarray) -> dict[str, Any]:
        """Return the distance of log-odds from the posterior, which errs least."""
        p, q, says, best = self.posterior, sigmoid(z), z > 0, self.posterior > 0.5
        error = np.abs(2 * p - 1) * (says != best)
        nats = p * (np.log(p) - log_sigmoid(z)) + (1 - p) * (np.log1p(-p) - log_sigmoid(-z))
        drawn = (says != self.labels).astype(float) - (best != self.labels)
        rows = [(q >= k / 10) & ((q < (k + 1) / 10) | (k == 9)) for k in range(10)]
        return {
            "error": float(error.mean()),
            "error_se": standard_error(error),
            "drawn": float(drawn.mean()),
            "drawn_se": standard_error(drawn),
            "nats": float(nats.mean()),
            "nats_se": standard_error(nats),
            "by_kind": {
                k: [float(error[self.kinds == k].mean()), float(nats[self.kinds == k].mean())]
                for k in ("plain", "degree", "negation", "contradiction")
            },
            "bins": [
                [int(r.sum()), float(q[r].mean()), float(p[r].mean()), float(self.labels[r].mean())]
                for r in rows
                if r.any()
            ],
        }


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z))."""
    return np.exp(log_sigmoid(z))


def log_sigmoid(z: np.ndarray) -> np.ndarray:
    """Return log sigmoid(z), also where z is far below zero."""
    return -np.logaddexp(0, -z)


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def review_runs(language: Language, seed: int) -> list[dict[str, Any]]:
    """Every classifier with every number of labels, one of them with more; one seed."""
    more, most = SETTINGS["more"], max(SETTINGS["labels"])
    given = language.reviews.sample(max(most, more["labels"]), seed=100 + seed)
    rows, labels, posterior = language.encoded(given)
    runs, jobs = [], list(itertools.product(SETTINGS["labels"], KINDS))
    for n, kind in [*jobs, (more["labels"], more["model"])]:
        runtime.setup(seed=seed)
        start = time.perf_counter()
        read = learn(kind, rows[:n], labels[:n], language.task, seed)
        run = {"model": kind, "labels": n, "seconds": round(time.perf_counter() - start, 1)}
        runs.append(run | language.judged(read(language.rows)))
        runs[-1]["probes"] = read(language.probes).tolist()
        print(seed, kind, n, run["seconds"], runs[-1]["error"], runs[-1]["nats"], flush=True)
    for kind in ("words", "pairs"):
        read = told(rows[:most], posterior[:most], language.task, pairs=kind == "pairs")
        run = {"model": f"told, {kind}", "labels": most, "seconds": None}
        run |= language.judged(read(language.rows))
        runs.append(run | {"probes": read(language.probes).tolist()})
    features, test = (parsed(language.reviews, part) for part in (given, language.test))
    for n in SETTINGS["labels"]:
        model = LogisticRegression(C=100).fit(features[:n], labels[:n])
        run = {"model": "parsed", "labels": n, "seconds": None, "probes": None}
        runs.append(run | language.judged(model.decision_function(test)))
    return runs


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each seed."""
    options = records.options(__doc__, RECORD, arguments)
    command = f"python -m benchmarks.praise --seeds {options.seeds}"
    record = {"command": command, "settings": SETTINGS, "test_bayes_error": None, "runs": []}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {run["seed"] for run in record["runs"]}
    language = Language()
    p = language.posterior
    record["test_bayes_error"] = float(np.minimum(p, 1 - p).mean())
    for seed in sorted(set(range(1, options.seeds + 1)) - done):
        record["runs"] += [{"seed": seed} | run for run in review_runs(language, seed)]
        records.save(options.out, record)


if __name__ == "__main__":
    main()
