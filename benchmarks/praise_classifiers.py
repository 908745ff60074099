"""The classifiers of `benchmarks.praise`: each learns from labelled rows, then reads other rows.

A reader is a function from rows, (n, time), to the log-odds of class 1, (n,), nats. Networks
choose when to stop on a tenth of the labelled texts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from textgen_utils import evaluation, training
from textgen_utils.batches.labelled import LabelledBatches
from textgen_utils.models.classifier import TextClassifier, WordVectors
from textgen_utils.models.masked import MaskedLanguageModel
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.training import finetuning

Reader = Callable[[np.ndarray], np.ndarray]
COLUMNS = 2**18  # of pairs of words; more are folded together


@dataclass
class Task:
    """What classifiers of one kind of text share: tokens, texts without labels, settings."""

    vocab_size: int
    boundary: int
    unlabelled: np.ndarray
    settings: dict[str, Any]
    pretrained: dict[int, MaskedLanguageModel] = field(default_factory=dict)


def read_part(rows: np.ndarray, boundary: int) -> tuple[np.ndarray, np.ndarray]:
    """Return text and place of all tokens before the boundaries that end the texts."""
    return np.nonzero(np.cumsum(rows == boundary, axis=1) == 0)


def bag(rows: np.ndarray, task: Task, pairs: bool = False) -> sparse.csr_matrix:
    """Return how often each word, and with `pairs` each pair of neighbours, is in each text."""
    text, place = read_part(rows, task.boundary)
    size, words = task.vocab_size, rows[text, place]
    if pairs:
        before = np.where(place > 0, rows[text, place - 1], task.boundary).astype(np.int64)
        folded = min(size**2, COLUMNS)
        words = np.concatenate([words, size + (before * size + words) % folded])
        text, size = np.concatenate([text, text]), size + folded
    return sparse.csr_matrix((np.ones(len(text)), (text, words)), (len(rows), size))


def logistic(rows: np.ndarray, labels: np.ndarray, task: Task, pairs: bool) -> Reader:
    """Logistic regression on counts."""
    model = LogisticRegression(C=task.settings["penalty"], max_iter=3000)
    model.fit(bag(rows, task, pairs), labels)
    return lambda new: model.decision_function(bag(new, task, pairs))


def told(rows: np.ndarray, posterior: np.ndarray, task: Task, pairs: bool) -> Reader:
    """The same with the exact probabilities for labels: what remains is what it cannot say."""
    x = bag(rows, task, pairs)
    y, weight = np.repeat([1, 0], len(rows)), np.concatenate([posterior, 1 - posterior])
    model = LogisticRegression(C=10, max_iter=1000).fit(sparse.vstack([x, x]), y, weight)
    return lambda new: model.decision_function(bag(new, task, pairs))


def naive_bayes(rows: np.ndarray, labels: np.ndarray, task: Task) -> Reader:
    """Bayes' rule with words that are independent given the class; counts plus one."""
    x = bag(rows, task)
    counts = np.array([np.asarray(x[labels == c].sum(axis=0))[0] + 1 for c in (0, 1)])
    log_q = np.log(counts / counts.sum(axis=1, keepdims=True))
    prior = np.log(np.mean(labels) / (1 - np.mean(labels)))
    return lambda new: bag(new, task) @ (log_q[1] - log_q[0]) + prior


def two_language_models(rows: np.ndarray, labels: np.ndarray, task: Task) -> Reader:
    """Bayes' rule with an n-gram model of the texts of each class."""
    models = []
    for c in (0, 1):
        own = rows[labels == c]
        ended = np.cumsum(own == task.boundary, axis=1) - (own == task.boundary) == 0
        sizes = {"order": task.settings["order"], "vocab_size": task.vocab_size}
        model = NGram(**sizes, boundary=task.boundary, independent_lines=True)
        models.append(model.fit(own[ended]))
    prior = np.log(np.mean(labels) / (1 - np.mean(labels)))

    def read(new: np.ndarray) -> np.ndarray:
        log_q = [evaluation.text_log_probs(model, new) for model in models]
        return log_q[1] - log_q[0] + prior

    return read


def body(kind: str, task: Task, seed: int) -> keras.Model:
    """Return what reads the words for a network."""
    size, settings = task.vocab_size, task.settings
    width = settings["networks"][kind]["width"]
    common = {"width": width, "boundary": task.boundary, "seed": seed}
    if kind == "mean":
        return WordVectors(size, **common)
    if kind == "lstm":
        model = LSTMLanguageModel(size, **common)
        model.head.trainable = False  # predicts words: not used
        return model
    make = {"depth": settings["depth"], "max_context": settings["context"]}
    if kind == "bert":
        if seed not in task.pretrained:
            task.pretrained[seed] = pretrain(MaskedLanguageModel(size, **make, **common), task)
        return finetuning.copy_of(task.pretrained[seed])
    return MaskedLanguageModel(size, **make, **common)


def pretrain(model: MaskedLanguageModel, task: Task) -> MaskedLanguageModel:
    """Train a masked model on the texts without labels."""
    settings, rows = task.settings["pretraining"], task.unlabelled
    parts = [(part, np.cumsum(part == task.boundary, 1) <= 1) for part in (rows[200:], rows[:200])]
    finetuning.train_masked(
        model,
        *parts,
        steps=settings["steps"],
        batch_size=settings["batch_size"],
        eval_every=settings["steps"] // 2,
        seed=model.seed,
        rate=settings["mask_rate"],
        optimizer=muon(settings["steps"], settings["peak"]),
    )
    return model


def muon(steps: int, peak: float) -> keras.optimizers.Optimizer:
    """Return Muon with the schedule that all networks share."""
    return training.muon(training.warmup_cosine(peak, steps, final=0.05))


def held_out(count: int) -> int:
    """Return how many labelled texts choose when to stop: a tenth, at least 20."""
    return max(20, count // 10)


def network(kind: str, rows: np.ndarray, labels: np.ndarray, task: Task, seed: int) -> Reader:
    """A network, as it was when it predicted the held-out labels best."""
    settings = task.settings["networks"][kind]
    steps = settings["steps"][str(len(rows))]
    classifier = TextClassifier(body(kind, task, seed))
    kept = len(rows) - held_out(len(rows))
    batches = LabelledBatches(rows[:kept], labels[:kept], task.settings["batch"], steps // 5, seed)
    held = rows[kept:], labels[kept:]

    def validate() -> float:
        log_probs = classifier.log_probs(held[0])
        return float(-log_probs[np.arange(len(held[1])), held[1]].mean())

    optimizer = muon(steps, settings["peak"])
    loss = training.token_loss()
    training.train_on(classifier, batches, validate, steps=steps, optimizer=optimizer, loss=loss)

    def read(new: np.ndarray) -> np.ndarray:
        log_probs = classifier.log_probs(new).astype(float)
        return log_probs[:, 1] - log_probs[:, 0]

    return read


def learn(kind: str, rows: np.ndarray, labels: np.ndarray, task: Task, seed: int) -> Reader:
    """Return the reader of one kind that these labelled texts make."""
    if kind in ("words", "pairs"):
        return logistic(rows, labels, task, pairs=kind == "pairs")
    if kind == "naive":
        return naive_bayes(rows, labels, task)
    if kind == "grams":
        return two_language_models(rows, labels, task)
    return network(kind, rows, labels, task, seed)
