"""Every family of the chapter on generative models on one task, recorded.

    python -m benchmarks.families [--seeds 3] [--out FILE]

The task: English reviews in words, 20,000 of them to learn from. Each family is judged on 1,000
reviews of the truth and 1,000 of its own, by `evaluation.distance`. Networks have about the same
number of parameters and the same number of texts to read. Finished runs stay in the file, so that
a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pretraining, records
from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Review, Reviews
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.convolutional import ConvLanguageModel
from textgen_utils.models.gan import Discriminator
from textgen_utils.models.hmm import HMM
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.transformer import GPT
from textgen_utils.models.vae import VAE
from textgen_utils.tokenizers import Lexicon, Words
from textgen_utils.training.adversarial import train_policy_gradient
from textgen_utils.training.vae import train_vae

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/families.json"
SETTINGS = {
    "reviews": 20_000,
    "valid": 300,
    "test": 1_000,
    "steps": 300,
    "batch_size": 64,
    "window": 40,
    "length": 48,
    "learning_rate": 0.02,
    "order": 8,
    "states": 128,
    "first_reviews": 2_000,
    "vae": {"free_bits": 0.25, "annealing": 150},
    "samples": 64,
    "adversarial": {"steps": 80, "rollouts": 2, "prefixes": 3, "learning_rate": 3e-4},
}
PARTS = ("reviews", "valid", "test")


@dataclass(frozen=True)
class Task:
    """Reviews in words, and the truth.

    Attributes:
        reviews: the language.
        truth: the grammar as a language model.
        words: the tokenizer; its ids are the truth's.
        train, valid, test: lists of `Review`.
    """

    reviews: Reviews
    truth: LanguageModel
    words: Words
    train: list[Review]
    valid: list[Review]
    test: list[Review]

    def ids(self, part: list[Review]) -> np.ndarray:
        """Return the English reviews as one text, (time,)."""
        return self.words.encode("".join(review.english + "\n" for review in part))

    def rows(self, part: list[Review]) -> np.ndarray:
        """Return the English reviews, one a row, (n, time)."""
        return lines(self.ids(part), self.truth.boundary)[0]


@dataclass(frozen=True)
class Fitted:
    """A trained model, as far as it is judged.

    Attributes:
        log_q: from rows, (n, time), to the model's log-probability of each text, (n,), nats.
        write: from a number and a seed to so many texts of the model, in rows.
        parameters: how many numbers were learnt.
        flops: about 6 operations for each parameter and token read; None for what is no network.
    """

    log_q: Callable[[np.ndarray], np.ndarray]
    write: Callable[[int, int], np.ndarray]
    parameters: int
    flops: float | None = None


def make_task() -> Task:
    """Return the chapter's task."""
    reviews = Reviews()
    truth = reviews.oracle("en", "words")
    parts = (reviews.sample(SETTINGS[n], seed=s) for s, n in enumerate(PARTS, 1))
    return Task(reviews, truth, Words(truth.tokens), *parts)


def language_model(model: LanguageModel, parameters: int, flops: float | None = None) -> Fitted:
    """Return a language model as it is judged."""

    def write(n: int, seed: int) -> np.ndarray:
        settings = {"batch_size": n, "stop": model.boundary, "seed": seed}
        return decoding.generate(model, [], SETTINGS["length"], **settings)

    log_q = partial(evaluation.text_log_probs, model)
    return Fitted(log_q, write, parameters, flops)


