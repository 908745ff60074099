"""What dirt in the training data costs a small translator, and what cleaning gives back, recorded.

    python -m benchmarks.clean_data [--seeds 6] [--out FILE]

The same model, steps and settings learn to translate English reviews into Chinese from different
versions of the same pairs. A seed draws pairs, noise and initial weights; all versions of a seed
share its pairs and weights, so that differences between them are paired. Nothing is chosen by a
validation loss: each run is scored once, at its end. Finished runs stay in the file, so that a
run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import pad
from textgen_utils.corpora import cleaning, noise, spelling
from textgen_utils.corpora.reviews import Meaning, Review, Reviews
from textgen_utils.files import write_atomically
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.tokenizers import Lexicon, Words
from textgen_utils.training import EncodedPairs

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/deep_text_generation/records/clean_data.json"
UNKNOWN = "\ufffd"
ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
SETTINGS = {
    "longest": 22,  # words and marks of a source: short reviews make short runs
    "pairs": 500,
    "few": 125,  # distinct pairs where each is there four times
    "popular": 5,  # pairs whose copies make half of a training set
    "monolingual": 1500,  # Chinese reviews without a translation
    "test": 400,
    "misspelt": 0.01,  # share of letters
    "half_width": 0.5,  # share of marks
    "dropped": 0.1,  # share of source tokens
    "width": 64,
    "batch_size": 32,
    "learning_rate": 0.03,
    "steps": 250,
    "screening_steps": 120,
}


class Data(NamedTuple):
    """Reviews of one seed, all with different sources."""

    train: list[Review]
    monolingual: list[Review]
    test: list[Review]


class Bench:
    """The language and its two vocabularies, the same for all runs."""

    def __init__(self) -> None:
        self.reviews = Reviews()
        english, chinese = (self.reviews.automaton(k, "words").symbols for k in ("en", "zh"))
        self.english = Words(["\n", UNKNOWN, *sorted(set(english) - {"\n"})], UNKNOWN)
        words = sorted({*chinese, ",", "."} - {"\n"})
        self.chinese = Lexicon(["\n", UNKNOWN, *words], words, UNKNOWN)
        self.words = {w.strip() for w in english if w.strip().isalpha()}

    def data(self, seed: int) -> Data:
        """Draw short reviews; no source is there twice."""
        sizes = [SETTINGS[k] for k in ("pairs", "monolingual", "test")]
        sample = self.reviews.sample(10 * sum(sizes), seed=seed)
        longest = SETTINGS["longest"]
        sample = [r for r in sample if len(self.english.encode(r.english)) <= longest]
        sample = cleaning.distinct(sample, cleaning.exact_copies(sample, lambda r: r.english))
        ends = np.cumsum(sizes)
        return Data(*(sample[end - size : end] for end, size in zip(ends, sizes, strict=True)))

    def encode(self, sources: list[str], targets: list[str]) -> EncodedPairs:
        """Turn texts into ids; targets get their end."""
        return EncodedPairs(
            [self.english.encode(s) for s in sources],
            [self.chinese.encode(t + "\n") for t in targets],
        )

    def model(self, seed: int, reverse: bool = False) -> RecurrentSeq2Seq:
        """Return the model of all runs; `reverse` translates Chinese into English."""
        source, target = self.english, self.chinese
        if reverse:
            source, target = target, source
        return RecurrentSeq2Seq(
            source.vocab_size,
            target.vocab_size,
            width=SETTINGS["width"],
            attention="dot",
            boundary=target.boundary,
            padding=source.boundary,
            seed=seed,
        )

    def reworded(self, meaning: Meaning, language: str, rng: np.random.Generator) -> str:
        """Draw a wording of a meaning."""
        slots = self.reviews.wordings(meaning, language)
        chosen = [slot[rng.choice(len(slot), p=[p for p, _ in slot])][1] for slot in slots]
        return "".join("".join(tokens) for tokens in chosen)


def texts(reviews: list[Review]) -> tuple[list[str], list[str]]:
    """Return English sources and Chinese targets."""
    return [r.english for r in reviews], [r.chinese for r in reviews]


def trained(
    model: RecurrentSeq2Seq, pairs: EncodedPairs, seed: int, steps: int
) -> RecurrentSeq2Seq:
    """Train for all steps and keep the last weights."""
    rate = training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
    few = EncodedPairs(pairs.sources[:8], pairs.targets[:8])
    training.train_pairs(
        model,
        pairs,
        few,  # evaluated once, after the last step: there is nothing to choose
        steps=steps,
        batch_size=SETTINGS["batch_size"],
        optimizer=training.muon(rate),
        eval_every=steps,
        seed=seed,
    )
    return model


def pair_nats(model: RecurrentSeq2Seq, pairs: EncodedPairs) -> np.ndarray:
    """Return the nats per token of each pair."""
    ids, mask = pad(pairs.targets, model.boundary)
    log_probs = np.asarray(model.condition(pairs.sources).score(ids))
    return -np.where(mask, log_probs, 0.0).sum(axis=1) / mask.sum(axis=1)


# The versions of the training pairs. Each takes the bench, the data and the seed, and returns
# pairs and facts about them.

Version = Callable[[Bench, Data, int], tuple[EncodedPairs, dict[str, float]]]


def of_reviews(choose: Callable[[Data], list[Review]]) -> Version:
    """Pairs as they were drawn."""
    return lambda bench, data, seed: (bench.encode(*texts(choose(data))), {})


def popular(data: Data) -> list[Review]:
    """All pairs, and copies of a few until they are half of all."""
    count = SETTINGS["popular"]
    return data.train + data.train[:count] * (len(data.train) // count)


def wrong_labels(share: float) -> Version:
    """A share of the targets exchanged among each other."""

    def version(bench: Bench, data: Data, seed: int) -> tuple[EncodedPairs, dict]:
        sources, targets = texts(data.train)
        noisy = noise.exchange_targets(targets, share, seed)
        wrong = np.mean([a != b for a, b in zip(targets, noisy, strict=True)])
        return bench.encode(sources, noisy), {"wrong": float(wrong)}

    return version


def screened(share: float) -> Version:
    """Wrong labels, less as many pairs, those with the highest loss early in a training."""

    def version(bench: Bench, data: Data, seed: int) -> tuple[EncodedPairs, dict]:
        sources, targets = texts(data.train)
        noisy = noise.exchange_targets(targets, share, seed)
        pairs = bench.encode(sources, noisy)
        judge = trained(bench.model(seed + 500), pairs, seed, SETTINGS["screening_steps"])
        order = np.argsort(pair_nats(judge, pairs), kind="stable")
        kept = np.sort(order[: len(order) - round(share * len(order))])
        wrong = np.array([a != b for a, b in zip(targets, noisy, strict=True)])
        found = 1 - wrong[kept].sum() / wrong.sum()
        facts = {"wrong": float(wrong[kept].mean()), "found": float(found)}
        return EncodedPairs(*([part[i] for i in kept] for part in pairs)), facts

    return version


def misspelt(bench: Bench, data: Data, seed: int) -> tuple[EncodedPairs, dict]:
    """Letters of the sources misspelt."""
    sources, targets = texts(data.train)
    return bench.encode(noise.misspell(sources, SETTINGS["misspelt"], seed), targets), {}


def half_width(bench: Bench, data: Data, seed: int) -> tuple[EncodedPairs, dict]:
    """Marks of the targets in half width, some; what normalising gives back is checked."""
    sources, targets = texts(data.train)
    mixed = noise.mix_width(targets, SETTINGS["half_width"], seed)
    if [cleaning.normalise(t, "zh") for t in mixed] != targets:
        raise ValueError("normalising does not give the clean targets back")
    return bench.encode(sources, mixed), {}


def dropped_tokens(bench: Bench, data: Data, seed: int) -> tuple[EncodedPairs, dict]:
    """Each pair once as it is and three times with source tokens left out."""
    pairs = bench.encode(*texts(data.train))
    thinned = noise.drop_tokens(3 * list(pairs.sources), SETTINGS["dropped"], seed)
    return EncodedPairs([*pairs.sources, *thinned], 4 * list(pairs.targets)), {}


def back_translated(bench: Bench, data: Data, seed: int) -> tuple[EncodedPairs, dict]:
    """Chinese reviews with sources that a model trained on the same pairs the other way wrote."""
    pairs = bench.encode(*texts(data.train))
    reverse = EncodedPairs(
        [target[:-1] for target in pairs.targets],
        [np.append(source, bench.english.boundary) for source in pairs.sources],
    )
    model = trained(bench.model(seed + 500, reverse=True), reverse, seed, SETTINGS["steps"])
    chinese = [r.chinese for r in data.monolingual]
    written = decoding.translate(model, [bench.chinese.encode(text) for text in chinese], 56)
    right = [bench.reviews.translations(text, "zh") for text in chinese]
    facts = {"right": evaluation.exact_match([bench.english.decode(w) for w in written], right)}
    made = [(w, bench.chinese.encode(t + "\n")) for w, t in zip(written, chinese, strict=True)]
    made = [pair for pair in made if len(pair[0])]
    sources, targets = zip(*made, strict=True)
    return EncodedPairs([*pairs.sources, *sources], [*pairs.targets, *targets]), facts


VERSIONS: dict[str, Version] = {
    "clean": of_reviews(lambda data: data.train),
    "few pairs, each four times": of_reviews(lambda data: 4 * data.train[: SETTINGS["few"]]),
    "few pairs, each once": of_reviews(lambda data: data.train[: SETTINGS["few"]]),
    "half of it copies of five": of_reviews(popular),
    "5 % wrong targets": wrong_labels(0.05),
    "10 % wrong targets": wrong_labels(0.10),
    "20 % wrong targets": wrong_labels(0.20),
    "20 % wrong targets, screened": screened(0.20),
    "misspelt sources": misspelt,
    "half-width marks in targets": half_width,
    "token dropout": dropped_tokens,
    "back-translation by a model": back_translated,
    "back-translation by the grammar": of_reviews(lambda data: data.train + data.monolingual),
}


@functools.cache
def the_bench() -> Bench:
    """Build the language once in each process."""
    return Bench()


class Test(NamedTuple):
    """What is translated, and the reviews that it should be a translation of."""

    sources: list[str]
    reviews: list[Review]


def tests_of(bench: Bench, data: Data, seed: int) -> dict[str, Test]:
    """Return the tests: fresh pairs, spoilt in several ways, and pairs that are not fresh."""
    clean = [r.english for r in data.test]
    bad = noise.misspell(clean, SETTINGS["misspelt"], seed + 1000)
    rng = np.random.default_rng(seed)
    seen = data.train[: SETTINGS["test"]]
    again = [
        replace(
            r,
            english=bench.reworded(r.meaning, "en", rng),
            chinese=bench.reworded(r.meaning, "zh", rng),
        )
        for r in seen
    ]
    return {
        "fresh": Test(clean, data.test),
        "misspelt": Test(bad, data.test),
        "misspelt, corrected": Test(spelling.correct(bad, bench.words), data.test),
        "full-width marks": Test(noise.mix_width(clean, 1.0, seed, to="full"), data.test),
        "seen in training": Test([r.english for r in seen], seen),
        "reworded from training": Test([r.english for r in again], again),
    }


# Tests beyond the fresh one, by version.
EXTRA = {
    "clean": (
        "misspelt",
        "misspelt, corrected",
        "full-width marks",
        "seen in training",
        "reworded from training",
    ),
    "misspelt sources": ("misspelt", "misspelt, corrected"),
}


def scored(bench: Bench, model: RecurrentSeq2Seq, test: Test) -> dict[str, float]:
    """Return shares of right translations, as written and normalised, and nats per token."""
    pairs = bench.encode(test.sources, [r.chinese for r in test.reviews])
    written = [bench.chinese.decode(ids) for ids in decoding.translate(model, pairs.sources, 48)]
    right = [bench.reviews.translations(r.english, "en") for r in test.reviews]
    mended = [cleaning.normalise(text, "zh") for text in written]
    return {
        "exact": evaluation.exact_match(written, right),
        "exact_normalised": evaluation.exact_match(mended, right),
        "nats": evaluation.evaluate_pairs(model, *pairs).nats_per_token,
    }


def floor(bench: Bench, test: Test) -> float:
    """Return what the truth needs for the targets of a test, nats per token."""
    nats = [-bench.reviews.translations(r.english, "en").log_prob(r.chinese) for r in test.reviews]
    return sum(nats) / sum(len(bench.chinese.encode(r.chinese + "\n")) for r in test.reviews)


def run(name: str, seed: int) -> dict:
    """Train on one version and score it."""
    runtime.setup(seed=seed)
    began, bench = time.perf_counter(), the_bench()
    data = bench.data(seed)
    pairs, facts = VERSIONS[name](bench, data, seed)
    model = trained(bench.model(seed), pairs, seed, SETTINGS["steps"])
    tests = tests_of(bench, data, seed)
    return {
        "version": name,
        "seed": seed,
        "pairs": len(pairs.sources),
        "seconds": round(time.perf_counter() - began, 1),
        "facts": facts,
        "floor": floor(bench, tests["fresh"]),
        "scores": {k: scored(bench, model, tests[k]) for k in ("fresh", *EXTRA.get(name, ()))},
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    runs = json.loads(options.out.read_text())["runs"] if options.out.exists() else []
    done = {(r["version"], r["seed"]) for r in runs}
    every = [(name, seed) for seed in range(1, options.seeds + 1) for name in VERSIONS]
    missing = [one for one in every if one not in done]
    for result in runtime.progress(results(missing, options.workers), "runs", len(missing)):
        runs.append(result)
        runs.sort(key=lambda r: every.index((r["version"], r["seed"])))
        record = {
            "command": f"python -m benchmarks.clean_data --seeds {options.seeds}",
            "date": datetime.date.today().isoformat(),
            "machine": runtime.device_report(),
            "python": sys.version.split()[0],
            "settings": SETTINGS,
            "runs": runs,
        }
        write_atomically(options.out, json.dumps(record, indent=1) + "\n")
        exact, seconds = result["scores"]["fresh"]["exact"], result["seconds"]
        print(f"{result['version']}, seed {result['seed']}: {exact:.3f} right, {seconds} s")


def results(missing: list[tuple[str, int]], workers: int) -> Iterator[dict]:
    """Yield the runs as they end: in this process, or in several of one thread each."""
    if workers == 1:
        yield from (run(*one) for one in missing)
        return
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before the workers load TensorFlow
    # Spawned, since a fork would share the threads of a TensorFlow that has run.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_run, missing)


def _run(one: tuple[str, int]) -> dict:
    return run(*one)


if __name__ == "__main__":
    main()
