"""What pretraining buys: blanks against the truth, sentiment with few labels, a new domain.

    python -m benchmarks.pretraining [--seeds 3] [--out FILE]

Four parts for each seed. "blanks": a masked and a causal model of reviews in words, against the
exact conditional probabilities. "sentiment": bodies without pretraining, pretrained on the manual
and pretrained on unlabelled reviews, fine-tuned on a few labels; errors are expected under the
exact posterior of the test reviews. "control": the same with the words of the manual in a random
order, of which there is nothing to learn but how frequent they are. "generation": GPT without and
with pretraining on the manual, trained on a few reviews. Finished parts stay in the file, so that
a stopped run goes on.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from benchmarks import records
from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora import keras_manual
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.evaluation.blanks import blank_log_probs
from textgen_utils.models.classifier import TextClassifier
from textgen_utils.models.masked import MaskedLanguageModel
from textgen_utils.models.transformer import GPT
from textgen_utils.tokenizers import Words
from textgen_utils.training import finetuning

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/pretraining.json"
SETTINGS = {
    "width": 64,
    "depth": 2,
    "context": 48,
    "mask_rate": 0.3,
    "min_count": 80,
    "reviews": 20_000,
    "valid": 200,
    "test": 1000,
    "pretraining": {"steps": 300, "batch_size": 48, "window": 40, "peak": 0.02},
    "blanks": {"texts": 200, "tried": 40},
    "sentiment": {"steps": 80, "batch_size": 32, "peak": 0.006, "rank": 4, "lora_peak": 0.02},
    "labels": [10, 30, 100, 300, 1000],
    "labels_gpt": [100],
    "generation": {"steps": 120, "batch_size": 32, "peak": 0.02, "written": 200},
    "texts": [100, 300, 1000, 3000],
}
CORPORA = ("none", "manual", "reviews")


def muon(steps: int, peak: float) -> keras.optimizers.Optimizer:
    """Return Muon with the schedule that all runs share."""
    return training.muon(training.warmup_cosine(peak, steps, final=0.05))


@cache
def texts() -> dict[str, Any]:
    """Return the tokenizer, the ids of both corpora, and the test reviews with the truth of them.

    The vocabulary is the words of the reviews and the more frequent ones of the manual.
    """
    manual, reviews = keras_manual.load(), Reviews()
    frequent = Words.fit(manual.train, SETTINGS["min_count"], "\ufffd").tokens
    own = reviews.automaton("en", "words").symbols
    words = Words(frequent + [token for token in own if token not in set(frequent)], "\ufffd")
    test = reviews.sample(SETTINGS["test"], seed=3)
    train, valid = (
        reviews.text(SETTINGS[part], s, "en") for part, s in (("reviews", 1), ("valid", 2))
    )
    manual_ids = words.encode(manual.train), words.encode(manual.valid[:20_000])
    rng = np.random.default_rng(0)
    return {
        "shuffled": tuple(rng.permutation(ids) for ids in manual_ids),
        "language": reviews,
        "words": words,
        "manual": manual_ids,
        "reviews": (words.encode(train), words.encode(valid)),
        "test_reviews": test,
        "test": rows_of(words, test),
        "posterior": np.array([reviews.posterior(review.english, "en") for review in test]),
        "own": np.array([words.tokens.index(token) for token in own]),
    }


def rows_of(words: Words, part: list) -> np.ndarray:
    """Return English reviews a row each."""
    ids = words.encode("".join(review.english + "\n" for review in part))
    return lines(ids, words.boundary)[0]


@cache
def pretrained(kind: str, corpus: str, seed: int) -> keras.Model:
    """Return a "bert" or a "gpt", trained on a corpus or, with "none", as it was drawn."""
    words, settings = texts()["words"], SETTINGS["pretraining"]
    make = {"bert": MaskedLanguageModel, "gpt": GPT}[kind]
    sizes = {"width": SETTINGS["width"], "depth": SETTINGS["depth"]}
    model = make(
        words.vocab_size,
        **sizes,
        max_context=SETTINGS["context"],
        boundary=words.boundary,
        seed=seed,
    )
    if corpus == "none":
        return model
    steps, window = settings["steps"], settings["window"]
    common = {"steps": steps, "batch_size": settings["batch_size"], "eval_every": steps // 2}
    common |= {"seed": seed, "optimizer": muon(steps, settings["peak"])}
    train_ids, valid_ids = texts()[corpus]
    by_line = corpus == "reviews"
    if kind == "gpt":
        training.train(model, train_ids, valid_ids, window=window, lines=by_line, **common)
        return model
    if by_line:
        parts = [lines(ids, words.boundary) for ids in (train_ids, valid_ids)]
    else:
        parts = [cut(ids, window) for ids in (train_ids, valid_ids)]
    finetuning.train_masked(model, *parts, rate=SETTINGS["mask_rate"], **common)
    return model


def cut(ids: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a running text in rows of `window` tokens, and a mask that all of them count."""
    rows = ids[: len(ids) // window * window].reshape(-1, window)
    return rows, np.ones(rows.shape, bool)


def blanks(seed: int) -> dict[str, Any]:
    """A masked and a causal model of the reviews against the exact p(word | both sides)."""
    data, settings = texts(), SETTINGS["blanks"]
    truth = data["language"].oracle("en", "words", data["words"].tokens)
    bert, gpt = (pretrained(kind, "reviews", seed) for kind in ("bert", "gpt"))
    rows = data["test"][: settings["texts"]]
    inside = np.cumsum(rows == truth.boundary, axis=1) == 0
    text, place = np.nonzero(inside)
    own = np.arange(len(text)), rows[text, place]
    exact = blank_log_probs(truth, rows[text], place)
    filled = bert.fill(rows[text], place[:, None])[:, 0].astype(float)
    some = np.random.default_rng(seed).permutation(len(text))[: settings["tried"]]
    by_trying = blank_log_probs(gpt, rows[text[some]], place[some], tokens=data["own"])
    log_p, log_q = (evaluation.text_log_probs(model, rows) for model in (truth, gpt))
    pseudo = {"truth": np.bincount(text, exact[own]), "bert": bert.pseudo_log_likelihood(rows)}
    ranked = {**pseudo, "gpt": log_q}
    return {
        "floor": float(-exact[own].mean()),
        "bert": float(-filled[own].mean()),
        "bert_excess": float(divergence(exact, filled).mean()),
        "tried_bert_excess": float(divergence(exact, filled)[some].mean()),
        "tried_gpt_excess": float(divergence(exact[some], by_trying).mean()),
        "same_first_choice": float((filled.argmax(1) == exact.argmax(1)).mean()),
        "pseudo": {name: float(-x.mean()) for name, x in pseudo.items()},
        "log_p": float(-log_p.mean()),
        "gpt": float(-log_q.mean()),
        "rank": {name: float(spearmanr(x, log_p)[0]) for name, x in ranked.items()},
    }


def divergence(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return KL(p || q) of each row, nats."""
    p = np.exp(log_p)
    gap = np.where(p > 0, log_p, 0) - np.where(p > 0, log_q, 0)
    return np.sum(p * gap, axis=1)


def judged(log_probs: np.ndarray) -> dict[str, float]:
    """Return error rate and nats, expected over the labels of the test reviews."""
    p = texts()["posterior"]
    error = np.where(log_probs.argmax(axis=1) == 1, 1 - p, p).mean()
    nats = -(p * log_probs[:, 1] + (1 - p) * log_probs[:, 0]).mean()
    return {"error": float(error), "nats": float(nats)}


def sentiment(seed: int) -> dict[str, Any]:
    """Fine-tune each body on each number of labels; bags of words beside them."""
    data, p = texts(), texts()["posterior"]
    given = data["language"].sample(max(SETTINGS["labels"]), seed=100 + seed)
    runs = [bag_of_words(given[:n]) for n in SETTINGS["labels"]]
    for corpus in CORPORA:
        runs += [fine_tuned("bert", corpus, given[:n], seed) for n in SETTINGS["labels"]]
        runs += [fine_tuned("gpt", corpus, given[:n], seed) for n in SETTINGS["labels_gpt"]]
    rank = SETTINGS["sentiment"]["rank"]
    runs += [fine_tuned("bert", "reviews", given[:n], seed, rank) for n in SETTINGS["labels_gpt"]]
    return {"runs": runs, "bayes_error": float(np.minimum(p, 1 - p).mean())}


def control(seed: int) -> dict[str, Any]:
    """Fine-tune a body that was pretrained on shuffled words."""
    given = texts()["language"].sample(max(SETTINGS["labels"]), seed=100 + seed)
    counts = [n for n in SETTINGS["labels"] if n >= 100]
    return {"runs": [fine_tuned("bert", "shuffled", given[:n], seed) for n in counts]}


def fine_tuned(kind: str, corpus: str, given: list, seed: int, rank: int = 0) -> dict[str, Any]:
    """Fine-tune a copy of a body, all of it or, with a rank, adapters and the head."""
    data, settings = texts(), SETTINGS["sentiment"]
    classifier = TextClassifier(finetuning.copy_of(pretrained(kind, corpus, seed)))
    share = finetuning.add_lora(classifier, rank, seed) if rank else 1.0
    finetuning.fine_tune(
        classifier,
        rows_of(data["words"], given),
        np.array([review.label for review in given]),
        steps=settings["steps"],
        batch_size=settings["batch_size"],
        seed=seed,
        optimizer=muon(settings["steps"], settings["lora_peak" if rank else "peak"]),
    )
    run = {"model": kind, "corpus": corpus, "labels": len(given), "rank": rank, "share": share}
    return run | judged(classifier.log_probs(data["test"]))


def bag_of_words(given: list) -> dict[str, Any]:
    """Logistic regression on the counts of the reviews' words."""
    data = texts()

    def counts(part: list) -> np.ndarray:
        ids = [data["words"].encode(review.english) for review in part]
        return np.array([np.bincount(row, minlength=data["words"].vocab_size) for row in ids])

    model = LogisticRegression(max_iter=1000).fit(counts(given), [r.label for r in given])
    log_probs = model.predict_log_proba(counts(data["test_reviews"]))
    run = {"model": "words", "corpus": "none", "labels": len(given), "rank": 0, "share": 1.0}
    return run | judged(log_probs)


def generation(seed: int) -> dict[str, Any]:
    """Train GPT on a few reviews, from nothing and from the manual."""
    runs = [
        few_reviews(corpus, n, seed) for corpus in ("none", "manual") for n in SETTINGS["texts"]
    ]
    return {"runs": runs, "entropy": texts()["language"].entropy("en")}


def few_reviews(corpus: str, n: int, seed: int) -> dict[str, Any]:
    """Train on n reviews; the same validation reviews choose when to stop."""
    data, settings = texts(), SETTINGS["generation"]
    words, language, steps = data["words"], data["language"], settings["steps"]
    model = finetuning.copy_of(pretrained("gpt", corpus, seed))
    curve = training.train(
        model,
        words.encode(language.text(n, seed=200 + seed, language="en")),
        data["reviews"][1],
        steps=steps,
        window=SETTINGS["pretraining"]["window"],
        batch_size=settings["batch_size"],
        eval_every=steps // 6,
        seed=seed,
        lines=True,
        optimizer=muon(steps, settings["peak"]),
    )
    nats = -evaluation.text_log_probs(model, data["test"]).mean()
    ids = decoding.generate(
        model,
        [],
        SETTINGS["context"],
        batch_size=settings["written"],
        stop=words.boundary,
        seed=seed,
    )
    own = [words.decode(row).split("\n")[0] for row in ids]
    valid = np.mean([np.isfinite(language.log_prob(text, "en")) for text in own])
    run = {"corpus": corpus, "texts": n, "nats": float(nats), "validity": float(valid)}
    return run | {"best_step": curve.steps[curve.best]}


PARTS = {
    "blanks": blanks,
    "sentiment": sentiment,
    "generation": generation,
    "control": control,
}


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    command = f"python -m benchmarks.pretraining --seeds {options.seeds}"
    record = {"command": command, "settings": SETTINGS, "runs": []}
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {(run["part"], run["seed"]) for run in record["runs"]}
    for seed in range(1, options.seeds + 1):
        for name, part in PARTS.items():
            if (name, seed) in done:
                continue
            runtime.setup(seed=seed)
            record["runs"].append({"part": name, "seed": seed} | part(seed))
            records.save(options.out, record)


if __name__ == "__main__":
    main()
