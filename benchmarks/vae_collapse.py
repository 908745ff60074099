"""Variational autoencoders that collapse and that do not: reviews and Chinese idioms, recorded.

    python -m benchmarks.vae_collapse [--seeds 3] [--out FILE]

For each task, way of training and seed: the bounds, the KL, the mutual information of text and
point, the active units; for reviews also the distance from the known language, for idioms the share
of what is written that is in the list. Language models with an LSTM, of the same size and of the
decoder's width, stand beside them. Finished runs stay in the file, so that a run that was stopped
goes on.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora import chinese
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.evaluation.latent import active_units, mutual_information
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.vae import VAE
from textgen_utils.tokenizers import Characters, Words
from textgen_utils.training.vae import train_vae

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/vae_collapse.json"
SETTINGS = {
    "evaluations": 4,
    "learning_rate": 0.02,
    "texts": 1000,
    "draws": 50,
    "informed": 4000,
    "latent": 16,
    "width": 88,
    "tasks": {
        "reviews": {"steps": 600, "batch_size": 64, "window": 40, "lstm": 128},
        "idioms": {"steps": 200, "batch_size": 256, "window": 5, "lstm": 100},
    },
    "ways": {
        "plain": {},
        "annealing": {"annealing": 300},
        "free bits": {"free_bits": 0.25},
        "word dropout": {"word_dropout": 0.4},
        "all three": {"annealing": 300, "free_bits": 0.25, "word_dropout": 0.4},
    },
}
LSTM, NARROW = "LSTM", "LSTM, decoder's width"
RUNS = {
    "reviews": (*SETTINGS["ways"], LSTM, NARROW),
    "idioms": ("plain", "free bits", LSTM),
}


@dataclass(frozen=True)
class Task:
    """Ids of texts, and what is known of the language.

    Attributes:
        train, valid, test: ints, (time,), each text ended by the boundary.
        length: the most tokens that are written.
        truth: the language itself, or None.
        listed: texts as tuples of ids, ends included, or none.
    """

    name: str
    vocab_size: int
    boundary: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    length: int
    truth: LanguageModel | None
    listed: frozenset


def reviews_task() -> Task:
    """English reviews in words."""
    reviews = Reviews()
    truth = reviews.oracle("en", "words")
    words = Words(truth.tokens)
    sizes = zip((20_000, 300, SETTINGS["texts"]), (1, 2, 3), strict=True)
    parts = [words.encode(reviews.text(n, seed=seed, language="en")) for n, seed in sizes]
    return Task("reviews", truth.vocab_size, truth.boundary, *parts, 48, truth, frozenset())


def idioms_task() -> Task:
    """Chinese idioms of four characters, in characters; see `corpora.chinese` for the split."""
    corpus = chinese.load(idioms_only=True)
    characters = Characters.fit(corpus.train)
    listed = "".join((corpus.train, corpus.valid, corpus.test)).splitlines(keepends=True)
    kept = frozenset(line for line in listed if set(line) <= set(characters.tokens))
    ids = frozenset(tuple(characters.encode(line).tolist()) for line in kept)
    test = corpus.test.splitlines(keepends=True)[: SETTINGS["texts"]]
    valid = corpus.valid.splitlines(keepends=True)[:300]
    parts = [characters.encode(part) for part in (corpus.train, "".join(valid), "".join(test))]
    return Task("idioms", characters.vocab_size, characters.boundary, *parts, 8, None, ids)


TASKS = {"reviews": reviews_task, "idioms": idioms_task}


def budget(task: Task, seed: int) -> dict[str, Any]:
    """Return the training arguments that all runs of a task share."""
    settings = SETTINGS["tasks"][task.name]
    steps = settings["steps"]
    return {
        "steps": steps,
        "batch_size": settings["batch_size"],
        "eval_every": steps // SETTINGS["evaluations"],
        "optimizer": training.muon(
            training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
        ),
        "seed": seed,
    }


def run_vae(task: Task, way: str, seed: int) -> dict[str, Any]:
    """Train and test one autoencoder."""
    sizes = {"latent": SETTINGS["latent"], "width": SETTINGS["width"]}
    options = SETTINGS["ways"][way]
    model = VAE(task.vocab_size, boundary=task.boundary, seed=seed, **sizes, **options)
    train_vae(model, task.train, task.valid, **budget(task, seed))
    test, _ = lines(task.test, task.boundary)
    bound = model.bound(test, samples=SETTINGS["draws"], seed=seed)
    known, _ = lines(task.train, task.boundary)
    points = model.encode(known[: SETTINGS["informed"]])
    at = model.condition(model.prior(SETTINGS["texts"], seed=seed))
    return {
        "parameters": model.count_params(),
        "elbo": float(bound.elbo.mean()),
        "weighted": float(bound.weighted.mean()),
        "kl": float(bound.kl.mean()),
        "information": mutual_information(*points, seed=seed),
        "active": active_units(points[0]),
        **compared(task, at, bound.weighted, seed),
    }


def run_lstm(task: Task, way: str, seed: int) -> dict[str, Any]:
    """Train and test a language model."""
    settings = SETTINGS["tasks"][task.name]
    width = SETTINGS["width"] if way == NARROW else settings["lstm"]
    model = LSTMLanguageModel(task.vocab_size, width=width, boundary=task.boundary, seed=seed)
    shared = budget(task, seed) | {"window": settings["window"], "lines": True}
    training.train(model, task.train, task.valid, **shared)
    log_q = evaluation.text_log_probs(model, lines(task.test, task.boundary)[0])
    found = {"parameters": model.count_params(), "weighted": float(log_q.mean())}
    return found | compared(task, model, log_q, seed)


def compared(task: Task, model: LanguageModel, log_q: np.ndarray, seed: int) -> dict[str, Any]:
    """What the model writes, and its distance from the truth where that is known."""
    n, stop = SETTINGS["texts"], task.boundary
    written = decoding.generate(model, [], task.length, batch_size=n, stop=stop, seed=seed)
    if task.truth is None:
        ends = [row.tolist().index(stop) + 1 if stop in row else None for row in written]
        texts = [tuple(row[:end].tolist()) for row, end in zip(written, ends, strict=True)]
        return {"listed": float(np.mean([text in task.listed for text in texts]))}
    log_p = evaluation.text_log_probs(task.truth, lines(task.test, stop)[0])
    result = evaluation.distance(log_p, log_q, evaluation.text_log_probs(task.truth, written))
    return {name: getattr(result, name) for name in ("excess", "coverage", "validity")}


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    command = f"python -m benchmarks.vae_collapse --seeds {options.seeds}"
    record = {"command": command, "settings": SETTINGS, "runs": []}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(r["task"], r["way"], r["seed"]) for r in record["runs"]}
    tasks = {name: make() for name, make in TASKS.items()}
    for name, seed in itertools.product(TASKS, range(1, options.seeds + 1)):
        for way in RUNS[name]:
            if (name, way, seed) in done:
                continue
            runtime.setup(seed=seed)
            run = run_vae if way in SETTINGS["ways"] else run_lstm
            found = run(tasks[name], way, seed)
            record["runs"].append({"task": name, "way": way, "seed": seed, **found})
            print(record["runs"][-1], flush=True)
            records.save(options.out, record)


if __name__ == "__main__":
    main()
