"""Repetition and self-BLEU of continuations of the Keras manual, over seeds, recorded.

    python -m benchmarks.decoding_repetition [--seeds 3] [--out FILE]

Pieces of the manual's test part are cut in two: what stands first is a prompt, what follows is the
human text. A 6-gram model and an LSTM continue the prompts with every setting of greedy search,
temperature, top-k and nucleus. The seed trains the LSTM and draws the samples; the 6-gram model
needs none. Finished runs stay in the file, so that a run that was stopped goes on.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.corpora import keras_manual
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import BytePair

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/decoding_repetition.json"
SETTINGS = {
    "vocabulary": 1000,
    "texts": 64,
    "prompt": 32,
    "continuation": 96,
    "order": 6,
    "width": 128,
    "steps": 600,
    "models": ["6-gram", "LSTM"],
    "families": {
        "greedy": [True],
        "temperature": [0.3, 0.5, 0.7, 0.85, 1.0, 1.2],
        "top_k": [2, 5, 20, 100],
        "nucleus": [0.3, 0.5, 0.7, 0.8, 0.9, 0.95],
    },
}


class Task:
    """The Keras manual in byte pairs, and its test part cut into prompts and what follows."""

    def __init__(self) -> None:
        corpus = keras_manual.load()
        self.tokens = BytePair.fit(corpus.train, SETTINGS["vocabulary"])
        parts = (corpus.train, corpus.valid, corpus.test)
        self.train, self.valid, test = (self.tokens.encode(part) for part in parts)
        self.characters = len(corpus.valid)
        texts, first = SETTINGS["texts"], SETTINGS["prompt"]
        pieces = test[: texts * (len(test) // texts)].reshape(texts, -1)
        self.prompts = pieces[:, :first]
        self.human = pieces[:, first : first + SETTINGS["continuation"]]


def trained(task: Task, name: str, seed: int) -> LanguageModel:
    """Return a fitted model."""
    runtime.setup(seed=seed)
    size, boundary = task.tokens.vocab_size, task.tokens.boundary
    if name == "6-gram":
        return NGram(SETTINGS["order"], size, boundary).fit(task.train)
    model = LSTMLanguageModel(size, width=SETTINGS["width"], boundary=boundary, seed=seed)
    steps = SETTINGS["steps"]
    training.train(
        model,
        task.train,
        task.valid,
        steps=steps,
        window=64,
        batch_size=32,
        eval_every=steps // 2,
        seed=seed,
        optimizer=training.muon(training.warmup_cosine(0.02, steps, final=0.05)),
    )
    return model


def measured(task: Task, ids: np.ndarray) -> dict[str, float]:
    """How varied texts are, among themselves and each in itself."""
    texts = [task.tokens.decode(row) for row in ids]
    return {
        "repetition": evaluation.repetition(ids, 2),
        "looping": evaluation.looping(ids),
        "distinct": evaluation.distinct_n(ids, 2),
        "self_bleu": evaluation.self_bleu(texts).score,
    }


def run(task: Task, name: str, seed: int) -> dict[str, Any]:
    """Continue the prompts in every way with one model."""
    model = trained(task, name, seed)
    report = evaluation.evaluate(model, task.valid, context=64, characters=task.characters)
    length, points = SETTINGS["continuation"], []
    for family, values in SETTINGS["families"].items():
        for value in values:
            ids = decoding.generate(model, task.prompts, length, seed=seed, **{family: value})
            points.append({"family": family, "value": value, **measured(task, ids)})
    return {
        "model": name,
        "seed": seed,
        "bits_per_character": report.bits_per_character,
        "points": points,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    options = records.options(__doc__, RECORD, arguments)
    command = f"python -m benchmarks.decoding_repetition --seeds {options.seeds}"
    record: dict[str, Any] = {"command": command, "settings": SETTINGS, "runs": []}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(r["model"], r["seed"]) for r in record["runs"]}
    task = Task()
    record["human"] = measured(task, task.human)
    for seed, name in itertools.product(range(1, options.seeds + 1), SETTINGS["models"]):
        if (name, seed) in done:
            continue
        record["runs"].append(run(task, name, seed))
        print(name, seed, record["runs"][-1]["bits_per_character"], flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
