"""Points behind texts: drawing them, their distance from the prior, the texts of a point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_ids, check_rows
from textgen_utils.models.compiled import Compiled, shift_right

Tensor = Any
State = list[np.ndarray]

# Texts are filled up to a multiple of this, so that few shapes are compiled.
STRIDE = 8


def reparametrise(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """Return a draw from N(mean, exp(log_var)) as a function of standard normal noise.

    All of one shape. The draw depends on mean and log_var by this formula and on nothing else, so
    that its gradient with respect to them exists.

    Source: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", 2014.
    """
    return mean + ops.exp(log_var / 2) * noise


def kl_from_prior(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_var)) || N(0, 1)) of each entry, nats; all of one shape."""
    return (ops.square(mean) + ops.exp(log_var) - 1.0 - log_var) / 2.0


class Writer(Protocol):
    """What `AtPoint` asks of a model: see `vae.VAE`."""

    vocab_size: int
    boundary: int

    def start(self, z: Tensor) -> list[Tensor]:
        """Return the first h and c, each (batch, width)."""
        ...

    def advance(self, tokens: Tensor, z: Tensor, h: Tensor, c: Tensor) -> list[Tensor]:
        """Read a token each; return log-probabilities (batch, vocab_size), h and c."""
        ...

    def log_likelihood(self, ids: Tensor, shifted: Tensor, z: Tensor) -> Tensor:
        """Return log p of every token, (batch, time), nats."""
        ...

    def compiled_call(self, name: str, function: Callable[..., Any]) -> Compiled:
        """Return a function compiled."""
        ...


class AtPoint:
    """The texts of some points z, as a language model in the sense of `models.base`.

    Row i of every batch belongs to point i; with k times as many rows as points, rows i * k to
    i * k + k - 1 do, so that a search may follow k hypotheses of each point.

    Args:
        model: writes from points.
        z: floats, (n, latent).

    Attributes:
        vocab_size, boundary, max_context: as in `models.base.LanguageModel`.
        z: the points, float32.
    """

    max_context = None

    def __init__(self, model: Writer, z: np.ndarray) -> None:
        self.vocab_size = model.vocab_size
        self.boundary = model.boundary
        self.z = z
        self._start = model.compiled_call("start", model.start)
        self._step = model.compiled_call("step", model.advance)
        self._score = model.compiled_call("score", model.log_likelihood)

    def initial_state(self, batch_size: int) -> State:
        """Return [z, h, c] before anything is written, for a multiple of as many rows as points."""
        z = self._repeated(batch_size)
        return [z, *self._start(z)]

    def step(self, tokens: ArrayLike, state: State) -> tuple[np.ndarray, State]:
        """Read one token of each text: see `models.base.LanguageModel`. NumPy in and out."""
        tokens = check_ids(tokens, self.vocab_size, ndim=1)
        log_probs, *new = self._step(tokens, *state)
        return log_probs, [state[0], *new]

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p(token | z, those before) of every token: see `models.base.LanguageModel`.

        Raises:
            ValueError: if the rows are no multiple of the points, or an id is out of range.
        """
        ids = check_ids(ids, self.vocab_size, ndim=2)
        return self._score(ids, shift_right(ids, self.boundary), self._repeated(len(ids)))

    def _repeated(self, batch_size: int) -> np.ndarray:
        times, rest = divmod(batch_size, len(self.z))
        if rest or not times:
            raise ValueError(
                f"the batch must be a multiple of the {len(self.z)} points, got {batch_size}"
            )
        return np.repeat(self.z, times, axis=0)


def check_points(z: ArrayLike, latent: int) -> np.ndarray:
    """The points as float32, (n, latent); ValueError if they are not points of that size."""
    z = np.asarray(z)
    if z.ndim != 2 or z.shape[1] != latent or not len(z) or z.dtype.kind not in "fiu":
        raise ValueError(f"z must be numbers of shape (n, {latent}), got {z.dtype} {z.shape}")
    if not np.isfinite(z).all():
        raise ValueError("z must be finite")
    return z.astype(np.float32)


def check_texts(ids: ArrayLike, vocab_size: int, boundary: int) -> np.ndarray:
    """The texts as int32, (n, time), each filled up with the boundary after its first one.

    The time is a multiple of `STRIDE`.

    Raises:
        ValueError: no texts, an empty one, one without a boundary, or an id out of range.
    """
    ids = check_rows(ids, vocab_size)
    ends = ids == boundary
    for wrong, what in ((ends[:, 0], "is empty"), (~ends.any(axis=1), "has no boundary")):
        if wrong.any():
            raise ValueError(f"text {wrong.argmax()} {what}: a text is tokens, then a boundary")
    ids = np.where(np.cumsum(ends, axis=1) > 0, boundary, ids)
    return np.pad(ids, [(0, 0), (0, -ids.shape[1] % STRIDE)], constant_values=boundary)
