"""Seconds of training to a validation loss on Tiny Shakespeare, nanoGPT's run beside ours.

    TEXTGEN_DATA=DIR python -m benchmarks.seconds_to_loss [--rounds 3] [--threads 2] [--out FILE]

All learn from the first 90 % of the text and are judged alike, by nanoGPT's convention: the mean
over all positions of random windows of 64 characters of the rest, the same 1,000 windows for all
(standard error below 0.01). Each run has a process of its own, so nothing is compiled before it
begins; its clock starts when its library is imported, and stands still during evaluations. They
come at 2 seconds on the clock, then at 1.3 times as many, and so on, and at the end of the run's
schedule. Between two evaluations the loss is taken to fall in a straight line. A run that does not
reach a loss took longer than all its seconds, which stand in for it.

Counts learn, too: in one step.

Source of the evaluation, the setting and the published figure: A. Karpathy, nanoGPT, 2022.
"""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.clocked import Run, learn, seconds_to
from benchmarks.turns import THREADS, command, peak_memory, quartiles, threads_of_children
from textgen_utils.corpora import shakespeare
from textgen_utils.corpora.types import Corpus
from textgen_utils.runtime import progress
from textgen_utils.tokenizers import Characters

# On the way; where a run of nanoGPT ends by this evaluation, or nearly; and what it publishes, of
# 240 windows (standard error 0.02).
LOSSES = (2.0, 1.92, 1.88)
WINDOW, WINDOWS = 64, 1000
RECIPE = {"context": 64, "width": 128, "heads": 4, "depth": 1, "past": 4}
RECIPE |= {"batch": 24, "steps": 300, "rate": 1e-2, "warmup": 20}
ORDER = 6
OURS = "GPT, last characters told, Muon"


def quick(ids: np.ndarray, vocab_size: int, seed: int, recipe: dict) -> Callable[[], Run]:
    """Return what begins a run of ours, its libraries imported."""
    from textgen_utils import runtime

    runtime.setup(seed=seed)
    from benchmarks.quick_gpt import QuickRun

    return functools.partial(QuickRun, ids, vocab_size, seed=seed, settings=recipe)


def nanogpt(
    ids: np.ndarray, vocab_size: int, seed: int, compiled: bool = False
) -> Callable[[], Run]:
    """Return what begins a run of nanoGPT, PyTorch imported."""
    from benchmarks.peers.torch_nanogpt import NanoGPT

    threads = int(os.environ[THREADS[0]])
    return functools.partial(
        NanoGPT, ids, vocab_size, seed=seed, threads=threads, compiled=compiled
    )


class Counts:
    """Kneser-Ney counts as a run of a single step."""

    planned = 1

    def __init__(self, ids: np.ndarray, vocab_size: int, order: int) -> None:
        from textgen_utils.models.ngram import NGram

        self.ids = ids
        self.model = NGram(order, vocab_size, boundary=0)
        self.facts = {"version": "NumPy", "order": order}

    def steps(self) -> Iterator[None]:
        """Count; then there is nothing more to learn."""
        self.model.fit(self.ids)
        self.facts["parameters"] = sum(self.model.sizes_)
        yield

    def loss(self, windows: np.ndarray) -> float:
        """Return the mean loss of windows, ints, (n, time + 1), nats per token."""
        state, total = self.model.initial_state(len(windows)), 0.0
        for now, after in itertools.pairwise(windows.T):
            log_probs, state = self.model.step(now, state)
            total -= log_probs[np.arange(len(after)), after].sum()
        return float(total / windows[:, 1:].size)


def counts(ids: np.ndarray, vocab_size: int, seed: int, order: int) -> Callable[[], Run]:
    """Return what begins to count. Nothing is drawn: the seed is not used."""
    return functools.partial(Counts, ids, vocab_size, order)


# By name: what makes a run, how many at most, and the first one's seed. nanoGPT's own command for a
# CPU compiles nothing; a run of it compiled would take a minute and a half more.
MAKERS = {
    OURS: (functools.partial(quick, recipe=RECIPE), 3, 1),
    "nanoGPT, PyTorch": (nanogpt, 1, 1),
    "Kneser-Ney counts": (functools.partial(counts, order=ORDER), 3, 1),
}


