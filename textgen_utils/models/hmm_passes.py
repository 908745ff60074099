"""What is computed along the lines of a text for a hidden Markov model: forward, backward, Viterbi.

All functions work on many lines at once, time first. Where a line has ended, every state has the
likelihood 1: then nothing more is learned of it, and its scale is 1.

Source: L. Rabiner, "A tutorial on hidden Markov models and selected applications in speech
recognition", 1989, the scaling as in its section V.A; A. Viterbi, "Error bounds for convolutional
codes and an asymptotically optimum decoding algorithm", 1967.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Tables(NamedTuple):
    """The three tables of a model with S states and V tokens, float64.

    Attributes:
        start: p(first state), shape (S,).
        transition: p(next state | state), a row a state, shape (S, S).
        emission: p(token | state), a row a state, shape (S, V).
    """

    start: np.ndarray
    transition: np.ndarray
    emission: np.ndarray


def checked_tables(start: ArrayLike, transition: ArrayLike, emission: ArrayLike) -> Tables:
    """Return copies as `Tables`; ValueError unless they fit and every row is a distribution."""
    tables = Tables(*(np.array(table, np.float64) for table in (start, transition, emission)))
    states, tokens = tables.start.size, tables.emission.shape[-1] if tables.emission.ndim else 0
    shapes = [table.shape for table in tables]
    if not states or shapes != [(states,), (states, states), (states, tokens)]:
        raise ValueError(f"start, transition and emission must fit together; got shapes {shapes}")
    for name, table in tables._asdict().items():
        if not ((table >= 0).all() and np.allclose(table.sum(axis=-1), 1)):
            raise ValueError(f"each row of {name} must be at least 0 and sum to 1; got {table}")
    return tables


def forward(tables: Tables, rows: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read all lines from left to right.

    Args:
        tables: the model.
        rows, mask: ints and bools, shape (n, time), as `batches.lines` returns them.

    Returns:
        filtered: p(state at t | tokens up to t), shape (time, n, S); zeros from an impossible
            token on.
        scale: p(token t | tokens before t), shape (time, n): along a line their product is its
            probability.
    """
    likelihood = _likelihood(tables.emission, rows, mask)
    filtered, scale = np.empty_like(likelihood), np.empty(likelihood.shape[:2])
    belief = np.broadcast_to(tables.start, likelihood.shape[1:])
    for t, seen in enumerate(likelihood):
        filtered[t], scale[t] = observe(belief, seen)
        belief = filtered[t] @ tables.transition
    return filtered, scale


def observe(belief: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bayes' rule for one token: p(state | token) and p(token).

    Args:
        belief: p(state), shape (n, S).
        seen: p(token | state), same shape.

    Returns:
        posterior: shape (n, S); zeros where the token is impossible.
        scale: shape (n,).
    """
    joint = belief * seen
    scale = joint.sum(axis=1)
    return joint / np.where(scale > 0, scale, 1.0)[:, None], scale


def smooth(
    tables: Tables, rows: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Read all lines from left to right and back.

    Args:
        tables, rows, mask: see `forward`.

    Returns:
        posterior: p(state at t | whole line), shape (time, n, S).
        moves: expected number of moves from state to state within lines, shape (S, S).
        log_likelihood: of all lines, nats.

    Raises:
        ValueError: a line has probability 0.
    """
    filtered, scale = forward(tables, rows, mask)
    if not scale.all():
        raise ValueError("the model gives the text probability 0: no states can be behind it")
    likelihood = _likelihood(tables.emission, rows, mask)
    posterior, moves = np.empty_like(filtered), np.zeros_like(tables.transition)
    after = np.ones(likelihood.shape[1:])  # p(tokens after t | state), in units of their scales
    for t in range(len(likelihood) - 1, 0, -1):
        posterior[t] = filtered[t] * after
        reached = likelihood[t] * after / scale[t][:, None]
        moves += filtered[t - 1].T @ (reached * mask[:, t, None])
        after = reached @ tables.transition.T
    posterior[0] = filtered[0] * after
    return posterior, moves * tables.transition, float(np.log(scale).sum())


def viterbi(tables: Tables, rows: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable path of each line; among equals the lower state.

    Args:
        tables, rows, mask: see `forward`.

    Returns:
        path: ints, shape (time, n); where a line has ended, its last state.
        log_prob: log p(path, line), nats, shape (n,).
    """
    with np.errstate(divide="ignore"):
        start, transition = np.log(tables.start), np.log(tables.transition)
        likelihood = np.log(_likelihood(tables.emission, rows, mask))
    best, came_from, states = start + likelihood[0], [], np.arange(len(start))
    for seen, within in zip(likelihood[1:], mask.T[1:, :, None], strict=True):
        # One state to go to at a time: all at once would take (n, S, S) numbers.
        ways = [best + transition[:, to] for to in states]
        came = np.stack([way.argmax(axis=1) for way in ways], axis=1)
        value = np.stack([way.max(axis=1) for way in ways], axis=1) + seen
        came_from.append(np.where(within, came, states))
        best = np.where(within, value, best)
    path = [best.argmax(axis=1)]
    for came in reversed(came_from):
        path.append(np.take_along_axis(came, path[-1][:, None], axis=1)[:, 0])
    return np.array(path[::-1]), best.max(axis=1)


def _likelihood(emission: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """p(token | state), shape (time, n, S), and 1 where the mask is false."""
    likelihood = emission.T[rows.T]
    likelihood[~mask.T] = 1.0
    return likelihood
