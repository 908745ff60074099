"""The policy gradient of a language model: a token cross-entropy weighted by advantages."""

from __future__ import annotations

import keras
import numpy as np

from textgen_utils.models.base import until_boundary
from textgen_utils.models.compiled import shift_right
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.relaxed import Drawer
from textgen_utils.training.critic import Critic
from textgen_utils.training.run import TokenLoss


def places(time: int, prefixes: int) -> np.ndarray:
    """Return where the prefixes end, in tokens, evenly spread over a row, and the row's end."""
    if not 0 <= prefixes < time:
        raise ValueError(f"prefixes must be from 0 to {time - 1} for rows of {time}: {prefixes}")
    return np.round(np.linspace(0, time, prefixes + 2)[1:]).astype(int)


def text_values(
    drawer: Drawer,
    critic: Critic,
    texts: np.ndarray,
    rng: np.random.Generator,
    rollouts: int,
    prefixes: int,
) -> np.ndarray:
    """Value the prefixes of texts by completing them: the expected reward after each.

    Args:
        drawer: the model that wrote the texts completes them.
        critic: its probabilities are the rewards.
        texts: ints, (n, time).
        rng: draws the completions.
        rollouts: completions of each prefix.
        prefixes: how many of each text, see `places`.

    Returns:
        floats, (n, prefixes + 1): the mean reward of the completions of each prefix; the last
        column is the reward of the text itself.
    """
    n, values = len(texts), []
    for place in places(texts.shape[1], prefixes)[:-1]:
        begun = np.repeat(texts[:, :place], rollouts, axis=0)
        rewards = critic.probabilities(drawer(n * rollouts, rng, begun))
        values.append(rewards.reshape(n, rollouts).mean(axis=1))
    return np.stack([*values, critic.probabilities(texts)], axis=1)


def advantages(values: np.ndarray, texts: np.ndarray, boundary: int) -> np.ndarray:
    """Return by how much each token's choice changed the expected reward, as far as it is known.

    A token between two places has the value at the second minus the value at the first. The value
    at the first depends on what stands before the token only, so it is a baseline that leaves the
    gradient's expectation as it is. Before the first place the baseline is the mean of the other
    texts' values there.

    Args:
        values: see `text_values`; at least two texts.
        texts: ints, (n, time).
        boundary: the id that ends a text; what follows an end has the advantage 0.

    Returns:
        floats, (n, time).

    Raises:
        ValueError: if there are fewer than two texts.
    """
    n, time = texts.shape
    if n < 2:
        raise ValueError(f"the baseline needs at least two texts, got {n}")
    others = (values[:, :1].sum() - values[:, :1]) / (n - 1)
    steps = np.diff(np.concatenate([others, values], axis=1), axis=1)
    ends = places(time, values.shape[1] - 1)
    part = np.searchsorted(ends, np.arange(time), side="right")
    return np.where(until_boundary(texts, boundary), steps[:, part], 0.0)


def sum_loss() -> keras.losses.Loss:
    """Return the token cross-entropy, summed: advantages may sum to 0, which is no divisor."""
    return TokenLoss(reduction="sum")


def reinforce(generator: LSTMLanguageModel, texts: np.ndarray, weights: np.ndarray) -> None:
    """Make one step along the policy gradient, the mean over texts of weight times grad log q.

    Args:
        generator: compiled with `sum_loss`.
        texts: ints, (n, time), drawn from it.
        weights: advantages, (n, time).

    Source: R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning", 1992.
    """
    read = shift_right(texts, generator.boundary)
    generator.train_on_batch(read, texts, (weights / len(texts)).astype(np.float32))
