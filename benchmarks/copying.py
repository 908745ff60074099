"""How much of a text four kinds of language model carry across a mark: copying, recorded.

    python -m benchmarks.copying [--seeds 3] [--out FILE]

The copying language: m letters, a mark, the same letters. Everything about it is known, so the loss
of the second half says how many nats of the first half got through. Finished runs stay in the file,
so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import runtime, training
from textgen_utils.models.base import LanguageModel, to_numpy
from textgen_utils.models.hmm import HMM
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/copying.json"
SETTINGS: dict[str, Any] = {
    "letters": 8,
    "longest": 12,
    "lines": 20_000,
    "tested": 18,
    "test_lines": 300,
    "order": 6,
    "states": 64,
    "hmm_lines": 2_000,
    "hmm_steps": 40,
    "gpt": {"width": 64, "depth": 2, "max_context": 52},
    "steps": 400,
    "batch_size": 64,
    "learning_rate": 0.02,
}
NAMES = ("n-gram", "hidden Markov", "LSTM 32", "LSTM 128", "Transformer")


def copy_text(n: int, seed: int) -> np.ndarray:
    """Lines of the copying language: m letters, the mark, the same letters, the boundary.

    m is uniform from 1 to the longest. The boundary is 0, letters are 1 to K, the mark is K + 1.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, SETTINGS["longest"] + 1, size=n)
    return np.concatenate([np.append(copy_rows(1, m, rng)[0], 0) for m in lengths])


def copy_rows(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """Return n lines with m letters each, without their boundary, (n, 2 m + 1)."""
    letters = SETTINGS["letters"]
    w = rng.integers(1, letters + 1, size=(n, m))
    return np.concatenate([w, np.full((n, 1), letters + 1), w], axis=1)


def copied(model: LanguageModel) -> dict[str, Any]:
    """Loss of the copy, nats, and mean probability of its letters, for each number of letters."""
    nats, probability = [], []
    for m in range(1, SETTINGS["tested"] + 1):
        rows = copy_rows(SETTINGS["test_lines"], m, np.random.default_rng(m))
        log_q = to_numpy(model.score(rows))[:, m + 1 :]
        nats.append(float(-log_q.sum(axis=1).mean()))
        probability.append(float(np.exp(log_q).mean()))
    return {"nats": nats, "probability": probability}


def copier(name: str, seed: int) -> LanguageModel:
    """Return a model of the copying language, trained: one of `NAMES`."""
    ids, size = copy_text(SETTINGS["lines"], seed=seed), SETTINGS["letters"] + 2
    if name == "n-gram":
        return NGram(SETTINGS["order"], size, 0, independent_lines=True).fit(ids)
    if name == "hidden Markov":
        few = copy_text(SETTINGS["hmm_lines"], seed=seed)
        model = HMM(SETTINGS["states"], size, 0, alpha=0.01)
        return model.fit(few, seed=seed, steps=SETTINGS["hmm_steps"])
    window = 2 * SETTINGS["longest"] + 2
    if name == "Transformer":
        model = GPT(size, **SETTINGS["gpt"], boundary=0, seed=seed)
    else:
        width = int(name.split()[1])
        model = LSTMLanguageModel(size, width=width, boundary=0, memory=window, seed=seed)
    train(model, ids, window, seed)
    return model


def train(model: Any, ids: np.ndarray, window: int, seed: int) -> None:
    """Train a network on lines of the language, each window from the start of one."""
    steps = SETTINGS["steps"]
    training.train(
        model,
        ids,
        copy_text(200, seed=1_000 + seed),
        steps=steps,
        window=window,
        batch_size=SETTINGS["batch_size"],
        eval_every=steps // 2,
        seed=seed,
        lines=True,
        optimizer=training.muon(
            training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
        ),
    )


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    record = {
        "command": f"python -m benchmarks.copying --seeds {options.seeds}",
        "settings": SETTINGS,
        "runs": records.finished(options.out, SETTINGS),
    }
    done = {(run["name"], run["seed"]) for run in record["runs"]}
    for seed, name in itertools.product(range(1, options.seeds + 1), NAMES):
        if (name, seed) in done:
            continue
        runtime.setup(seed=seed)
        cpu = time.process_time()
        model = copier(name, seed)
        cpu = time.process_time() - cpu
        record["runs"].append({"name": name, "seed": seed, "cpu_seconds": cpu, **copied(model)})
        print(name, seed, round(cpu, 1), np.round(record["runs"][-1]["nats"], 2), flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
