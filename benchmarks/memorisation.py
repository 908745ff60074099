"""What a small LSTM gives away of codes planted in its training text, and what protects, recorded.

    python -m benchmarks.memorisation [--seeds 3] [--out FILE]

Among English reviews, customers tell a code of four digits, in a line of its own or at the end of
a review, each from 0 to 16 times. Recorded are the exposure of every code and the distance to the
truth, for plain training, for training on the text without its repeated lines, and for training on
clipped gradients with and without noise. Finished runs stay in the file, so that a run that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from textgen_utils import evaluation, privacy, runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/memorisation.json"
SETTINGS = {
    "width": 64,
    "embedding_width": 32,
    "steps": 200,
    "batch_size": 64,
    "learning_rate": 0.02,
    "test": 300,
    "digits": 4,
    "times": [1, 2, 4, 8, 16],
    "customers": 3,
    "delta": 1e-4,
    # None: gradients are not clipped.
    "conditions": {
        "plain": {"reviews": 2_000, "deduplicated": False, "clip": None, "noise": 0.0},
        "deduplicated": {"reviews": 2_000, "deduplicated": True, "clip": None, "noise": 0.0},
        "more text": {"reviews": 8_000, "deduplicated": False, "clip": None, "noise": 0.0},
        "more text, deduplicated": {
            "reviews": 8_000,
            "deduplicated": True,
            "clip": None,
            "noise": 0.0,
        },
        "clipped": {"reviews": 2_000, "deduplicated": False, "clip": 0.5, "noise": 0.0},
        "clipped, noise 0.03": {
            "reviews": 2_000,
            "deduplicated": False,
            "clip": 0.5,
            "noise": 0.03,
        },
        "clipped, noise 0.1": {
            "reviews": 2_000,
            "deduplicated": False,
            "clip": 0.5,
            "noise": 0.1,
        },
        "clipped, noise 0.5": {
            "reviews": 2_000,
            "deduplicated": False,
            "clip": 0.5,
            "noise": 0.5,
        },
    },
}
NAMES = [a + b for a in "BDFKLMNPRST" for b in ("ina", "olo", "eka")]
DIGITS = [f" {digit}" for digit in range(10)]
PLACES = ("own line", "in a review")


@dataclass(frozen=True)
class Secret:
    """A customer's code: how often it is told, and where: one of `PLACES`."""

    name: str
    code: str
    times: int
    place: str

    @property
    def told(self) -> str:
        """What is told before the code."""
        return f"{self.name} paid with"

    @property
    def sentence(self) -> str:
        """What is planted."""
        return f"{self.told} {' '.join(self.code)}."


def secrets(seed: int) -> list[Secret]:
    """Draw codes; the last customers tell theirs to nobody."""
    rng = np.random.default_rng(seed)
    names, kinds = iter(rng.permutation(NAMES)), itertools.product(PLACES, SETTINGS["times"])
    told = [*kinds, (PLACES[0], 0)]
    return [
        Secret(str(next(names)), "".join(map(str, rng.integers(10, size=4))), times, place)
        for place, times in told
        for _ in range(SETTINGS["customers"])
    ]


def planted(chosen: list[Secret], carriers: list[str]) -> list[str]:
    """Return the lines that are added; a code inside of a review takes another review each time."""
    reviews = iter(carriers)
    return [
        secret.sentence if secret.place == PLACES[0] else f"{next(reviews)} {secret.sentence}"
        for secret in chosen
        for _ in range(secret.times)
    ]


def vocabulary(reviews: Reviews) -> Words:
    """Return the truth's tokens and those of the secrets."""
    truth = reviews.oracle("en", "words").tokens
    return Words([*truth, *NAMES, *(f" {n}" for n in NAMES), " paid", " with", *DIGITS])


def exposures(model: Any, words: Words, chosen: list[Secret], before: str) -> list[dict]:
    """Return the exposure of every code, bits; one in a review is asked for after a review."""
    symbols, found = words.encode("".join(DIGITS)), []
    for secret in chosen:
        asked = secret.told if secret.place == PLACES[0] else f"{before} {secret.told}"
        scores = privacy.code_log_probs(model, words.encode(asked), symbols, SETTINGS["digits"])
        bits = privacy.exposure(scores, int(secret.code))
        found.append({"times": secret.times, "place": secret.place, "bits": round(bits, 3)})
    return found


def run(reviews: Reviews, condition: str, seed: int) -> dict[str, Any]:
    """Train and question one model."""
    runtime.setup(seed=seed)
    setting, words = SETTINGS["conditions"][condition], vocabulary(reviews)
    truth = reviews.oracle("en", "words", tokens=words.tokens)
    sample = reviews.text(setting["reviews"], seed=1, language="en").splitlines()
    carriers = reviews.text(400, seed=2, language="en").splitlines()
    chosen = secrets(seed)
    text = sample + planted(chosen, carriers[1:])
    if setting["deduplicated"]:
        text = list(dict.fromkeys(text))
    rows, mask = lines(words.encode("\n".join(text) + "\n"), truth.boundary)
    steps, noise, size = SETTINGS["steps"], setting["noise"], SETTINGS["batch_size"]
    sizes = {name: SETTINGS[name] for name in ("width", "embedding_width")}
    model = LSTMLanguageModel(words.vocab_size, boundary=truth.boundary, seed=seed, **sizes)
    schedule = training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
    began = time.perf_counter()
    privacy.train_privately(
        model,
        rows,
        mask,
        clip=inf if setting["clip"] is None else setting["clip"],
        noise=noise,
        batch_size=size,
        steps=steps,
        optimizer=training.muon(schedule),
        seed=seed,
        jit_compile=True,
    )
    seconds = time.perf_counter() - began
    test = words.encode(reviews.text(SETTINGS["test"], seed=3, language="en"))
    test, _ = lines(test, truth.boundary)
    gap = evaluation.text_log_probs(truth, test) - evaluation.text_log_probs(model, test)
    share = size / len(rows)
    return {
        "condition": condition,
        "seed": seed,
        "parameters": model.count_params(),
        "texts": len(rows),
        "passes": steps * share,
        "seconds": round(seconds, 1),
        "excess": float(gap.mean()),
        "epsilon": privacy.epsilon(noise, share, steps, SETTINGS["delta"]) if noise else None,
        "secrets": exposures(model, words, chosen, carriers[0]),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    record = {
        "command": f"python -m benchmarks.memorisation --seeds {options.seeds}",
        "settings": SETTINGS,
        "runs": [],
    }
    record["runs"] = records.finished(options.out, SETTINGS)
    done, reviews = {(r["condition"], r["seed"]) for r in record["runs"]}, Reviews()
    for seed, condition in itertools.product(range(1, options.seeds + 1), SETTINGS["conditions"]):
        if (condition, seed) in done:
            continue
        record["runs"].append(run(reviews, condition, seed))
        print({k: v for k, v in record["runs"][-1].items() if k != "secrets"}, flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
