"""Beam search: the most probable text that a search of limited width finds."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

import keras
import numpy as np

from textgen_utils.decoding.sampling import check_count
from textgen_utils.models.base import LanguageModel, to_numpy

State = Any


class Beams(NamedTuple):
    """The result of `beam_search`: of each text the best hypotheses, best first.

    Attributes:
        ids: int32, (n, width, length); a hypothesis ends at its first `stop`, and goes on with it.
        log_probs: float64, (n, width), nats; -inf where there was no hypothesis left.
        scores: float64, (n, width): log_probs / length**alpha, each with its own length.
        finished: bools, (n, width): whether the hypothesis ended; those that did stand first.
        proven: bools, (n,): whether no text of `length` tokens at most has a better score than
            the first one, because nothing that was dropped could have reached it.
    """

    ids: np.ndarray
    log_probs: np.ndarray
    scores: np.ndarray
    finished: np.ndarray
    proven: np.ndarray


def beam_search(
    model: LanguageModel,
    length: int,
    *,
    width: int,
    stop: int,
    n: int = 1,
    alpha: float = 0.0,
) -> Beams:
    """Go on with the `width` most probable unfinished hypotheses of each text, token by token.

    A hypothesis is finished where `stop` is among the `width` most probable continuations; it
    leaves its place to the next one and competes in a pool by log p / tokens**alpha, `stop`
    counted. The search ends where no unfinished hypothesis can enter the pool any more: log p
    only falls, and is divided by at most length**alpha, so that nothing is lost. Unfinished
    hypotheses only fill places that are empty at the end. Among equals the one with the earlier
    parent and the lower id stands first.

    With a width of 1 and alpha 0 this is greedy search: where `stop` is the most probable token,
    nothing else can become more probable than the text that it ends.

    Args:
        model: any language model. It reads its boundary first.
        length: the most tokens of a text, `stop` included.
        width: hypotheses of a text; places for which there are none stay empty.
        stop: the token that ends a text, such as the boundary.
        n: the number of texts: of a conditioned model that of its sources, or a multiple.
        alpha: 0: the most probable text; 1: the highest mean log p of a token. Log p is divided
            by a plain power of the length; Y. Wu et al., "Google's neural machine translation
            system", 2016, divide by ((5 + tokens) / 6)**alpha.

    Raises:
        ValueError: if a number is out of range, `n` does not fit the model, the model cannot read
            `length` tokens, or it returns NaN.
    """
    check_beams(model, length, width, stop, n, alpha)
    state = model.initial_state(n)

    def step(tokens: np.ndarray, parents: np.ndarray) -> Any:
        nonlocal state
        log_probs, state = model.step(tokens, _rows(state, parents))
        return log_probs

    # The model knows its texts by their order, and has one state for each at first.
    state = _rows(state, np.repeat(np.arange(n), width))
    return follow(step, model.boundary, length, n=n, width=width, stop=stop, alpha=alpha)


def follow(
    step: Callable[[np.ndarray, np.ndarray], Any],
    boundary: int,
    length: int,
    *,
    n: int,
    width: int,
    stop: int,
    alpha: float,
) -> Beams:
    """Do the search of `beam_search` with any way to go on.

    Args:
        step: takes the token that each hypothesis reads and the row of its parent, ints,
            (n * width,), and returns log p of the next tokens, (n * width, vocab), nats.
        boundary: the token that is read first.
        length, n, width, stop, alpha: see `beam_search`.

    Raises:
        ValueError: if a log p is NaN.
    """
    search = _Search(n, width, length, stop, alpha)
    tokens, parents = np.full(n * width, boundary, np.int32), np.arange(n * width)
    for _ in range(length):
        parents, tokens = search.extend(to_numpy(step(tokens, parents)))
        if search.decided():
            break
    return search.result()


class _Search:
    """The hypotheses of n texts while they grow; arrays of shape (n, width), or more axes.

    Attributes:
        ids, live: the unfinished hypotheses and their log p, -inf at empty places.
        pool: the finished ones: ids, log p and scores.
        lost: the highest log p of what was dropped, (n,).
    """

    def __init__(self, n: int, width: int, length: int, stop: int, alpha: float) -> None:
        self.stop = stop
        self.alpha = alpha
        self.time = 0
        self.ids = np.full((n, width, length), stop, np.int32)
        self.live = np.full((n, width), -np.inf)
        self.live[:, 0] = 0.0  # one empty hypothesis, and no copy of it
        none = np.full((n, width), -np.inf)
        self.pool = self.ids, none, none
        self.lost = none[:, 0]

    def extend(self, log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Go on by one token.

        Args:
            log_probs: of the next token, nats, (n * width, vocab).

        Returns:
            The row of each new hypothesis's parent, and its token, ints, (n * width,).
        """
        n, width = self.live.shape
        candidates = (self.live[:, :, None] + log_probs.reshape(n, width, -1)).reshape(n, -1)
        if np.isnan(candidates).any():
            raise ValueError("the model returned NaN for a log-probability")
        # Each parent ends once, so that `width` of these go on.
        best = _largest(candidates, 2 * width)
        values = _at(candidates, best)
        parents, tokens = np.divmod(best, log_probs.shape[1])
        ends = tokens == self.stop
        going = np.argsort(ends, axis=1, kind="stable")[:, :width]
        for kept in (best[:, :width], _at(best, going)):
            np.put_along_axis(candidates, kept, -np.inf, axis=1)
        self.lost = np.maximum(self.lost, candidates.max(axis=1))

        self.time += 1
        ended = np.where(ends, values, -np.inf)[:, :width]
        self._collect(_at(self.ids, parents[:, :width]), ended)
        self.live = _at(np.where(ends, -np.inf, values), going)
        parents, tokens = _at(parents, going), _at(tokens, going)
        self.ids = _at(self.ids, parents)
        self.ids[:, :, self.time - 1] = tokens
        rows = np.arange(n)[:, None] * width + parents
        return rows.ravel(), tokens.ravel().astype(np.int32)

    def decided(self) -> bool:
        """Return whether no unfinished hypothesis can enter a pool any more."""
        return bool((self._bound(self.live[:, 0]) <= self.pool[2][:, -1]).all())

    def result(self) -> Beams:
        """Return the pools, their empty places filled with what is unfinished."""
        finished = self.pool[1] > -np.inf
        proven = finished[:, 0] & (self.pool[2][:, 0] >= self._bound(self.lost))
        # For each place after the last finished one, the next that is unfinished.
        places = np.arange(finished.shape[1]) - finished.sum(axis=1, keepdims=True)
        places = np.maximum(places, 0)
        rest = (_at(part, places) for part in (self.ids, self.live, self._scored(self.live)))
        ids, log_probs, scores = (
            np.where(_like(finished, pool), pool, part)
            for pool, part in zip(self.pool, rest, strict=True)
        )
        ids = np.where(log_probs[:, :, None] > -np.inf, ids, self.stop)
        return Beams(ids, log_probs, scores, finished, proven)

    def _collect(self, ids: np.ndarray, log_probs: np.ndarray) -> None:
        """Let what ended now, where log p is not -inf, compete with the pool."""
        new = ids, log_probs, self._scored(log_probs)
        both = [np.concatenate(parts, axis=1) for parts in zip(self.pool, new, strict=True)]
        best = _largest(both[2], self.live.shape[1])
        self.pool = tuple(_at(part, best) for part in both)

    def _scored(self, log_probs: np.ndarray) -> np.ndarray:
        """Return the scores of hypotheses that are as long as the search has come."""
        return log_probs / self.time**self.alpha

    def _bound(self, log_probs: np.ndarray) -> np.ndarray:
        """Return the best score that hypotheses of these log p can still reach."""
        return log_probs / self.ids.shape[2] ** self.alpha


