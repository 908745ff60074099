"""Baum-Welch: expectation maximisation for a hidden Markov model, over many lines at once.

Source: L. Baum, T. Petrie, G. Soules and N. Weiss, "A maximization technique occurring in the
statistical analysis of probabilistic functions of Markov chains", 1970; A. Dempster, N. Laird and
D. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977, for alpha.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textgen_utils.batches import lines
from textgen_utils.models.hmm_passes import Tables, smooth

_LINES = 512  # lines side by side


def random_tables(states: int, counts: np.ndarray, seed: int) -> Tables:
    """Where Baum-Welch begins.

    Args:
        states: number of hidden states.
        counts: of the tokens, at least one positive, shape (vocab_size,).
        seed: chooses the tables.

    Returns:
        Rows of `start` and `transition` uniform over all distributions; rows of `emission` the
        frequencies of the tokens, each times a random factor.
    """
    rng = np.random.default_rng(seed)
    emission = counts * rng.exponential(size=(states, len(counts)))
    return Tables(
        rng.dirichlet(np.ones(states)),
        rng.dirichlet(np.ones(states), size=states),
        emission / emission.sum(axis=1, keepdims=True),
    )


def baum_welch(
    tables: Tables, ids: np.ndarray, boundary: int, steps: int, tolerance: float, alpha: float
) -> tuple[Tables, list[float]]:
    """Repeat: expected counts under the tables, then their frequencies as the new tables.

    Args:
        tables: where to begin.
        ids: a text of lines, shape (time,).
        boundary: ends a line.
        steps: at most so many.
        tolerance: stop when a step gained less than this, nats per token.
        alpha: added to each expected count. A row without counts stays as it is.

    Returns:
        The new tables, and the log-likelihood before the first and after each step, nats per token.

    Raises:
        ValueError: the tables give the text probability 0.
    """
    parts = list(_side_by_side(ids, boundary))
    counts, before = expected_counts(tables, parts)
    history = [before / len(ids)]
    for _ in range(steps):
        tables = Tables(
            *(_frequencies(c + alpha, old) for c, old in zip(counts, tables, strict=True))
        )
        counts, log_likelihood = expected_counts(tables, parts)
        history.append(log_likelihood / len(ids))
        if history[-1] - history[-2] < tolerance:
            break
    return tables, history


def expected_counts(
    tables: Tables, parts: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[Tables, float]:
    """How often each event of the three tables is expected to have happened, given the lines.

    Args:
        tables: the model.
        parts: (rows, mask) as `batches.lines` returns them, some lines each.

    Returns:
        Counts in the places of the probabilities, and the log-likelihood of all lines, nats.

    Raises:
        ValueError: the tables give one of the lines probability 0.
    """
    counts, total = Tables(*(np.zeros_like(table) for table in tables)), 0.0
    for rows, mask in parts:
        posterior, moves, log_likelihood = smooth(tables, rows, mask)
        counts.start[:] += posterior[0].sum(axis=0)
        counts.transition[:] += moves
        counts.emission[:] += _sum_by_token(posterior[mask.T], rows.T[mask.T], counts.emission)
        total += log_likelihood
    return counts, total


def _side_by_side(ids: np.ndarray, boundary: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lines of similar lengths together, so that little is computed for what is no token."""
    rows, mask = lines(ids, boundary)
    order = np.argsort(mask.sum(axis=1), kind="stable")
    for begin in range(0, len(order), _LINES):
        chosen = order[begin : begin + _LINES]
        longest = mask[chosen].sum(axis=1).max()
        yield rows[chosen, :longest], mask[chosen, :longest]


def _sum_by_token(weights: np.ndarray, tokens: np.ndarray, like: np.ndarray) -> np.ndarray:
    """From weights (n, states) of tokens (n,) to their sums (states, vocab_size)."""
    order = np.argsort(tokens, kind="stable")
    present, first = np.unique(tokens[order], return_index=True)
    sums = np.zeros_like(like)
    sums[:, present] = np.add.reduceat(weights[order], first, axis=0).T
    return sums


def _frequencies(count: np.ndarray, old: np.ndarray) -> np.ndarray:
    total = count.sum(axis=-1, keepdims=True)
    return np.where(total > 0, count / np.where(total > 0, total, 1.0), old)
