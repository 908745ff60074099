"""Do forecasts mean what they say: of the events forecast with p, does a share p happen?

An outcome is 1 or 0, or, where the truth is known, the true probability of the event. Its mean
is the same, without the noise of the draw; so a model of a known language can be held against the
probabilities of the language itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Reliability:
    """The result of `reliability`: one entry for each bin that is not empty, by rising forecast.

    Attributes:
        forecast: float64, mean forecast of the bin.
        observed: float64, the share of its events that happened, or their mean true probability.
        count: int64, the number of its forecasts.
    """

    forecast: np.ndarray
    observed: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """The mean distance of `observed` from `forecast`, a bin weighing as much as it holds."""
        return float(np.average(np.abs(self.observed - self.forecast), weights=self.count))

    @property
    def bias(self) -> float:
        """The mean forecast minus the mean outcome: above 0 for a model that claims too much."""
        return float(np.average(self.forecast - self.observed, weights=self.count))


def reliability(
    forecast: ArrayLike, outcome: ArrayLike, *, bins: int = 10, equal: str = "width"
) -> Reliability:
    """Sort forecasts into bins and compare each bin's mean with what happened.

    Args:
        forecast: probabilities, shape (n,).
        outcome: 0 or 1, or true probabilities, shape (n,).
        bins: how many at most; empty ones are left out.
        equal: "width": bins of equal width from 0 to 1; "count": bins of about equally many
            forecasts, where equal forecasts stay together. A forecast on an edge belongs to the
            bin below.

    Raises:
        ValueError: no forecasts, shapes that differ, numbers outside [0, 1], fewer than one bin,
            or another `equal`.

    Source: A. Murphy and R. Winkler, "Reliability of subjective probability forecasts of
    precipitation and temperature", 1977.
    """
    forecast, outcome = _unit("forecast", forecast), _unit("outcome", outcome)
    if forecast.shape != outcome.shape or forecast.ndim != 1 or not forecast.size:
        raise ValueError(
            "forecast and outcome must have one shape (n,), n at least 1; "
            f"got {forecast.shape} and {outcome.shape}"
        )
    inner = _edges(forecast, bins, equal)
    index = np.searchsorted(inner, forecast)
    count = np.bincount(index, minlength=len(inner) + 1)
    filled = count > 0
    sums = [np.bincount(index, values, len(count))[filled] for values in (forecast, outcome)]
    return Reliability(sums[0] / count[filled], sums[1] / count[filled], count[filled])


def calibration_error(
    forecast: ArrayLike, outcome: ArrayLike, *, bins: int = 10, equal: str = "width"
) -> float:
    """Return the expected calibration error, 0 to 1: `Reliability.error` of these forecasts.

    It depends on the bins, and with outcomes of 0 and 1 it is above 0 for a perfect model too,
    by the noise of each bin's share: hold it against that of a model known to be calibrated.

    Args:
        forecast, outcome, bins, equal: see `reliability`.

    Raises:
        ValueError: see `reliability`.

    Source: M. P. Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning",
    2015; C. Guo et al., "On calibration of modern neural networks", 2017.
    """
    return reliability(forecast, outcome, bins=bins, equal=equal).error


def top_forecast(probabilities: ArrayLike, outcome: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's highest probability, and the outcome of the class that has it.

    Args:
        probabilities: shape (n, classes), rows that sum to one.
        outcome: ints, shape (n,): the class that happened; or true probabilities, (n, classes).

    Returns:
        forecast: float64, shape (n,), the confidence.
        outcome: float64, shape (n,): 1 where that class happened, else 0; or its true probability.

    Raises:
        ValueError: if the probabilities are none, or the outcomes do not fit them.
    """
    probabilities, truth = _rows(probabilities, outcome)
    place = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    return probabilities[place], truth[place]


def brier_score(probabilities: ArrayLike, outcome: ArrayLike) -> float:
    """Return the mean over forecasts of the squared distance from what happened, 0 to 2.

    With two classes it is twice the Brier score of the probability of one of them.

    Args:
        probabilities: shape (n, classes), rows that sum to one.
        outcome: see `top_forecast`. With true probabilities the mean is over the draw of the
            class too.

    Raises:
        ValueError: see `top_forecast`.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    probabilities, truth = _rows(probabilities, outcome)
    # E |q - y|^2 = |q|^2 - 2 q . p + 1 for a one-hot y that is drawn from p.
    squares = (probabilities**2).sum(1) - 2 * (probabilities * truth).sum(1) + 1
    return float(squares.mean())


def _edges(forecast: np.ndarray, bins: int, equal: str) -> np.ndarray:
    """The inner edges of the bins, rising."""
    if not isinstance(bins, Integral) or bins < 1:
        raise ValueError(f"bins must be an integer of at least 1, got {bins!r}")
    shares = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    if equal == "width":
        return shares
    if equal == "count":
        return np.quantile(forecast, shares)
    raise ValueError(f'equal must be "width" or "count", got {equal!r}')


def _unit(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{name} must lie in [0, 1]; got {values.min()} to {values.max()}")
    return values


def _rows(probabilities: ArrayLike, outcome: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts and true probabilities, both (n, classes)."""
    probabilities, outcome = _distributions("probabilities", probabilities), np.asarray(outcome)
    if outcome.shape == probabilities.shape:
        return probabilities, _distributions("the true probabilities", outcome)
    count, classes = probabilities.shape
    if outcome.shape != (count,) or not np.issubdtype(outcome.dtype, np.integer):
        raise ValueError(
            f"the outcome of forecasts of shape {probabilities.shape} must be ints of shape "
            f"({count},) or probabilities of the same shape; got {outcome.dtype}, {outcome.shape}"
        )
    if outcome.min() < 0 or outcome.max() >= classes:
        raise ValueError(
            f"classes must lie in [0, {classes}); got {outcome.min()} to {outcome.max()}"
        )
    return probabilities, np.eye(classes)[outcome]


def _distributions(name: str, values: ArrayLike) -> np.ndarray:
    values = _unit(name, values)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name} must have shape (n, classes), n at least 1; got {values.shape}")
    if not np.allclose(values.sum(axis=1), 1.0, atol=1e-4):
        raise ValueError(f"the rows of {name} must sum to one")
    return values