def memory(task: Task, seed: int) -> Fitted:
    """The training reviews themselves, each as probable as it is frequent."""
    rows = task.rows(task.train)
    end = task.truth.boundary
    counts = Counter(_text(row, end) for row in rows)

    def log_q(texts: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log([counts[_text(text, end)] / len(rows) for text in texts])

    def write(n: int, seed: int) -> np.ndarray:
        return rows[np.random.default_rng(seed).integers(len(rows), size=n)]

    return Fitted(log_q, write, len(counts))


def ngram(task: Task, seed: int) -> Fitted:
    """Counts of words with those before them, smoothed after Kneser and Ney."""
    ids, order = task.ids(task.train), SETTINGS["order"]
    model = NGram(order, task.truth.vocab_size, task.truth.boundary, independent_lines=True).fit(
        ids
    )
    return language_model(model, sum(model.sizes_))


def hidden_markov(task: Task, seed: int) -> Fitted:
    """A hidden Markov model by Baum and Welch, from a random start."""
    ids = task.ids(task.train)
    first = task.ids(task.train[: SETTINGS["first_reviews"]])
    model = HMM(SETTINGS["states"], task.truth.vocab_size, task.truth.boundary, alpha=0.001)
    model.fit(first, seed=seed, steps=40).improve(ids, steps=8)
    return language_model(model, model.count_params())


def network(make: Callable[..., Any], task: Task, seed: int) -> Fitted:
    """A network that predicts the next word, by maximum likelihood."""
    model = make(task.truth.vocab_size, boundary=task.truth.boundary, seed=seed)
    return language_model(trained(model, task, seed), model.count_params(), _flops(model))


def trained(model: Any, task: Task, seed: int, words: Words | None = None) -> Any:
    """Return the model after the chapter's training by maximum likelihood."""
    words = task.words if words is None else words
    train_text, valid_text = (
        "".join(review.english + "\n" for review in part) for part in (task.train, task.valid)
    )
    training.train(
        model,
        words.encode(train_text),
        words.encode(valid_text),
        steps=SETTINGS["steps"],
        window=SETTINGS["window"],
        batch_size=SETTINGS["batch_size"],
        eval_every=SETTINGS["steps"] // 4,
        seed=seed,
        lines=True,
        optimizer=optimizer(),
    )
    return model


def encoder_decoder(task: Task, seed: int) -> Fitted:
    """An encoder-decoder that is given the Chinese, with attention: another, easier task."""
    symbols = task.reviews.automaton("zh", "words").symbols
    chinese = Lexicon.fit(
        "".join(review.chinese + "\n" for review in task.train),
        [symbol for symbol in symbols if symbol != "\n"],
    )

    def pairs(part: list[Review]) -> training.EncodedPairs:
        targets = [task.words.encode(review.english + "\n") for review in part]
        return training.EncodedPairs([chinese.encode(r.chinese) for r in part], targets)

    model = RecurrentSeq2Seq(
        chinese.vocab_size,
        task.truth.vocab_size,
        width=80,
        attention="dot",
        boundary=task.truth.boundary,
        padding=chinese.boundary,
        seed=seed,
    )
    training.train_pairs(
        model,
        pairs(task.train),
        pairs(task.valid),
        steps=SETTINGS["steps"],
        batch_size=SETTINGS["batch_size"],
        eval_every=SETTINGS["steps"] // 4,
        seed=seed,
        optimizer=optimizer(),
    )
    conditioned = model.condition(pairs(task.test).sources)
    write = language_model(conditioned, 0).write
    log_q = partial(evaluation.text_log_probs, conditioned, batch_size=len(task.test))
    return Fitted(log_q, write, model.count_params(), _flops(model))


def autoencoder(task: Task, seed: int) -> Fitted:
    """A variational autoencoder; log q is its importance-weighted bound, so at least that much."""
    model = VAE(task.truth.vocab_size, boundary=task.truth.boundary, seed=seed, **SETTINGS["vae"])
    train_vae(
        model,
        task.ids(task.train),
        task.ids(task.valid),
        steps=SETTINGS["steps"],
        batch_size=SETTINGS["batch_size"],
        eval_every=SETTINGS["steps"] // 4,
        seed=seed,
        optimizer=optimizer(),
    )

    def log_q(texts: np.ndarray) -> np.ndarray:
        return model.bound(texts, samples=SETTINGS["samples"], seed=seed).weighted

    def write(n: int, seed: int) -> np.ndarray:
        z = np.random.default_rng(seed).standard_normal((n, model.latent))
        return language_model(model.condition(z), 0).write(n, seed)

    return Fitted(log_q, write, model.count_params(), _flops(model))


def adversarial(task: Task, seed: int) -> Fitted:
    """The LSTM after its maximum likelihood, taught further by a critic with policy gradients."""
    model = LSTMLanguageModel(
        task.truth.vocab_size, width=128, boundary=task.truth.boundary, seed=seed
    )
    trained(model, task, seed)
    critic = Discriminator(task.truth.vocab_size, seed=seed)
    rows = task.rows(task.train)
    train_policy_gradient(model, critic, rows, seed=seed, **SETTINGS["adversarial"])
    return language_model(model, model.count_params() + critic.count_params())


def pretrained(task: Task, seed: int) -> Fitted:
    """The Transformer, pretrained on the Keras manual with a vocabulary for both; then as usual."""
    data = pretraining.texts()
    words, model = data["words"], pretraining.pretrained("gpt", "manual", seed)
    trained(model, task, seed, words)
    there = np.array([words.tokens.index(token) for token in task.words.tokens])
    back = np.full(words.vocab_size, -1)
    back[there] = np.arange(len(there))
    fitted = language_model(model, model.count_params(), 2 * _flops(model))

    def write(n: int, seed: int) -> np.ndarray:
        rows = back[fitted.write(n, seed)]
        foreign = (rows < 0).any(axis=1)  # a row without a boundary is no text
        rows[foreign] = (task.truth.boundary + 1) % len(there)
        return rows

    return Fitted(lambda rows: fitted.log_q(there[rows]), write, fitted.parameters, fitted.flops)


def optimizer() -> Any:
    """Return Muon with the schedule that all networks share."""
    steps = SETTINGS["steps"]
    return training.muon(training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05))


