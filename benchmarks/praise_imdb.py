"""The classifiers of `benchmarks.praise` on film reviews, of which nothing is known but the labels.

    python -m benchmarks.praise_imdb [--seeds 3] [--out FILE]

For a GPU; the archive is downloaded when it is missing. The settings were not tuned. The test part
is the 25,000 reviews of the published figures. Finished seeds stay in the file.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from benchmarks import praise, records
from benchmarks.praise_classifiers import Task, learn
from textgen_utils import runtime
from textgen_utils.corpora import imdb
from textgen_utils.corpora.types import Example, Labelled
from textgen_utils.tokenizers import Words

RECORD = praise.RECORD.with_name("praise_imdb.json")
LABELS = [1000, 5000, 20_000]
PEAKS = {"mean": 0.02, "lstm": 0.01, "reader": 0.006, "bert": 0.006}
STEPS = praise.steps(LABELS, [300, 1000, 3000])
SETTINGS = {
    "labels": LABELS,
    "min_count": 20,
    "penalty": 1.0,
    "order": 3,
    "batch": 64,
    "depth": 4,
    "context": 256,
    "networks": {k: {"width": 128, "peak": peak, "steps": STEPS} for k, peak in PEAKS.items()},
    "pretraining": {"steps": 10_000, "batch_size": 48, "mask_rate": 0.3, "peak": 0.02},
}


def encoded(words: Words, part: tuple[Example, ...], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of at most `longest` tokens, each ending in a boundary, and labels."""
    rows = np.full((len(part), longest), words.boundary, np.int32)
    for row, example in zip(rows, part, strict=True):
        ids = words.encode(example.text)[: longest - 1]
        row[: len(ids)] = ids
    return rows, np.array([example.label for example in part])


def film_runs(corpus: Labelled, settings: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """Every classifier with every number of labels, one seed: test error and nats a label."""
    text = "".join(example.text + "\n" for example in corpus.train)
    words = Words.fit(text, settings["min_count"], "\ufffd")
    rows, labels = encoded(words, corpus.train, settings["context"])
    test, truth = encoded(words, corpus.test, settings["context"])
    order = np.random.default_rng(seed).permutation(len(rows))
    rows, labels = rows[order], labels[order]
    task, runs = Task(words.vocab_size, words.boundary, rows, settings), []
    for n, kind in itertools.product(settings["labels"], praise.KINDS):
        runtime.setup(seed=seed)
        start = time.perf_counter()
        z = learn(kind, rows[:n], labels[:n], task, seed)(test)
        run = {"seed": seed, "model": kind, "labels": n}
        run["error"] = float(np.mean((z > 0) != truth))
        run["nats"] = float(-praise.log_sigmoid(np.where(truth == 1, z, -z)).mean())
        runs.append(run | {"seconds": round(time.perf_counter() - start, 1)})
    return runs


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each seed."""
    options = records.options(__doc__, RECORD, arguments)
    command = f"python -m benchmarks.praise_imdb --seeds {options.seeds}"
    record = {"command": command, "settings": SETTINGS, "runs": []}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {run["seed"] for run in record["runs"]}
    corpus = imdb.load()
    for seed in sorted(set(range(1, options.seeds + 1)) - done):
        record["runs"] += film_runs(corpus, SETTINGS, seed)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
