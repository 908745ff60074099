"""A GPT that is told the last characters outright, and a recipe with which it learns in seconds.

The first thousand steps of nanoGPT's run teach its attention little more than to look at the last
few characters. Here each position is given these at once, as vectors of their own, and one block
is enough. The other gains: Muon, steps of twice as many windows, and a schedule as long as the
way to the loss that is wanted. All of it was chosen on the last twentieth of the training text.

Source of the characters handed on: Y. Bengio et al., "A neural probabilistic language model",
2003; of Muon: see `textgen_utils.training.muon`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from textgen_utils import training
from textgen_utils.losses import log_likelihood
from textgen_utils.models.compiled import Compiled, call_in_batches
from textgen_utils.models.transformer import GPT, normal

WINDOWS_A_CALL = 250


class QuickGPT(GPT):
    """A `GPT` whose position t also holds a vector for each of the characters t - 1, t - 2, ...

    It reads whole windows only: there is no `step`.

    Args:
        past: how many characters before its own a position is told.
        sizes: those of `GPT`.
    """

    def __init__(self, vocab_size: int, *, past: int, seed: int, **sizes: int) -> None:
        self._past, self._past_seed = past, seed
        super().__init__(vocab_size, boundary=0, seed=seed, **sizes)

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time), of which nothing is used."""
        if self.built:
            return
        rows = self._past * (
            self.vocab_size + 1
        )  # a table for each distance; the last row: nothing
        self.past = layers.Embedding(rows, self.width, normal(0.02, self._past_seed))
        self.past.build((None, None))
        super().build(input_shape)

    def embed(self, ids: Any) -> Any:
        """Return the sum of all vectors of each position, (batch, time, width)."""
        x = super().embed(ids)
        for distance in range(1, self._past + 1):
            shifted = ops.pad(
                ids[:, :-distance], [[0, 0], [distance, 0]], constant_values=self.vocab_size
            )
            x = x + self.past(shifted + (distance - 1) * (self.vocab_size + 1))
        return x

    def step(self, tokens: Any, state: Any) -> Any:
        """Refuse: a `Cache` does not know the characters before.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("QuickGPT reads whole windows only")

    def begin(self, batch_size: int, size: int) -> Any:
        """Refuse, as `step` does.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("QuickGPT reads whole windows only")


class QuickRun:
    """A run of the recipe on a text.

    Args:
        ids: the training text, ints, shape (time,).
        vocab_size: the number of tokens.
        seed: draws the initial weights and the windows.
        settings: "context", "width", "heads", "depth" and "past" of the model, "batch" (windows a
            step), "steps", "rate" (the peak of a cosine that ends at a twentieth of it), and
            "warmup" (steps).
    """

    def __init__(
        self, ids: np.ndarray, vocab_size: int, *, seed: int, settings: dict[str, Any]
    ) -> None:
        self.ids = np.asarray(ids, np.int32)
        self.rng = np.random.default_rng(seed)
        self.context, self.batch = settings["context"], settings["batch"]
        self.planned = settings["steps"]
        sizes = {name: settings[name] for name in ("width", "heads", "depth", "past")}
        self.model = QuickGPT(vocab_size, max_context=self.context, seed=seed, **sizes)
        rate = training.warmup_cosine(
            settings["rate"], self.planned, warmup=settings["warmup"], final=0.05
        )
        self.model.compile(training.muon(rate), training.token_loss(), jit_compile=True)
        self._scores = token_scores(self.model)
        backend = keras.config.backend()
        self.facts = {
            "version": f"Keras {keras.version()}, {backend} {sys.modules[backend].__version__}",
            "parameters": self.model.count_params(),
            "settings": settings,
        }

    def steps(self) -> Iterator[None]:
        """Do a step of training for each item asked for; it is done when the item comes."""
        while True:
            start = self.rng.integers(len(self.ids) - self.context, size=self.batch)
            rows = self.ids[start[:, None] + np.arange(self.context + 1)]
            self.model.train_on_batch(rows[:, :-1], rows[:, 1:])
            yield

    def loss(self, windows: np.ndarray) -> float:
        """Return the mean loss of windows, ints, (n, time + 1); nats per token."""
        windows = np.asarray(windows, np.int32)
        scores = call_in_batches(self._scores, WINDOWS_A_CALL, windows[:, :-1], windows[:, 1:])
        return -float(np.mean(scores, dtype=np.float64))


def token_scores(model: keras.Model) -> Compiled:
    """Return log p of what follows each position: ids and targets, (batch, time), to nats."""
    return Compiled(model, lambda ids, targets: log_likelihood(targets, model(ids)))
