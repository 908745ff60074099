"""Counts, a small network and a cache, fused, on Tiny Shakespeare; every part timed.

    TEXTGEN_DATA=DIR python -m benchmarks.shakespeare_fused [--seeds 3] [--out FILE]

The first part of the training text is held out: neither counts nor network are made from it, and
everything that is chosen (weights of the mixture, settings of the cache) is chosen on it. (Not the
last part, which is of the play with which the validation text goes on.) Then the counts are made
again from the whole training text. The validation text is scored once for each
line of the record: with the whole left text, and by nanoGPT's convention, as the mean over all
positions of random windows. Finished seeds stay in the file.

Source of the split and of the conventions: A. Karpathy, nanoGPT, 2022.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import evaluation, runtime, training
from textgen_utils.corpora import shakespeare
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.cache import Cached
from textgen_utils.models.distributions import distributions
from textgen_utils.models.mixture import LogLinear
from textgen_utils.models.mixture_fit import log_linear_weights
from textgen_utils.models.ngram import NGram
from textgen_utils.models.sliding import Sliding
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Characters

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/shakespeare_fused.json"
SETTINGS = {
    "held_out": 50_000,
    "order": 7,
    "width": 128,
    "heads": 4,
    "depth": 4,
    "dropout": 0.15,
    "max_context": 128,
    "context": 96,
    "batch_size": 12,
    "steps": 4000,
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "tuned_on": 20_000,
    "cache": {"shortest": [3, 4, 5], "strength": [4, 8, 16], "discount": [0.8, 0.9]},
    "windows": 128,
    "window": 256,
}
PUBLISHED = {"nanoGPT, CPU": 1.88, "nanoGPT, A100": 1.4697}


class Said:
    """What a model predicted along one text, so that a cache is tried without asking again."""

    max_context = None

    def __init__(self, model: LanguageModel, ids: np.ndarray) -> None:
        self.vocab_size, self.boundary = model.vocab_size, model.boundary
        self.log_probs = distributions(model, ids[None])

    def initial_state(self, batch_size: int) -> None:
        """Return nothing: this model only knows its one text."""

    def distributions(self, ids: np.ndarray) -> np.ndarray:
        """Return what was predicted, (1, time, vocab), for the first tokens of the text."""
        return self.log_probs[:, : ids.shape[1]]


def network(train_ids: np.ndarray, tokenizer: Characters, settings: dict, seed: int) -> Sliding:
    """Train a GPT with Muon, and let its window slide."""
    held = settings["held_out"]
    names = ("max_context", "width", "heads", "depth", "dropout")
    model = GPT(
        tokenizer.vocab_size,
        boundary=tokenizer.boundary,
        seed=seed,
        **{name: settings[name] for name in names},
    )
    schedule = training.warmup_cosine(settings["learning_rate"], settings["steps"], final=0.02)
    training.train(
        model,
        train_ids[held:],
        train_ids[: settings["tuned_on"]],
        steps=settings["steps"],
        window=settings["max_context"],
        batch_size=settings["batch_size"],
        optimizer=training.muon(schedule, weight_decay=settings["weight_decay"]),
        eval_every=max(1, settings["steps"] // 4),
        seed=seed,
        jit_compile=True,
    )
    return Sliding(model, context=settings["context"])


def best_cache(model: LanguageModel, ids: np.ndarray, grid: dict[str, list]) -> dict[str, Any]:
    """Choose a cache's settings for a model on held-out text, one after the other."""
    said, chosen = Said(model, ids), {name: values[0] for name, values in grid.items()}
    for name, values in grid.items():
        tried = [Cached(said, **{**chosen, name: value}) for value in values]
        losses = [-cached.score(ids[None]).mean() for cached in tried]
        chosen[name] = values[int(np.argmin(losses))]
    return chosen


def run(settings: dict[str, Any], seed: int, corpus: Any = None) -> dict[str, Any]:
    """Make, fuse and measure; nats per character and seconds of every part."""
    runtime.setup(seed=seed)
    corpus = shakespeare.load() if corpus is None else corpus
    tokenizer = Characters.fit(corpus.train)
    train_ids, valid_ids = tokenizer.encode(corpus.train), tokenizer.encode(corpus.valid)
    held = train_ids[: settings["held_out"]]
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        seconds[name] = round(time.perf_counter() - started, 1)
        return result

    def counted(ids: np.ndarray) -> NGram:
        return NGram(settings["order"], tokenizer.vocab_size, tokenizer.boundary).fit(ids)

    gpt = timed("network", lambda: network(train_ids, tokenizer, settings, seed))
    part = timed("counts", lambda: counted(train_ids[settings["held_out"] :]))
    cache = timed(
        "cache", lambda: best_cache(part, held[: settings["tuned_on"]], settings["cache"])
    )
    two = timed("weights of two", lambda: fitted([gpt, part], held))
    three = timed("weights of three", lambda: fitted([gpt, Cached(part, **cache)], held))
    counts = timed("counts again", lambda: counted(train_ids))
    recent = Cached(counts, **cache)
    models = {
        "counts": counts,
        # how much it matters that training and validation text share a play
        "counts without the end": counted(train_ids[: -settings["held_out"]]),
        "network": gpt,
        "counts and network": LogLinear([gpt, counts], two),
        "counts and cache": recent,
        "counts, network and cache": LogLinear([gpt, recent], three),
    }
    return {
        "seed": seed,
        "parameters": gpt.model.count_params(),
        "weights": {"two": two.round(4).tolist(), "three": three.round(4).tolist()},
        "cache": cache,
        "seconds": seconds,
        "seconds of all parts": round(sum(seconds.values()), 1),
        "losses": {name: measured(model, valid_ids, settings) for name, model in models.items()},
    }


def fitted(models: list[LanguageModel], ids: np.ndarray) -> np.ndarray:
    """Fit the weights of a log-linear mixture on held-out text."""
    return log_linear_weights([distributions(m, ids[None])[0] for m in models], ids)


def measured(model: LanguageModel, ids: np.ndarray, settings: dict[str, Any]) -> dict[str, float]:
    """Score a text by both conventions, nats per character, with the seconds of the first."""
    started = time.perf_counter()
    full = evaluation.evaluate(model, ids).nats_per_token
    seconds = time.perf_counter() - started
    n, window = settings["windows"], settings["window"]
    windows = evaluation.random_window_loss(model, ids, window, n, seed=0)
    return {
        "full": full,
        "windows": windows.nats_per_token,
        "windows_error": windows.standard_error,
        "seconds_full": round(seconds, 1),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the seeds that are missing, and write the record after each."""
    options = records.options(__doc__, RECORD, arguments)
    runs = records.finished(options.out, SETTINGS)
    for seed in range(1, options.seeds + 1):
        if seed in {r["seed"] for r in runs}:
            continue
        runs.append(run(SETTINGS, seed))
        command = f"python -m benchmarks.shakespeare_fused --seeds {options.seeds}"
        record = {"command": command, "settings": SETTINGS, "published": PUBLISHED, "runs": runs}
        records.save(options.out, record)
        losses = runs[-1]["losses"]["counts, network and cache"]
        print(f"seed {seed}: {losses['full']:.4f} nats per character")


if __name__ == "__main__":
    main()