def windows(ids: np.ndarray, n: int = WINDOWS, seed: int = 0) -> np.ndarray:
    """Draw windows of a text: those of `evaluation.random_window_loss`, ints, (n, WINDOW + 1)."""
    start = np.random.default_rng(seed).integers(len(ids) - WINDOW, size=n)
    return np.asarray(ids)[start[:, None] + np.arange(WINDOW + 1)]


def alone(make: Callable, ids: np.ndarray, vocab_size: int, seed: int, rows: np.ndarray) -> dict:
    """Do one run in this process, and tell also its seconds of importing and its memory, MiB."""
    start = time.perf_counter()
    begin = make(ids, vocab_size, seed)
    imported = time.perf_counter() - start
    return {**learn(begin, rows), "import": imported, "memory": peak_memory()}


def row(name: str, loss: float, runs: list[dict], reference: list[dict]) -> dict[str, Any]:
    """Return how long one's runs took to a loss; at least so long, where not all "reached" it."""
    reached = [seconds_to(run["curve"], loss) for run in runs]
    taken = [
        run["curve"]["seconds"][-1] if s is None else s
        for run, s in zip(runs, reached, strict=True)
    ]
    ours = [seconds_to(run["curve"], loss) for run in reference]
    ratios = [t / s for t, s in zip(taken, ours, strict=False) if s is not None]
    return {
        "task": {"loss": loss},
        "name": name,
        "seconds": quartiles(taken),
        "first": taken[0],
        "ratio": quartiles(ratios) if ratios else None,
        "rounds": len(runs),
        "reached": sum(s is not None for s in reached),
        "memory": max(run["memory"] for run in runs),
        "import": float(np.median([run["import"] for run in runs])),
    }


def measure(*, threads: int = 2, rounds: int = 3) -> dict[str, Any]:
    """Let the runs take turns, each in a process of its own, and return them and their seconds.

    Args:
        threads: of each run.
        rounds: runs of each; fewer of the longest.
    """
    start = time.perf_counter()
    settings = {"threads": threads, "rounds": rounds, "window": WINDOW, "windows": WINDOWS}
    part = {"settings": settings, "reference": OURS, "facts": {}, "missing": {}, "results": []}
    try:
        corpus = shakespeare.load()
    except OSError as error:
        part["missing"] = dict.fromkeys(MAKERS, f"Tiny Shakespeare is not there: {error}")
        return {**part, "curves": [], "seconds": time.perf_counter() - start}
    runs, part["missing"] = take_turns(corpus, rounds, threads)
    return {**part, **summary(runs), "seconds": time.perf_counter() - start}


def take_turns(corpus: Corpus, rounds: int, threads: int) -> tuple[dict[str, list], dict[str, str]]:
    """Return the runs by name, and why some are missing."""
    tokenizer = Characters.fit(corpus.train)
    ids, valid = (tokenizer.encode(text) for text in (corpus.train, corpus.valid))
    runs: dict[str, list[dict]] = {name: [] for name in MAKERS}
    missing: dict[str, str] = {}
    turns = [(n, name) for n in range(rounds) for name in MAKERS if n < MAKERS[name][1]]
    for n, name in progress(turns, "runs"):
        if name in missing:
            continue
        maker, _, seed = MAKERS[name]
        task = (maker, ids, tokenizer.vocab_size, seed + n, windows(valid))
        try:
            runs[name].append(in_a_process(alone, *task, threads=threads))
        except ImportError as error:
            missing[name] = f"{type(error).__name__}: {error}"
    return runs, missing


def summary(runs: dict[str, list[dict]]) -> dict[str, Any]:
    """Return facts, results and curves of the runs."""
    runs = {name: those for name, those in runs.items() if those}
    facts = {}
    for name, those in runs.items():
        ends = [run["curve"]["loss"][-1] for run in those]
        steps = [run["curve"]["steps"][-1] for run in those]
        facts[name] = {**those[0]["facts"], "steps": steps, "last_loss": ends}
    results = [
        row(name, loss, those, runs[OURS]) for loss in LOSSES for name, those in runs.items()
    ]
    curves = [
        {"name": name, "seed": seed, **run["curve"]}
        for name, those in runs.items()
        for seed, run in enumerate(those, MAKERS[name][2])
    ]
    return {"facts": facts, "results": results, "curves": curves}


def in_a_process(function: Callable, *arguments: Any, threads: int) -> Any:
    """Call a function in a new process with so many threads, and end the process."""
    with (
        threads_of_children(threads),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    command(__doc__, measure)
