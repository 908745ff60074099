"""The statistical predecessors on the reviews in words, over three seeds, recorded.

    python -m benchmarks.predecessors [--seeds 3] [--out FILE]

N-grams of several orders and hidden Markov models of several sizes, each fitted to its own text
for each seed and held against the grammar on one test text. Baum-Welch starts at random; its first
steps see the first lines of the text only. Finished runs stay in the file, so that a run that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import decoding, evaluation
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.hmm import HMM
from textgen_utils.models.ngram import NGram
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/predecessors.json"
SETTINGS = {
    "reviews": 20_000,
    "test": 1_000,
    "written": 1_000,
    "length": 60,
    "orders": [2, 4, 6, 8, 12],
    "states": [4, 16, 64, 128, 256],
    "alpha": 0.001,
    "first_reviews": 2_000,
    "first_steps": 40,
    "steps": 8,
}
# Of the training text of seed 1, 2 ...; the test text has the seed 3.
TEXT_SEED = 100


def run(reviews: Reviews, family: str, size: int, seed: int) -> dict[str, Any]:
    """Fit one model and hold it against the grammar."""
    truth = reviews.oracle("en", "words")
    words = Words(truth.tokens)
    text = reviews.text(SETTINGS["reviews"], seed=TEXT_SEED + seed, language="en")
    began = time.perf_counter()
    model = fit(family, size, words, text, seed)
    seconds = time.perf_counter() - began
    test = words.encode(reviews.text(SETTINGS["test"], seed=3, language="en"))
    written = decoding.generate(
        model, [], SETTINGS["length"], batch_size=SETTINGS["written"], stop=0, seed=seed
    )
    distance = evaluation.distance_between(truth, model, lines(test, 0)[0], written)
    known = set(text.splitlines())
    copied = [words.decode(row).split("\n")[0] in known for row in written]
    return {
        "family": family,
        "size": size,
        "seed": seed,
        "parameters": sum(model.sizes_) if family == "n-gram" else model.count_params(),
        "seconds": round(seconds, 2),
        "copied": float(np.mean(copied)),
        **{k: None if np.isnan(v) else v for k, v in asdict(distance).items()},
    }


def fit(family: str, size: int, words: Words, text: str, seed: int) -> LanguageModel:
    """Return a model of one family, fitted to the text."""
    ids = words.encode(text)
    if family == "n-gram":
        return NGram(size, words.vocab_size, words.boundary, independent_lines=True).fit(ids)
    first = words.encode("".join(text.splitlines(keepends=True)[: SETTINGS["first_reviews"]]))
    model = HMM(size, words.vocab_size, words.boundary, alpha=SETTINGS["alpha"])
    model.fit(first, seed=seed, steps=SETTINGS["first_steps"])
    return model.improve(ids, steps=SETTINGS["steps"])


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {
        "command": f"python -m benchmarks.predecessors --seeds {options.seeds}",
        "settings": SETTINGS,
        "runs": [],
    }
    record["runs"] = records.finished(options.out, SETTINGS)
    names = ("family", "size", "seed")
    done = {tuple(r[name] for name in names) for r in record["runs"]}
    sizes = {"n-gram": SETTINGS["orders"], "HMM": SETTINGS["states"]}
    asked = [(f, s, seed) for f in sizes for s in sizes[f] for seed in range(1, options.seeds + 1)]
    reviews = Reviews()
    for key in asked:
        if key in done:
            continue
        record["runs"].append(run(reviews, *key))
        print({k: record["runs"][-1][k] for k in (*names, "excess", "validity", "seconds")})
        sys.stdout.flush()
        records.save(options.out, record)


if __name__ == "__main__":
    main()
