"""Adversarial training of a language model: a critic's opinion as a reward, or as a gradient.

Generator and discriminator take turns. The discriminator learns to tell texts of the generator
from real ones, by cross-entropy. The generator learns to be taken for real, in one of two ways:

- *policy gradient*: texts are drawn, and the probability "real" is a reward. The gradient of the
  expected reward is that of a token cross-entropy weighted by advantages.
- *Gumbel-softmax*: texts are relaxed, so that the discriminator's logit has a gradient.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_rows
from textgen_utils.models.gan import Discriminator, gumbel_noise
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.relaxed import Drawer, Relaxed
from textgen_utils.training.critic import Critic, balanced_accuracy, check_counts, critic_loss
from textgen_utils.training.optimizer import adam
from textgen_utils.training.reinforce import advantages, reinforce, sum_loss, text_values

VANISHED = 1e-4  # rewards that differ by less teach nothing


@dataclass
class History:
    """What an adversarial run writes down, one entry a step of the generator.

    Attributes:
        reward: mean probability "real" of the generator's texts.
        spread: standard deviation of these.
        accuracy: the critic's share of right answers on the step's real and own texts, half and
            half, before it learns from them. It may know the real ones from earlier steps.
        updated: whether the generator learned; not, if the reward had vanished.
        seconds: time since the start, compilation included.
        observed: step and result of each call of `observe`.
    """

    reward: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    updated: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    observed: list[tuple[int, Any]] = field(default_factory=list)


def train_policy_gradient(
    generator: LSTMLanguageModel,
    discriminator: Critic,
    rows: ArrayLike,
    *,
    steps: int,
    batch_size: int = 64,
    rollouts: int = 4,
    prefixes: int = 3,
    learning_rate: float = 1e-3,
    critic_first: int = 100,
    critic_steps: int = 2,
    observe: Callable[[int], Any] | None = None,
    observe_every: int = 10,
    seed: int,
) -> History:
    """Train a generator by REINFORCE on the probability that its texts are taken for real.

    Args:
        generator: pretrained; it is changed.
        discriminator: a `Discriminator` learns on the way; any other critic stays as it is.
        rows: real texts, ints (n, time), filled up with the boundary: see `batches.lines`.
        steps: updates of the generator.
        batch_size: its texts a step, and the real and own texts of a step of the discriminator.
        rollouts: completions of a prefix whose mean reward is the prefix's value.
        prefixes: places of a text, evenly spread, at which its prefix is valued; see `advantages`.
        learning_rate: of Adam, for the generator; the discriminator has 1e-3.
        critic_first, critic_steps: steps of the discriminator before the first update, and before
            each further one.
        observe: called with the step, before the first, every `observe_every` and after the last.
        seed: draws all texts.

    Raises:
        ValueError: no rows, ids out of range, or a number out of range.
        FloatingPointError: if a critic's answer is not a finite number.

    Warns:
        RuntimeWarning: once, when all rewards of a step are equal within 1e-4, as they are when
            the discriminator wins. There is nothing to learn from them, and such a step is left
            out: Adam would make a full step of the rounding errors.

    Source: L. Yu et al., "SeqGAN", 2017; R. J. Williams, "Simple statistical gradient-following
    algorithms for connectionist reinforcement learning", 1992.
    """
    rows = check_rows(rows, generator.vocab_size)
    check_counts(rollouts=rollouts)
    rng, drawer = np.random.default_rng(seed), Drawer(generator, rows.shape[1])
    generator.compile(adam(learning_rate), sum_loss())

    def update() -> tuple[np.ndarray, bool]:
        texts = drawer(batch_size, rng)
        values = text_values(drawer, discriminator, texts, rng, rollouts, prefixes)
        alive = float(np.ptp(values)) > VANISHED
        if alive:
            reinforce(generator, texts, advantages(values, texts, generator.boundary))
        return values[:, -1], alive

    turns = _Turns(discriminator, rows, lambda n: drawer(n, rng), batch_size, rng)
    return turns.run(update, steps, critic_first, critic_steps, observe, observe_every)


def train_gumbel(
    generator: LSTMLanguageModel,
    discriminator: Discriminator,
    rows: ArrayLike,
    *,
    steps: int,
    batch_size: int = 64,
    temperature: float = 1.0,
    straight_through: bool = False,
    learning_rate: float = 1e-3,
    critic_first: int = 100,
    critic_steps: int = 2,
    observe: Callable[[int], Any] | None = None,
    observe_every: int = 10,
    seed: int,
) -> History:
    """Train a generator by the gradient of the discriminator's logit for relaxed texts.

    The generator minimises -log D (the loss that does not saturate). The discriminator learns
    from drawn texts, or, without `straight_through`, from relaxed ones: else it would tell them
    from real ones by the mere look of a mixture. What is not listed is as for
    `train_policy_gradient`.

    Args:
        temperature: of the relaxation.
        straight_through: judge drawn texts, with the gradient of relaxed ones.

    Raises:
        ValueError: as `train_policy_gradient`; or the temperature is not positive and finite.
        FloatingPointError: as `train_policy_gradient`.

    Warns:
        RuntimeWarning: as `train_policy_gradient`; such a step is left out.

    Source: M. J. Kusner and J. M. Hernandez-Lobato, "GANs for sequences of discrete elements with
    the Gumbel-softmax distribution", 2016.
    """
    rows = check_rows(rows, generator.vocab_size)
    if not 0 < temperature < float("inf"):
        raise ValueError(f"the temperature must be positive and finite, got {temperature}")
    rng = np.random.default_rng(seed)
    relaxed = Relaxed(generator, straight_through=straight_through)
    relaxed.temperature.assign(temperature)
    frozen = Discriminator.from_config(discriminator.get_config())
    frozen.trainable = False
    judged = keras.Sequential([relaxed, frozen])
    judged.compile(adam(learning_rate), critic_loss())

    def noise(n: int) -> np.ndarray:
        return gumbel_noise((n, rows.shape[1], generator.vocab_size), rng)

    def update() -> tuple[np.ndarray, bool]:
        frozen.set_weights(discriminator.get_weights())
        put_in = noise(batch_size)
        logits = np.asarray(judged.predict_on_batch(put_in), np.float64)
        rewards = 0.5 * (1 + np.tanh(0.5 * logits))
        alive = float(rewards.max()) > VANISHED
        if alive:
            judged.train_on_batch(put_in, np.ones(batch_size, np.float32))
        return rewards, alive

    def draw(n: int) -> np.ndarray:
        return np.asarray(relaxed.predict_on_batch(noise(n)))

    turns = _Turns(discriminator, rows, draw, batch_size, rng)
    return turns.run(update, steps, critic_first, critic_steps, observe, observe_every)


@dataclass
class _Turns:
    """The turns of critic and generator, the same for both ways."""

    critic: Critic
    rows: np.ndarray
    draw: Callable[[int], np.ndarray]
    batch_size: int
    rng: np.random.Generator

    def run(
        self,
        update: Callable[[], tuple[np.ndarray, bool]],
        steps: int,
        first: int,
        further: int,
        observe: Callable[[int], Any] | None,
        every: int,
    ) -> History:
        check_counts(steps=steps, observe_every=every)
        check_counts(least=2, batch_size=self.batch_size)
        check_counts(least=0, critic_first=first, critic_steps=further)
        if isinstance(self.critic, keras.Model):
            self.critic.compile(adam(1e-3), critic_loss())
        history, began = History(), time.perf_counter()
        for step in range(steps):
            if observe is not None and step % every == 0:
                history.observed.append((step, observe(step)))
            history.accuracy.append(self._learn(further if step else first))
            rewards, alive = update()
            if not np.isfinite(rewards).all():
                raise FloatingPointError(f"step {step}: the critic's answers are not finite")
            if not alive and all(history.updated):
                _warn(step, rewards)
            history.updated.append(alive)
            history.reward.append(float(rewards.mean()))
            history.spread.append(float(rewards.std()))
            history.seconds.append(time.perf_counter() - began)
        if observe is not None:
            history.observed.append((steps, observe(steps)))
        return history

    def _learn(self, steps: int) -> float:
        """Return the critic's accuracy on new texts, and then let it learn."""
        labels = np.repeat([1.0, 0.0], self.batch_size).astype(np.float32)
        accuracy = balanced_accuracy(self.critic, self._texts(), labels)
        if isinstance(self.critic, keras.Model):
            for _ in range(steps):
                self.critic.train_on_batch(self._texts(), labels)
        return accuracy

    def _texts(self) -> np.ndarray:
        """Return as many real texts as own ones, in the form of the own ones."""
        own = self.draw(self.batch_size)
        real = self.rows[self.rng.integers(len(self.rows), size=self.batch_size)]
        if own.ndim == 3:
            real = np.eye(own.shape[-1], dtype=own.dtype)[real]
        return np.concatenate([real, own])


def _warn(step: int, rewards: np.ndarray) -> None:
    warnings.warn(
        f"step {step}: the reward has vanished, with a mean of {rewards.mean():.2g} and a "
        f"standard deviation of {rewards.std():.2g}: the critic gives all texts the same answer. "
        "Such steps are left out. Give the discriminator fewer steps, or pretrain the generator.",
        RuntimeWarning,
        stacklevel=4,
    )
