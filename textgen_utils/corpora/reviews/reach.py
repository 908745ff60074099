"""What a reader that sees only the last few tokens can know at best."""

from __future__ import annotations

import numpy as np

from textgen_utils.corpora.reviews.automaton import Automaton
from textgen_utils.corpora.reviews.oracle import Oracle


def best_of_reach(automaton: Automaton, rows: np.ndarray, reach: int) -> np.ndarray:
    """The log-probabilities of the best predictor that sees the last `reach` tokens only.

    Where these do not begin with the boundary, it does not know at which state of the automaton
    they began; it expects each as often as reviews visit it.

    Args:
        automaton: the language.
        rows: ids of its symbols, (n, time), each row read from the boundary on.
        reach: tokens, at least 1.

    Returns:
        float64, (n, time), nats; NaN or -inf where the row goes on in a way that the language
        does not.

    Raises:
        ValueError: if the reach is below 1.
    """
    if reach < 1:
        raise ValueError(f"reach must be at least 1 token, got {reach}")
    a, size, p = automaton, len(automaton.symbols), np.exp(automaton.log_prob)
    visits = _visits(automaton)
    text, place = np.nonzero(np.arange(rows.shape[1]) >= np.full((len(rows), 1), reach))
    # Every arc that carries the first token that is seen, and its weight.
    order = np.argsort(a.symbol, kind="stable")
    begins = np.searchsorted(a.symbol[order], np.arange(size + 1))
    first = rows[text, place - reach]
    counts = np.diff(begins)[first]
    window = np.repeat(np.arange(len(text)), counts)
    skipped = np.repeat(begins[first] - np.cumsum(counts) + counts, counts)
    arc = order[skipped + np.arange(len(window))]
    state, weight = a.target[arc], visits[a.source[arc]] * p[arc]
    key = a.source * size + a.symbol  # sorted
    for back in range(reach - 1, -1, -1):
        seen = np.bincount(window, weight, len(text))
        wanted = state * size + rows[text, place - back][window]
        arc = np.searchsorted(key, wanted).clip(max=len(key) - 1)
        found = key[arc] == wanted
        arc, window, weight = arc[found], window[found], weight[found]
        state, weight = a.target[arc], weight * p[arc]
    result = Oracle(a).score(rows)
    with np.errstate(divide="ignore", invalid="ignore"):  # what follows the end of a review
        result[text, place] = np.log(np.bincount(window, weight, len(text)) / seen)
    return result


def _visits(a: Automaton) -> np.ndarray:
    """How often a text visits each state, (states,): 0 or 1 times, so a probability."""
    visits = np.eye(1, a.states)[0]
    p = np.exp(a.log_prob)
    first = np.searchsorted(a.source, np.arange(a.states + 1))
    for state in range(a.states):  # topological order
        arcs = slice(first[state], first[state + 1])
        inner = a.target[arcs] > 0
        np.add.at(visits, a.target[arcs][inner], visits[state] * p[arcs][inner])
    return visits