def _rows(state: State, rows: np.ndarray) -> State:
    """Return some rows of a state; what has no axes, such as a position, is that of all rows."""
    return keras.tree.map_structure(
        lambda part: np.asarray(part)[rows] if np.ndim(part) else part, state
    )


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the k largest of each row, largest first, of equals the first first."""
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


def _at(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return those places of axis 1, (n, k, ...), from (n, m, ...)."""
    return np.take_along_axis(array, _like(places, array), axis=1)


def _like(array: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the array with axes of size 1 at its end, as many axes as the other one has."""
    return array.reshape(array.shape + (1,) * (other.ndim - array.ndim))


def check_search(model: LanguageModel, length: int, stop: int) -> None:
    """Raise ValueError unless the model can write texts of `length` tokens that end with `stop`."""
    check_count(length, "length")
    if not (isinstance(stop, Integral) and 0 <= stop < model.vocab_size):
        raise ValueError(f"stop must be one of {model.vocab_size} tokens, got {stop}")
    if model.max_context is not None and length > model.max_context:
        raise ValueError(f"the model reads at most {model.max_context} tokens, got {length}")


def check_beams(
    model: LanguageModel, length: int, width: int, stop: int, n: int, alpha: float
) -> None:
    """Raise ValueError unless these are settings of a beam search: see `beam_search`."""
    check_search(model, length, stop)
    check_count(width, "width")
    check_count(n, "n")
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha must be at least 0 and finite, got {alpha}")
