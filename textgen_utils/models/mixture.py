"""Several language models as one: the weighted mean of their probabilities, or of their logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from textgen_utils.models.base import LanguageModel, check_ids, to_numpy
from textgen_utils.models.distributions import distributions, of_tokens


class _Together:
    """Models that read the same text side by side; the state is the list of their states."""

    def __init__(self, models: Sequence[LanguageModel], weights: ArrayLike) -> None:
        check_together(models)
        self.models = list(models)
        self.weights = check_weights(weights, len(self.models))
        self.vocab_size = self.models[0].vocab_size
        self.boundary = self.models[0].boundary
        limits = [m.max_context for m in self.models if m.max_context is not None]
        self.max_context = min(limits, default=None)

    def __repr__(self) -> str:
        parts = zip(self.weights, self.models, strict=True)
        return f"{type(self).__name__}({', '.join(f'{w:.3f} {m!r}' for w, m in parts)})"

    def initial_state(self, batch_size: int) -> list[Any]:
        """Return the models' initial states."""
        return [model.initial_state(batch_size) for model in self.models]

    def step(self, tokens: ArrayLike, state: list[Any]) -> tuple[np.ndarray, list[Any]]:
        """Read one token of each text: see `models.base.LanguageModel`."""
        both = [model.step(tokens, s) for model, s in zip(self.models, state, strict=True)]
        predicted = [to_numpy(log_probs) for log_probs, _ in both]
        return self.combine(predicted), [s for _, s in both]

    def distributions(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token at every position: see `models.distributions`."""
        return self.combine([distributions(model, ids) for model in self.models])

    def combine(self, log_probs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mixture of the models' predictions, each (..., vocab), nats."""
        raise NotImplementedError


class Mixture(_Together):
    """The weighted mean of the models' probabilities. A `LanguageModel`.

        p(w | h) = sum over k of weights[k] p_k(w | h)

    Args:
        models: at least one, over the same tokens with the same boundary.
        weights: one for each model, at least 0; their sum is 1.

    Attributes:
        vocab_size, boundary: the models'.
        max_context: the least of the models'; None if none has a limit. `Sliding` takes a limit
            away.

    Raises:
        ValueError: no models, models over different vocabularies or with different boundaries,
            or weights that are not a distribution over the models.

    Source: F. Jelinek and R. L. Mercer, "Interpolated estimation of Markov source parameters from
    sparse data", 1980.
    """

    def __init__(self, models: Sequence[LanguageModel], weights: ArrayLike) -> None:
        super().__init__(models, weights)
        if abs(self.weights.sum() - 1) > 1e-6:
            raise ValueError(
                f"the weights of a mixture must sum to 1; got {self.weights.tolist()}, "
                f"with sum {self.weights.sum():.6g}"
            )

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        return self.combine([to_numpy(model.score(ids)) for model in self.models])

    def combine(self, log_probs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the log of the weighted mean of exp(log_probs), of whatever shape."""
        stacked = np.stack(log_probs)
        weights = self.weights.reshape(-1, *[1] * (stacked.ndim - 1))
        return logsumexp(stacked, axis=0, b=weights)


class LogLinear(_Together):
    """The weighted product of the models' probabilities, made to sum to one. A `LanguageModel`.

        p(w | h) = exp(sum over k of weights[k] log p_k(w | h)) / Z(h)

    Where a linear mixture lets each model speak for what it knows, here each has a veto. A weight
    is also the inverse of a temperature, so the weights need not sum to one.

    Args:
        models: at least one, over the same tokens with the same boundary.
        weights: one for each model, at least 0, not all of them 0.

    Attributes:
        vocab_size, boundary, max_context: as those of `Mixture`.

    Raises:
        ValueError: as `Mixture`, but for the sum; or, when a token is predicted, if the models
            leave no token possible.

    Source: D. Klakow, "Log-linear interpolation of language models", 1998.
    """

    def __init__(self, models: Sequence[LanguageModel], weights: ArrayLike) -> None:
        super().__init__(models, weights)
        if not self.weights.any():
            raise ValueError("at least one weight of a log-linear mixture must be above 0")

    def score(self, ids: ArrayLike) -> np.ndarray:
        """Return log p of every token: see `models.base.LanguageModel`."""
        ids = check_ids(ids, self.vocab_size, ndim=2)
        return of_tokens(self.distributions(ids), ids)

    def combine(self, log_probs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the normalised weighted sum of predictions, each (..., vocab)."""
        # A weight of 0 takes part in nothing, not even as 0 * -inf.
        pairs = zip(self.weights, log_probs, strict=True)
        total = sum(w * part for w, part in pairs if w > 0)
        if not np.isfinite(total.max(axis=-1, initial=-np.inf)).all():
            raise ValueError("the models of a log-linear mixture leave no token possible")
        return log_softmax(total, axis=-1)


def check_together(models: Sequence[LanguageModel]) -> None:
    """Refuse models that cannot read the same text.

    Raises:
        ValueError: no models, or which vocabularies or boundaries differ.
    """
    if not len(models):
        raise ValueError("a mixture needs at least one model; got none")
    for name in ("vocab_size", "boundary"):
        found = [getattr(model, name) for model in models]
        if len(set(found)) > 1:
            raise ValueError(f"the models must have the same {name}; got {found}")


def check_weights(weights: ArrayLike, models: int) -> np.ndarray:
    """Return weights as float64, (models,); ValueError if they are not finite and at least 0."""
    weights = np.asarray(weights, np.float64)
    if weights.shape != (models,):
        raise ValueError(f"{models} models need {models} weights; got shape {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"weights must be finite and at least 0; got {weights.tolist()}")
    return weights
