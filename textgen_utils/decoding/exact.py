"""Exact search: the most probable text of a model, with the proof that there is no other."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any, NamedTuple

import keras
import numpy as np

from textgen_utils.decoding.sampling import check_count
from textgen_utils.decoding.search import check_search
from textgen_utils.models.base import LanguageModel, to_numpy

State = Any


class Optimum(NamedTuple):
    """The result of `exact_search`.

    Attributes:
        ids: int32, (time,), the last is `stop`; none at all if nothing was found.
        log_prob: nats; -inf if nothing was found.
        proven: whether no text is more probable; False if the search was given up.
        expanded: the number of prefixes that were read.
    """

    ids: np.ndarray
    log_prob: float
    proven: bool
    expanded: int


def exact_search(
    model: LanguageModel,
    length: int,
    *,
    stop: int,
    max_expanded: int = 10_000,
    batch_size: int = 32,
) -> Optimum:
    """Find the most probable text of a model of one text, and prove that it is.

    Uniform-cost search (Dijkstra's algorithm with -log p as the cost): the most probable prefix is
    read first, together with the next ones of the same length, so that a state may hold how many
    tokens were read. As soon as a finished text is as probable as every prefix that is left, none
    of them can beat it. With p the probability of the best text, at most length / p prefixes are
    as probable as it: where the model is sure, the search is short. It keeps the state of every
    prefix that may still win.

    Args:
        model: any language model; a conditioned one, of one source.
        length: the most tokens of a text, `stop` included.
        stop: the token that ends a text, such as the boundary.
        max_expanded: prefixes after which the search is given up.
        batch_size: prefixes read at a time; always as many, so that one shape is compiled.

    Raises:
        ValueError: if a number is out of range, the model has more than one source, cannot read
            `length` tokens, or returns NaN.
    """
    check_search(model, length, stop)
    check_count(max_expanded, "max_expanded")
    check_count(batch_size, "batch_size")
    best, expanded = (-np.inf, ()), 0
    # One heap for each length: (-log p, tokens, the parent's batch after it was read, row).
    waiting: list[list] = [[] for _ in range(length)]
    waiting[0] = [(0.0, (), model.initial_state(1), 0)]
    while True:
        cost, time = min((h[0][0], t) for t, h in enumerate([*waiting, [(np.inf,)]]) if h)
        if -cost <= best[0] or expanded >= max_expanded:
            ids = np.array(best[1], np.int32)
            return Optimum(ids, float(best[0]), bool(-cost <= best[0]), expanded)
        count = min(batch_size, len(waiting[time]), max_expanded - expanded)
        prefixes = [heappop(waiting[time]) for _ in range(count)]
        log_probs, state = _read(model, prefixes, batch_size)
        expanded += count
        for row, (prefix_cost, ids, *_) in enumerate(prefixes):
            values = log_probs[row] - prefix_cost
            if values[stop] > best[0]:
                best = values[stop], (*ids, stop)
            if time + 1 == length:
                continue
            for token in np.flatnonzero(values > best[0]):
                if token != stop:
                    heappush(waiting[time + 1], (-values[token], (*ids, token), state, row))


def _read(model: LanguageModel, prefixes: list, batch_size: int) -> tuple[np.ndarray, State]:
    """Return log p of the next token of each prefix, nats, (batch_size, vocab), and the state."""
    rows = prefixes + prefixes[:1] * (batch_size - len(prefixes))
    tokens = np.array([ids[-1] if ids else model.boundary for _, ids, *_ in rows], np.int32)

    def stacked(*parts: Any) -> Any:
        if np.ndim(parts[0]) == 0:
            return parts[0]
        return np.stack([np.asarray(part[row[3]]) for part, row in zip(parts, rows, strict=True)])

    state = keras.tree.map_structure(stacked, *(state for _, _, state, _ in rows))
    log_probs, state = model.step(tokens, state)
    log_probs = to_numpy(log_probs)
    if np.isnan(log_probs).any():
        raise ValueError("the model returned NaN for a log-probability")
    # Its rows will be taken one by one, which is slow with tensors.
    return log_probs, keras.tree.map_structure(np.asarray, state)
