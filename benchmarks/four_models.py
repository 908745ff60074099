"""Four kinds of language model against the size of the training text, recorded.

    python -m benchmarks.four_models [--seeds 3] [--out FILE]

Two texts: English reviews in words, whose truth is known, and the Keras manual in characters. Each
kind is trained on the beginning of the training text, at several sizes, and has one choice made by
the validation text: the n-gram its order, the others when to stop. All are scored by one call of
`evaluation.evaluate` on the test text. Finished runs stay in the file, so that a run that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import evaluation, runtime, training
from textgen_utils.corpora import keras_manual
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.hmm import HMM
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Characters, Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/four_models.json"
SETTINGS: dict[str, Any] = {
    "sizes": [10_000, 30_000, 100_000, 300_000, 1_000_000],  # tokens; at most all there are
    "reviews": {"train": 20_000, "valid": 300, "test": 1_000},
    "valid": 20_000,  # characters of the manual
    "orders": [2, 3, 4, 5, 6, 8, 12, 20],
    "states": {"states": 32, "alpha": 0.01, "first": 9_000, "first_steps": 20, "round_steps": 2},
    "rounds": 8,  # at most, and no more than read `round_tokens`
    "round_tokens": 3_000_000,
    "lstm": {"width": 128},
    "gpt": {"width": 64, "depth": 2},
    "steps": 200,
    "evaluations": 4,
    "patience": 1,
    "batch_size": {"reviews": 64, "manual": 32},
    "window": {"reviews": 40, "manual": 64},
    "max_context": {"reviews": 48, "manual": 64},
    "learning_rate": {"reviews": 0.02, "manual": 0.015},
}


@dataclass(frozen=True)
class Text:
    """A text in ids, cut into parts, and how it is read.

    Attributes:
        name: "reviews" or "manual".
        train, valid, test: ids, each (time,).
        vocab_size, boundary: of the ids.
        read: what `evaluation.evaluate` is told of the context.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    vocab_size: int
    boundary: int
    read: dict[str, Any]

    def nats(self, model: LanguageModel, part: str = "test") -> float:
        """Return the loss, nats per token: the one call that judges all models."""
        return evaluation.evaluate(model, getattr(self, part), **self.read).nats_per_token


