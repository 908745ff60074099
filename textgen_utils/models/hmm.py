"""A hidden Markov model with discrete tokens: a language model whose state is a belief.

Source: L. Rabiner, "A tutorial on hidden Markov models and selected applications in speech
recognition", 1989.
"""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.batches import lines
from textgen_utils.models import hmm_passes as passes
from textgen_utils.models.archive import read_arrays, write_arrays
from textgen_utils.models.base import check_ids, log
from textgen_utils.models.hmm_fit import baum_welch, random_tables


class HMM:
    """Each line is written by a walk through hidden states, a token a state. A `LanguageModel`.

    A line begins in a state drawn from `start`, writes a token drawn from that state's row of
    `emission`, moves on by the state's row of `transition`, and so on until the token is the
    boundary. Lines are independent of each other. As a language model its state is a belief: the
    distribution of the hidden state in which the next token will be written, given the line so
    far. A token that no reachable state writes has probability 0, and so has the rest of its line.

    Args:
        states: number of hidden states S, at least 1.
        vocab_size: number of tokens V.
        boundary: id that ends a line.
        alpha: what a fit adds to each expected count; above 0, nothing becomes impossible.

    Attributes:
        log_likelihoods: log-likelihood of the training text at the start of the fit and after each
            of its steps, nats per token; `improve` adds its own.

    Raises:
        ValueError: an argument out of range.
    """

    max_context = None

    def __init__(self, states: int, vocab_size: int, boundary: int, *, alpha: float = 0.0) -> None:
        if not isinstance(states, Integral) or states < 1:
            raise ValueError(f"states must be an integer of at least 1; got {states!r}")
        if not 0 <= boundary < vocab_size:
            raise ValueError(f"boundary must lie in [0, {vocab_size}); got {boundary}")
        if not 0 <= alpha < np.inf:
            raise ValueError(f"alpha must be at least 0 and finite; got {alpha}")
        self.states = int(states)
        self.vocab_size = vocab_size
        self.boundary = boundary
        self.alpha = alpha
        self.log_likelihoods: list[float] = []
        self._tables: passes.Tables | None = None

    def __repr__(self) -> str:
        return f"HMM(states={self.states}, V={self.vocab_size})"

    @classmethod
    def from_tables(
        cls, start: ArrayLike, transition: ArrayLike, emission: ArrayLike, boundary: int
    ) -> HMM:
        """Return a model with given probabilities.

        Args:
            start, transition, emission: see `hmm_passes.Tables`.
            boundary: id that ends a line.

        Raises:
            ValueError: shapes that do not fit, or a row that is not a distribution.
        """
        tables = passes.checked_tables(start, transition, emission)
        model = cls(*tables.emission.shape, boundary)
        model._tables = tables
        return model

    @property
    def tables(self) -> passes.Tables:
        """The probabilities `start`, `transition` and `emission`; ValueError before a fit."""
        if self._tables is None:
            raise ValueError("this hidden Markov model is not fitted: call fit(ids, seed=...)")
        return self._tables

    def count_params(self) -> int:
        """Number of probabilities in the three tables."""
        return self.states * (1 + self.states + self.vocab_size)

    def fit(self, ids: ArrayLike, *, seed: int, steps: int = 50, tolerance: float = 1e-4) -> HMM:
        """Baum-Welch from a random start, see `hmm_fit.random_tables`.

        Args:
            ids: a text of lines, ints in [0, vocab_size), shape (time,), at least one.
            seed: chooses the start.
            steps, tolerance: see `improve`.

        Returns:
            The model itself.
        """
        counts = np.bincount(self._checked(ids), minlength=self.vocab_size)
        self._tables = random_tables(self.states, counts + self.alpha, seed)
        self.log_likelihoods = []
        return self.improve(ids, steps=steps, tolerance=tolerance)

    def improve(self, ids: ArrayLike, *, steps: int = 50, tolerance: float = 1e-4) -> HMM:
        """Baum-Welch from the present tables, on the same text or another.

        With alpha = 0 no step lowers the log-likelihood of the text. With alpha > 0 the same is
        true of the log-likelihood plus alpha times the sum of the logarithms of all tables.

        Args:
            ids: a text of lines, ints in [0, vocab_size), shape (time,), at least one.
            steps: at most so many, at least 1.
            tolerance: stop when a step gained less than this, nats per token; at least 0.

        Returns:
            The model itself.

        Raises:
            ValueError: an argument out of range, or a text that the present tables cannot write.
        """
        if not isinstance(steps, Integral) or steps < 1:
            raise ValueError(f"steps must be an integer of at least 1; got {steps!r}")
        if not 0 <= tolerance < np.inf:
            raise ValueError(f"tolerance must be at least 0 and finite; got {tolerance}")
        self._tables, history = baum_welch(
            self.tables, self._checked(ids), self.boundary, steps, tolerance, self.alpha
        )
        self.log_likelihoods += history
        return self

    def forward(self, ids: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Read a text of lines from left to right.

        Args:
            ids: ints in [0, vocab_size), shape (time,), at least one.

        Returns:
            filtered: p(state at t | its line up to t), shape (time, S); zeros from an impossible
                token to the end of its line.
            log_probs: log p(token t | its line before t), nats, shape (time,). Their sum is the
                log-likelihood of the text.

        Raises:
            ValueError: no ids, the wrong shape or type, or an id out of range.
        """
        rows, mask = lines(self._checked(ids), self.boundary)
        filtered, scale = passes.forward(self.tables, rows, mask)
        return filtered.transpose(1, 0, 2)[mask], log(scale.T[mask])

    def posterior(self, ids: ArrayLike) -> np.ndarray:
        """p(state at t | the whole line of t), float64, shape (time, S); `ids` as in `forward`.

        Raises:
            ValueError: as `forward`, or a text of probability 0.
        """
        rows, mask = lines(self._checked(ids), self.boundary)
        return passes.smooth(self.tables, rows, mask)[0].transpose(1, 0, 2)[mask]

    def viterbi(self, ids: ArrayLike) -> tuple[np.ndarray, float]:
        """Return the states that are jointly the most probable behind a text of lines.

        Args:
            ids: ints in [0, vocab_size), shape (time,), at least one.

        Returns:
            path: ints, shape (time,); among equals the lower state.
            log_prob: log p(path, text), nats; -inf if the text is impossible.
        """
        rows, mask = lines(self._checked(ids), self.boundary)
        path, log_prob = passes.viterbi(self.tables, rows, mask)
        return path.T[mask], float(log_prob.sum())

    def initial_state(self, batch_size: int) -> np.ndarray:
        """Nothing was read: the belief is `start`, float64, shape (batch, S)."""
        return np.tile(self.tables.start, (batch_size, 1))

    def step(self, tokens: ArrayLike, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read one token of each text and predict the next.

        Args:
            tokens: the tokens just read, ints, shape (batch,).
            state: p(state in which they were written | the line before them), shape (batch, S).

        Returns:
            Log-probabilities, float64, nats, shape (batch, vocab_size), and the new belief. After
            an impossible token all are -inf, until a boundary is read.
        """
        _, state = self._read(check_ids(tokens, self.vocab_size, ndim=1), state)
        return log(state @ self.tables.emission), state

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Log-probability of every token given those on its left, float64, nats.

        Args:
            ids: ints, shape (batch, time); each row begins a line. The result has its shape.
        """
        ids = check_ids(ids, self.vocab_size, ndim=2)
        p, state = np.empty(ids.shape), self.initial_state(len(ids))
        for t, tokens in enumerate(ids.T):
            p[:, t], state = self._read(tokens, state)
        return log(p)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to an .npz file, whole or not at all."""
        settings = {"boundary": self.boundary, "alpha": self.alpha}
        history = {"log_likelihoods": np.array(self.log_likelihoods)}
        write_arrays(path, {**self.tables._asdict(), **settings, **history})

    @classmethod
    def load(cls, path: str | Path) -> HMM:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds something else.
        """
        try:
            f = read_arrays(path)
            tables = (f[name] for name in passes.Tables._fields)
            model = cls.from_tables(*tables, boundary=int(f["boundary"]))
            model.alpha, model.log_likelihoods = float(f["alpha"]), f["log_likelihoods"].tolist()
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is not a hidden Markov model written by HMM.save") from error
        return model

    def _read(self, tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p(tokens), shape (batch,), and the belief after them."""
        start, transition, emission = self.tables
        filtered, p = passes.observe(state, emission.T[tokens])
        return p, np.where((tokens == self.boundary)[:, None], start, filtered @ transition)

    def _checked(self, ids: ArrayLike) -> np.ndarray:
        ids = check_ids(ids, self.vocab_size, ndim=1)
        if not ids.size:
            raise ValueError("a hidden Markov model needs at least one token; got an empty text")
        return ids
