"""How far a model is from a language whose probabilities are known, in both directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.evaluation.likelihood import score_in_batches
from textgen_utils.models.base import LanguageModel, check_rows, until_boundary


@dataclass(frozen=True)
class Distance:
    """The result of `distance`: p is the truth, q the model; all figures are per text.

    Attributes:
        nats: mean of -log q(x) over the truth's texts: cross-entropy, nats.
        excess: mean of log p(x) - log q(x) over them: estimates KL(p || q), nats.
        coverage: mean of min(1, q(x) / p(x)) over them: estimates the overlap of p and q, which
            is 1 minus their total variation distance. 1 only if the model is the truth.
        validity: the share of the model's texts that the truth can write.
        oracle_nats: mean of -log p(x) over the valid ones of the model's texts, nats; NaN if there
            is none. Below the entropy of the truth: the model prefers probable texts.
        excess_error, coverage_error, validity_error: standard errors of these means.
    """

    nats: float
    excess: float
    coverage: float
    validity: float
    oracle_nats: float
    excess_error: float
    coverage_error: float
    validity_error: float


def distance(log_p: ArrayLike, log_q: ArrayLike, log_p_written: ArrayLike) -> Distance:
    """Compare a model with the truth, on texts of the truth and on texts of the model.

    Args:
        log_p: floats, shape (n,), nats: the truth's log-probability of its own texts.
        log_q: floats, shape (n,), nats: the model's log-probability of the same texts, -inf
            where it cannot write them.
        log_p_written: floats, shape (m,), nats: the truth's log-probability of the model's
            texts, -inf where they are not valid.

    Raises:
        ValueError: no texts, shapes that differ, NaN, or a text of the truth that it cannot write.

    Source: the overlap is the area under both distributions, as in M. Sajjadi et al., "Assessing
    generative models via precision and recall", 2018, at equal weights.
    """
    log_p, log_q, written = (np.asarray(x, np.float64) for x in (log_p, log_q, log_p_written))
    if log_p.ndim != 1 or log_p.shape != log_q.shape or written.ndim != 1:
        raise ValueError(
            "log_p and log_q must have one shape (n,) and log_p_written (m,); got "
            f"{log_p.shape}, {log_q.shape} and {written.shape}"
        )
    if not log_p.size or not written.size:
        raise ValueError(f"got {log_p.size} texts of the truth and {written.size} of the model")
    if np.isnan(log_q).any() or np.isnan(written).any() or not np.isfinite(log_p).all():
        raise ValueError("log-probabilities must not be NaN, and the truth's of its texts finite")
    gap, valid = log_p - log_q, written > -np.inf
    overlap = np.exp(np.minimum(0.0, -gap))
    return Distance(
        nats=float(-log_q.mean()),
        excess=float(gap.mean()),
        coverage=float(overlap.mean()),
        validity=float(valid.mean()),
        oracle_nats=float(-written[valid].mean()) if valid.any() else float("nan"),
        excess_error=_error(gap) if np.isfinite(gap).all() else float("nan"),
        coverage_error=_error(overlap),
        validity_error=_error(valid),
    )


def distance_between(
    truth: LanguageModel, model: LanguageModel, texts: ArrayLike, written: ArrayLike
) -> Distance:
    """Return `distance` of a model from the truth, both language models.

    Args:
        truth: knows the probability of every text, such as `Reviews.oracle`.
        model: any language model over the same tokens.
        texts: rows drawn from the truth; see `text_log_probs`.
        written: rows written by the model, such as those of `decoding.generate`.

    Raises:
        ValueError: as `text_log_probs` and `distance`; or two vocabularies.
    """
    if (truth.vocab_size, truth.boundary) != (model.vocab_size, model.boundary):
        raise ValueError(
            f"truth and model must share their tokens; got {truth.vocab_size} with boundary "
            f"{truth.boundary} and {model.vocab_size} with boundary {model.boundary}"
        )
    log_p = text_log_probs(truth, texts)
    return distance(log_p, text_log_probs(model, texts), text_log_probs(truth, written))


def text_log_probs(model: LanguageModel, rows: ArrayLike, batch_size: int = 256) -> np.ndarray:
    """log p of whole texts, their ends included.

    Args:
        model: any language model.
        rows: ints, shape (n, time): a text a row, up to and with its first boundary; what follows
            it is not read. `batches.lines` makes them from a text of lines.
        batch_size: rows scored at a time.

    Returns:
        float64, shape (n,), nats; -inf for a row without a boundary, which is no whole text.

    Raises:
        ValueError: no rows, ids out of range, or rows longer than `model.max_context`.
    """
    rows = check_rows(rows, model.vocab_size)
    if model.max_context is not None and rows.shape[1] > model.max_context:
        raise ValueError(f"rows of {rows.shape[1]} tokens; the model reads {model.max_context}")
    inside = until_boundary(rows, model.boundary)
    ended = (rows == model.boundary).any(axis=1)
    rows = np.where(inside, rows, model.boundary)
    log_probs = score_in_batches(model, rows, batch_size)
    return np.where(ended, np.where(inside, log_probs, 0.0).sum(axis=1), -np.inf)


def _error(values: np.ndarray) -> float:
    return float(np.std(values) / len(values) ** 0.5)