def make_texts() -> tuple[list[Text], LanguageModel]:
    """Return the two texts, and the truth of the first."""
    reviews = Reviews()
    truth = reviews.oracle("en", "words")
    words = Words(truth.tokens)
    sizes = enumerate(SETTINGS["reviews"].values(), 1)
    parts = [words.encode(reviews.text(n, seed=seed, language="en")) for seed, n in sizes]
    known = Text("reviews", *parts, truth.vocab_size, truth.boundary, {"lines": True})
    manual = keras_manual.load()
    letters = Characters.fit(manual.train, unknown="\ufffd")
    train, valid, test = (letters.encode(p) for p in (manual.train, manual.valid, manual.test))
    read = {"context": SETTINGS["max_context"]["manual"] // 2}
    parts = [train, valid[: SETTINGS["valid"]], test]
    return [known, Text("manual", *parts, letters.vocab_size, letters.boundary, read)], truth


def counts(text: Text, ids: np.ndarray, seed: int) -> tuple[LanguageModel, int, dict[str, Any]]:
    """Modified Kneser-Ney of the order that is best on the validation text."""
    apart = "lines" in text.read
    best, lowest = None, np.inf
    for order in SETTINGS["orders"]:
        model = NGram(order, text.vocab_size, text.boundary, independent_lines=apart).fit(ids)
        loss = text.nats(model, "valid")
        if loss < lowest:
            best, lowest = model, loss
    return best, sum(best.sizes_), {"order": best.order}


def hidden(text: Text, ids: np.ndarray, seed: int) -> tuple[LanguageModel, int, dict[str, Any]]:
    """Baum-Welch from a random start, first on a part; stopped by the validation text."""
    s = SETTINGS["states"]
    model = HMM(s["states"], text.vocab_size, text.boundary, alpha=s["alpha"])
    model.fit(ids[: s["first"]], seed=seed, steps=s["first_steps"])
    best, lowest, stopped = model.tables, text.nats(model, "valid"), 0
    rounds = min(SETTINGS["rounds"], max(1, SETTINGS["round_tokens"] // len(ids)))
    for number in range(1, rounds + 1):
        model.improve(ids, steps=s["round_steps"], tolerance=0)
        loss = text.nats(model, "valid")
        if loss > lowest:
            break
        best, lowest, stopped = model.tables, loss, number
    model = HMM.from_tables(*best, boundary=text.boundary)
    return model, model.count_params(), {"rounds": stopped}


def network(text: Text, ids: np.ndarray, seed: int, kind: str) -> tuple[Any, int, dict[str, Any]]:
    """A network by maximum likelihood; its best weights on the validation text."""
    name, steps = text.name, SETTINGS["steps"]
    settings = {"boundary": text.boundary, "seed": seed}
    if kind == "LSTM":
        memory = SETTINGS["window"][name]
        model = LSTMLanguageModel(text.vocab_size, memory=memory, **SETTINGS["lstm"], **settings)
    else:
        longest = SETTINGS["max_context"][name]
        model = GPT(text.vocab_size, max_context=longest, **SETTINGS["gpt"], **settings)
    schedule = training.warmup_cosine(SETTINGS["learning_rate"][name], steps, final=0.05)
    curve = training.train(
        model,
        ids,
        text.valid,
        steps=steps,
        window=SETTINGS["window"][name],
        batch_size=SETTINGS["batch_size"][name],
        eval_every=steps // SETTINGS["evaluations"],
        seed=seed,
        lines="lines" in text.read,
        optimizer=training.muon(schedule),
        patience=SETTINGS["patience"],
    )
    return model, model.count_params(), {"steps": curve.steps[int(np.argmin(curve.valid))]}


KINDS = {
    "n-gram": counts,
    "hidden Markov": hidden,
    "LSTM": partial(network, kind="LSTM"),
    "Transformer": partial(network, kind="Transformer"),
}
# What does not depend on the seed is run once.
FIXED = ("n-gram",)
KEYS = ("text", "kind", "size", "seed")


def fit(kind: str, text: Text, size: int, seed: int) -> dict[str, Any]:
    """Train one kind once on the first `size` tokens, and judge it."""
    runtime.setup(seed=seed)
    ids = text.train[:size]
    began, cpu = time.perf_counter(), time.process_time()
    model, parameters, choice = KINDS[kind](text, ids, seed)
    seconds = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    loss = text.nats(model)
    return {"parameters": int(parameters), "nats": loss, "choice": choice, **seconds}


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    texts, truth = make_texts()
    known = texts[0]
    record = {
        "command": f"python -m benchmarks.four_models --seeds {options.seeds}",
        "settings": SETTINGS,
        "floor": known.nats(truth),
        "tokens": {t.name: {"test": len(t.test), "vocab": t.vocab_size} for t in texts},
        "runs": records.finished(options.out, SETTINGS),
    }
    done = {tuple(run[key] for key in KEYS) for run in record["runs"]}
    seeds = range(1, options.seeds + 1)
    for seed, text, kind in itertools.product(seeds, texts, KINDS):
        for size in sizes(text):
            if (text.name, kind, size, seed) in done or (kind in FIXED and seed > 1):
                continue
            key = dict(zip(KEYS, (text.name, kind, size, seed), strict=True))
            record["runs"].append({**key, **fit(kind, text, size, seed)})
            print(record["runs"][-1], flush=True)
            records.save(options.out, record)


def sizes(text: Text) -> list[int]:
    """Return how many tokens are trained on, in turn."""
    return [min(size, len(text.train)) for size in SETTINGS["sizes"]]


if __name__ == "__main__":
    main()
