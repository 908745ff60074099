"""A blank filled by trying every token: what any language model says, given both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from textgen_utils.evaluation.truth import text_log_probs
from textgen_utils.models.base import LanguageModel, check_ids, to_numpy


def blank_log_probs(
    model: LanguageModel,
    rows: ArrayLike,
    places: ArrayLike,
    *,
    tokens: ArrayLike | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """log p(token in a place | all other tokens of a text of this length), by Bayes' rule.

    Every token (or every one of `tokens`) is put into the place, and the probabilities of the
    whole texts are normalised. With the truth as the model this is what no masked model can
    improve on.

    Args:
        model: any language model.
        rows: ints, shape (n, time): a text a row, see `text_log_probs`.
        places: ints, shape (n,): the blank of each row, up to the text's end.
        tokens: ints, shape (k,): what is tried; None: the whole vocabulary.
        batch_size: texts scored at a time.

    Returns:
        float64, shape (n, vocab_size), nats, -inf for what is not tried. In the place of the end
        only the end is possible, and nowhere else, because another length is another text.

    Raises:
        ValueError: a text without an end, a place outside of its text, a text that the model
            cannot write whatever is in the blank, or see `text_log_probs`.
    """
    rows = check_ids(rows, model.vocab_size, ndim=2)
    places = np.asarray(places)
    ends = rows == model.boundary
    if not ends.any(axis=1).all():
        raise ValueError("every text needs its boundary at the end")
    last = ends.argmax(axis=1)
    if places.shape != last.shape or (places < 0).any() or (places > last).any():
        raise ValueError(
            f"places must have shape ({len(rows)},) and lie inside of the texts; got {places}"
        )
    possible = _finite_from_the_left(model, rows, places)
    if tokens is not None:
        possible &= np.isin(np.arange(model.vocab_size), tokens)
    possible[:, model.boundary] = False
    possible[places == last] = np.arange(model.vocab_size) == model.boundary
    log_probs = np.full(possible.shape, -np.inf)
    row, token = np.nonzero(possible)
    if len(row):
        texts = rows[row]
        texts[np.arange(len(texts)), places[row]] = token
        log_probs[row, token] = text_log_probs(model, texts, batch_size)
    impossible = np.flatnonzero(np.isinf(log_probs.max(axis=1)))
    if len(impossible):
        raise ValueError(f"no token makes a possible text of text {impossible[0]}")
    return log_probs - logsumexp(log_probs, axis=1, keepdims=True)


def _finite_from_the_left(model: LanguageModel, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bools, (n, vocab): what the tokens on the left allow. Spares the truth most of the work."""
    allowed = np.ones((len(rows), model.vocab_size), bool)
    state = model.initial_state(len(rows))
    tokens = np.full(len(rows), model.boundary, np.int32)
    for place in range(int(places.max()) + 1):
        log_probs, state = model.step(tokens, state)
        here = places == place
        allowed[here] = to_numpy(log_probs)[here] > -np.inf
        tokens = rows[:, place]
    return allowed
