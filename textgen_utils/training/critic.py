"""A critic of texts: how it learns, and how often it is right."""

from __future__ import annotations

from numbers import Integral
from typing import Protocol

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.evaluation import text_log_probs
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.gan import Discriminator
from textgen_utils.training.optimizer import adam


class Critic(Protocol):
    """Judges texts; a `Discriminator` does, and anything else that can."""

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Return the probability that each text is real, (n,)."""


class PerfectCritic:
    """The critic that no other surpasses: p / (p + q), where the truth p is known.

    Args:
        truth: a language model that knows the probability of every text.
        model: the generator q, with the weights that it has at the time.

    Source: I. Goodfellow et al., "Generative adversarial nets", 2014, proposition 1.
    """

    def __init__(self, truth: LanguageModel, model: LanguageModel) -> None:
        self.truth, self.model = truth, model

    def probabilities(self, rows: ArrayLike) -> np.ndarray:
        """Return p / (p + q) of each text, (n,); 0 for a row without an end."""
        log_p, log_q = (text_log_probs(model, rows) for model in (self.truth, self.model))
        possible = log_p > -np.inf
        gap = np.where(possible, log_p, 0.0) - np.where(possible, log_q, 0.0)
        return np.where(possible, 0.5 * (1 + np.tanh(0.5 * gap)), 0.0)


def critic_loss() -> keras.losses.Loss:
    """Return the cross-entropy of a logit and a label, 1 for real, nats a text."""
    return keras.losses.BinaryCrossentropy(from_logits=True)


def train_discriminator(
    discriminator: Discriminator,
    rows: ArrayLike,
    labels: ArrayLike,
    *,
    steps: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int,
) -> list[float]:
    """Train a critic on texts whose origin is known, with Adam.

    Args:
        discriminator: is changed.
        rows: texts, ints (n, time).
        labels: (n,), 1 for real and 0 for written by a model; both must occur.
        steps: training steps.
        batch_size: texts a step, half of each kind.
        learning_rate: of Adam.
        seed: chooses the texts.

    Returns:
        the loss of each step, nats a text; log 2 is that of a coin.

    Raises:
        ValueError: no rows, ids out of range, labels of one class only or of another shape.
    """
    rows, labels = np.asarray(rows), check_labels(rows, labels)
    check_counts(steps=steps, half_a_batch=batch_size // 2)
    discriminator.compile(adam(learning_rate), critic_loss())
    rng, half = np.random.default_rng(seed), batch_size // 2
    kinds = [np.flatnonzero(labels == label) for label in (1, 0)]
    target, losses = np.repeat([1.0, 0.0], half).astype(np.float32), []
    for _ in range(steps):
        chosen = np.concatenate([rng.choice(kind, half) for kind in kinds])
        losses.append(float(discriminator.train_on_batch(rows[chosen], target)))
    return losses


def balanced_accuracy(critic: Critic, rows: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of right answers, the mean of that on real texts and that on written ones.

    No critic can expect more than (1 + TV) / 2, where TV is the total variation distance between
    the two distributions: so 2 accuracy - 1 is a lower bound of it. The critic
    p / (p + q) reaches that. An answer of exactly 0.5 counts half.

    Args:
        critic: judges the texts.
        rows: texts as the critic reads them, (n, time) or (n, time, vocab).
        labels: (n,), 1 for real and 0 for written; both must occur.

    Raises:
        ValueError: labels of one class only or of another shape.
    """
    labels = check_labels(rows, labels)
    opinion = np.sign(critic.probabilities(np.asarray(rows)) - 0.5)
    right = 0.5 + 0.5 * opinion * np.where(labels == 1, 1, -1)
    return float((right[labels == 1].mean() + right[labels == 0].mean()) / 2)


def check_labels(rows: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return the labels of texts, (n,); ValueError unless both 0 and 1 occur, and nothing else."""
    labels = np.asarray(labels)
    if labels.shape != (len(np.asarray(rows)),):
        raise ValueError(f"got labels of shape {labels.shape} for {len(np.asarray(rows))} texts")
    if set(np.unique(labels).tolist()) != {0, 1}:
        found = np.unique(labels).tolist()
        raise ValueError(f"labels must be 1 for real and 0 for written, both; got only {found}")
    return labels


def check_counts(least: int = 1, **counts: int) -> None:
    """Raise ValueError unless all are integers of at least `least`."""
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {count!r}")
