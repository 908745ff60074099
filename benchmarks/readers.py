"""Convolution, recurrence and attention as language models of one size, recorded.

    python -m benchmarks.readers [--seeds 3] [--out FILE]

Three parts: the three networks on the reviews in words; convolutions whose receptive field is cut
short, beside n-grams of the same reach and what the grammar says is lost; the three networks on
the characters of the Keras manual. At the end the time of a step of training and of writing, the
networks in turn, the least of several rounds, because other work on the machine can only add to
it. Finished runs stay in the file, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks import records
from textgen_utils import batches, decoding, evaluation, runtime, training
from textgen_utils.corpora import keras_manual
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.corpora.reviews.reach import best_of_reach
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.convolutional import ConvLanguageModel
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Characters, Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/readers.json"
SETTINGS = {
    "learning_rate": 0.02,
    "reviews": {"texts": 20_000, "test": 1000, "steps": 300, "window": 40, "batch_size": 64},
    "manual": {"characters": 30_000, "steps": 300, "window": 64, "batch_size": 32, "context": 32},
    "conv": {"width": 56, "kernel_size": 2},
    "lstm": {"width": 120},
    "gpt": {"width": 64, "depth": 2},
    # Dilations, and the width with which the parameters are as many as with six blocks.
    "cut": [[[1, 2, 4], 76], [[1, 2, 4, 8], 67]],
    "same": [[[1] * 6, 56]],
    "grams": [1, 2, 4, 8, 16],
}
WHOLE = [1, 2, 4, 8, 16, 32]
KINDS = ("conv", "lstm", "gpt")
PARTS = ("opening", "clauses", "product again", "rest of the verdict")


class Task:
    """The reviews in words, and the manual in characters."""

    def __init__(self) -> None:
        settings, reviews = SETTINGS["reviews"], Reviews()
        self.automaton = reviews.automaton("en", "words")
        self.truth = reviews.oracle("en", "words")
        words = Words(self.truth.tokens)
        self.train, self.valid, test = (
            words.encode(reviews.text(n, seed=seed, language="en"))
            for seed, n in enumerate((settings["texts"], 300, settings["test"]), 1)
        )
        self.rows, self.mask = batches.lines(test, words.boundary)
        self.log_p = np.where(self.mask, self.truth.score(self.rows), 0)

    @cached_property
    def manual(self) -> tuple[Characters, list[np.ndarray]]:
        """The characters, and the ids of the three parts."""
        corpus, n = keras_manual.load(), SETTINGS["manual"]["characters"]
        characters = Characters.fit(corpus.train, unknown="\ufffd")
        return characters, [
            characters.encode(part) for part in (corpus.train, corpus.valid[:n], corpus.test[:n])
        ]


def make_model(
    kind: str, size: int, boundary: int, context: int, seed: int, **changed: Any
) -> keras.Model:
    """Return an untrained network with the settings of its kind, some of them `changed`."""
    options = SETTINGS[kind] | {"boundary": boundary, "seed": seed} | changed
    if kind == "gpt":
        return GPT(size, max_context=context, **options)
    return {"conv": ConvLanguageModel, "lstm": LSTMLanguageModel}[kind](size, **options)


def trained(model: keras.Model, task: str, train: Any, valid: Any, seed: int) -> keras.Model:
    """Train a network with the settings of its task."""
    settings = SETTINGS[task]
    steps = settings["steps"]
    training.train(
        model,
        train,
        valid,
        steps=steps,
        window=settings["window"],
        batch_size=settings["batch_size"],
        eval_every=steps // 4,
        seed=seed,
        lines=task == "reviews",
        optimizer=training.muon(
            training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
        ),
    )
    return model


def parts(task: Task) -> np.ndarray:
    """Return which of `PARTS` each token of the test reviews belongs to, -1 after the end.

    The third is what names the product in the verdict: "this camera", "these", "it", "them".
    """
    tokens = np.array(task.truth.tokens)[task.rows]
    sentence = np.cumsum(tokens == ".", axis=1) - (tokens == ".")
    names = np.isin(tokens, [" this", " these", " it", " them"])
    names[:, 1:] |= np.isin(tokens[:, :-1], [" this", " these"])
    names[:, 2:] |= tokens[:, 1:-1] == " running"
    part = np.where(sentence < 2, sentence, np.where(names, 2, 3))
    return np.where(task.mask, part, -1)


def by_part(task: Task, log_q: np.ndarray) -> list[float]:
    """Return the excess over the truth in each of `PARTS`, nats a review."""
    part, excess = parts(task), np.where(task.mask, task.log_p - log_q, 0)
    return [float(excess[part == i].sum() / len(excess)) for i in range(len(PARTS))]


def reaches(task: Task) -> list[dict[str, Any]]:
    """The best that each reach allows, and the n-gram of that reach: excess by part."""
    result = []
    for r in SETTINGS["grams"]:
        best = best_of_reach(task.automaton, task.rows, r)
        gram = NGram(r + 1, task.truth.vocab_size, task.truth.boundary, independent_lines=True)
        log_q = gram.fit(task.train).score(task.rows)
        result.append({"reach": r, "best": by_part(task, best), "ngram": by_part(task, log_q)})
    return result


def run_reviews(task: Task, kind: str, seed: int, **changed: Any) -> dict[str, Any]:
    """Train one network on the reviews and hold it against the grammar."""
    runtime.setup(seed=seed)
    truth = task.truth
    model = make_model(kind, truth.vocab_size, truth.boundary, 48, seed, **changed)
    trained(model, "reviews", task.train, task.valid, seed)
    written = decoding.generate(
        model, [], 48, batch_size=len(task.rows), stop=truth.boundary, seed=5
    )
    distance = evaluation.distance_between(truth, model, task.rows, written)
    return {
        "parameters": model.count_params(),
        "excess": distance.excess,
        "coverage": distance.coverage,
        "validity": distance.validity,
        "by_part": by_part(task, model.score(task.rows)),
    }


def run_manual(task: Task, kind: str, seed: int) -> dict[str, Any]:
    """Train one network, or count 6-grams, on the manual."""
    runtime.setup(seed=seed)
    characters, (train, valid, test) = task.manual
    settings, size = SETTINGS["manual"], characters.vocab_size
    if kind == "6-gram":
        model: LanguageModel = NGram(6, size, characters.boundary).fit(train)
        parameters = sum(model.sizes_)
    else:
        model = make_model(kind, size, characters.boundary, settings["window"], seed)
        parameters = model.count_params()
        trained(model, "manual", train, valid[:8192], seed)
    report = evaluation.evaluate(model, test, context=settings["context"])
    return {"parameters": parameters, "nats": report.nats_per_token}


def milliseconds(task: Task, rounds: int = 25) -> dict[str, dict[str, float]]:
    """The least time of a step of training and of a step that writes, for each network."""
    truth, settings = task.truth, SETTINGS["reviews"]
    read = task.rows[: settings["batch_size"], : settings["window"]]
    models = {k: make_model(k, truth.vocab_size, truth.boundary, 48, 0) for k in KINDS}
    least = {k: {"train": np.inf, "write": np.inf} for k in KINDS}
    for model in models.values():
        model.compile(training.muon(1e-3), training.token_loss(), jit_compile=False)
        model.train_on_batch(read, read)  # compiles
        decoding.generate(model, [], 2, batch_size=settings["batch_size"], seed=1)
    for _ in range(rounds):
        for kind, model in models.items():
            began = time.perf_counter()
            model.train_on_batch(read, read)
            middle = time.perf_counter()
            decoding.generate(model, [], 40, batch_size=settings["batch_size"], seed=1)
            ended = time.perf_counter()
            took = {"train": 1000 * (middle - began), "write": 1000 * (ended - middle) / 40}
            least[kind] = {name: min(least[kind][name], ms) for name, ms in took.items()}
    return least


def plan(seeds: int) -> list[dict[str, Any]]:
    """What is run: part, kind, dilations and width of a convolution, seed."""
    keys, numbers, rows = ("part", "kind", "dilations", "width", "seed"), range(1, seeds + 1), []
    rows += [("reviews", kind, None, None, seed) for kind in KINDS for seed in numbers]
    for part in ("cut", "same"):
        rows += [(part, "conv", d, w, seed) for d, w in SETTINGS[part] for seed in numbers]
    rows += [("manual", kind, None, None, seed) for kind in KINDS for seed in numbers]
    rows.append(("manual", "6-gram", None, None, 1))
    return [dict(zip(keys, row, strict=True)) for row in rows]


def run(task: Task, what: dict[str, Any]) -> dict[str, Any]:
    """Run one line of the plan."""
    if what["part"] == "manual":
        return run_manual(task, what["kind"], what["seed"])
    if what["kind"] != "conv":
        return run_reviews(task, what["kind"], what["seed"])
    width = what["width"] or SETTINGS["conv"]["width"]
    dilations = tuple(what["dilations"] or WHOLE)
    return run_reviews(task, "conv", what["seed"], dilations=dilations, width=width)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    record = {
        "command": f"python -m benchmarks.readers --seeds {options.seeds}",
        "settings": SETTINGS,
        "parts": list(PARTS),
        "reaches": [],
        "ms": {},
        "runs": [],
    }
    if options.out.exists():
        old = json.loads(options.out.read_text())
        if old["settings"] == SETTINGS:
            record |= {key: old[key] for key in ("reaches", "ms", "runs")}
    task = Task()

    record["reaches"] = record["reaches"] or reaches(task)
    for what in plan(options.seeds):
        if any(what.items() <= done.items() for done in record["runs"]):
            continue
        record["runs"].append(what | run(task, what))
        print(record["runs"][-1], flush=True)
        records.save(options.out, record)
    record["ms"] = record["ms"] or milliseconds(task)
    records.save(options.out, record)


if __name__ == "__main__":
    main()