FAMILIES: dict[str, Callable[[Task, int], Fitted]] = {
    "memory": memory,
    "n-gram": ngram,
    "hidden Markov": hidden_markov,
    "convolution": partial(network, ConvLanguageModel),
    "LSTM": partial(network, partial(LSTMLanguageModel, width=128)),
    "Transformer": partial(network, partial(GPT, max_context=48, width=64, depth=2)),
    "encoder-decoder": encoder_decoder,
    "autoencoder": autoencoder,
    "adversarial": adversarial,
    "pretrained Transformer": pretrained,
}
# What does not depend on the seed is run once.
FIXED = ("memory", "n-gram")


def run(task: Task, family: str, seed: int) -> dict[str, Any]:
    """Train one family once and judge it."""
    runtime.setup(seed=seed)
    began = time.perf_counter()
    fitted = FAMILIES[family](task, seed)
    train_seconds = time.perf_counter() - began
    texts, log_p = task.rows(task.test), floor(task, family)
    fitted.write(len(texts), 0)  # compiles
    began = time.perf_counter()
    written = fitted.write(len(texts), seed)
    write_seconds = time.perf_counter() - began
    log_p_written = evaluation.text_log_probs(task.truth, written)
    result = evaluation.distance(log_p, fitted.log_q(texts), log_p_written)
    tokens = sum(len(_text(row, task.truth.boundary)) for row in written)
    return {
        "family": family,
        "seed": seed,
        "parameters": int(fitted.parameters),
        "train_seconds": train_seconds,
        # What is copied is not written.
        "tokens_per_second": None if family == "memory" else tokens / write_seconds,
        "flops": fitted.flops,
        "distinct": len({_text(row, task.truth.boundary) for row in written}) / len(written),
        **asdict(result),
    }


def floor(task: Task, family: str) -> np.ndarray:
    """Return the truth's log-probability of the test reviews, (n,), nats.

    For the encoder-decoder: given their Chinese, whose meaning is theirs.
    """
    log_p = evaluation.text_log_probs(task.truth, task.rows(task.test))
    if family != "encoder-decoder":
        return log_p
    return log_p - [task.reviews.meaning_log_prob(review.meaning) for review in task.test]


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    task = make_task()
    record = {
        "command": f"python -m benchmarks.families --seeds {options.seeds}",
        "settings": SETTINGS,
        "entropy": task.reviews.entropy("en"),
        "conditional_entropy": task.reviews.translation_entropy("en"),
        "runs": [],
    }
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(r["family"], r["seed"]) for r in record["runs"]}
    for seed, family in itertools.product(range(1, options.seeds + 1), FAMILIES):
        if (family, seed) in done or (family in FIXED and seed > 1):
            continue
        record["runs"].append(run(task, family, seed))
        print(record["runs"][-1], flush=True)
        record["runs"].sort(key=lambda r: (r["seed"], list(FAMILIES).index(r["family"])))
        records.save(options.out, record)


def _text(row: np.ndarray, boundary: int) -> tuple[int, ...]:
    """The tokens of a row up to and with its first boundary."""
    ends = np.flatnonzero(row == boundary)
    return tuple(row[: ends[0] + 1] if len(ends) else row)


def _flops(model: Any) -> float:
    tokens = SETTINGS["steps"] * SETTINGS["batch_size"] * SETTINGS["window"]
    return 6.0 * model.count_params() * tokens


if __name__ == "__main__":
    main()
