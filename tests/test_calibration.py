"""Calibration: scikit-learn, closed forms, and what holds for any forecasts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from textgen_utils import evaluation

RNG = np.random.default_rng(0)
UNIT = st.floats(0, 1)
PAIRS = st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=30)


def forecasts(n=500):
    forecast = RNG.beta(0.5, 0.8, size=n)
    return forecast, (RNG.random(n) < forecast**1.5).astype(int)


@pytest.mark.parametrize(("equal", "strategy"), [("width", "uniform"), ("count", "quantile")])
@pytest.mark.parametrize("bins", [1, 4, 10, 33])
def test_bins_are_those_of_scikit_learn(equal, strategy, bins):
    forecast, outcome = forecasts()
    observed, mean = calibration_curve(outcome, forecast, n_bins=bins, strategy=strategy)
    found = evaluation.reliability(forecast, outcome, bins=bins, equal=equal)
    np.testing.assert_allclose(found.forecast, mean)
    np.testing.assert_allclose(found.observed, observed)
    assert found.count.sum() == len(forecast)


def test_calibration_error_by_hand():
    forecast, outcome = [0.1, 0.2, 0.9, 0.9], [0, 1, 1, 0]
    # Two bins: 0.15 against 1/2, and 0.9 against 1/2, two forecasts each.
    assert evaluation.calibration_error(forecast, outcome, bins=2) == pytest.approx(0.375)
    found = evaluation.reliability(forecast, outcome, bins=2)
    assert found.bias == pytest.approx(np.mean(forecast) - np.mean(outcome))


def test_an_edge_belongs_to_the_bin_below_and_empty_bins_are_left_out():
    found = evaluation.reliability([0.0, 0.5, 1.0], [0, 0, 1], bins=2)
    assert found.count.tolist() == [2, 1]
    assert evaluation.reliability([0.05, 0.95], [0, 1]).count.tolist() == [1, 1]


@given(PAIRS, st.integers(1, 12), st.sampled_from(["width", "count"]))
def test_of_any_forecasts(pairs, bins, equal):
    forecast, outcome = np.array(pairs).T
    found = evaluation.reliability(forecast, outcome, bins=bins, equal=equal)
    assert found.count.sum() == len(pairs)
    assert len(found.count) <= bins
    assert np.all(np.diff(found.forecast) >= 0)
    assert abs(found.bias) <= found.error + 1e-12  # the triangle inequality
    assert found.error <= np.abs(forecast - outcome).mean() + 1e-12
    same = evaluation.calibration_error(forecast, forecast, bins=bins, equal=equal)
    assert same == pytest.approx(0)


def test_with_true_probabilities_the_noise_of_the_draw_is_gone():
    forecast = RNG.random(2000)
    drawn = RNG.random(2000) < forecast
    assert evaluation.calibration_error(forecast, forecast) == pytest.approx(0)
    assert 0.005 < evaluation.calibration_error(forecast, drawn) < 0.05


def test_brier_score_is_that_of_scikit_learn():
    probabilities = RNG.dirichlet(np.ones(4), size=50)
    classes = RNG.integers(4, size=50)
    classes[:4] = range(4)  # scikit-learn takes the classes from the outcomes
    expected = brier_score_loss(classes, probabilities, scale_by_half=False)
    assert evaluation.brier_score(probabilities, classes) == pytest.approx(expected)
    one = probabilities[:, 0]
    two = np.stack([1 - one, one], axis=1)
    happened = (classes == 0).astype(int)
    assert evaluation.brier_score(two, happened) == pytest.approx(
        2 * brier_score_loss(happened, one)
    )


def test_brier_score_of_true_probabilities_is_the_mean_over_the_draw():
    q, p = RNG.dirichlet(np.ones(3), size=(2, 5))
    by_class = [
        [evaluation.brier_score(q[i : i + 1], np.array([k])) for k in range(3)] for i in range(5)
    ]
    expected = (p * np.array(by_class)).sum(axis=1).mean()
    assert evaluation.brier_score(q, p) == pytest.approx(expected)


def test_top_forecast():
    probabilities = [[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]]
    confidence, right = evaluation.top_forecast(probabilities, [1, 2])
    assert confidence.tolist() == [0.5, 0.9]
    assert right.tolist() == [1, 0]
    truth = [[0.1, 0.6, 0.3], [0.7, 0.2, 0.1]]
    assert evaluation.top_forecast(probabilities, truth)[1].tolist() == [0.6, 0.7]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluation.reliability([], []), "at least 1"),
        (lambda: evaluation.reliability([0.5], [1, 0]), "one shape"),
        (lambda: evaluation.reliability([1.5], [1]), r"forecast must lie in \[0, 1\]"),
        (lambda: evaluation.reliability([np.nan], [1]), "forecast must lie"),
        (lambda: evaluation.reliability([0.5], [-1]), "outcome must lie"),
        (lambda: evaluation.reliability([0.5], [1], bins=0), "bins must be"),
        (lambda: evaluation.reliability([0.5], [1], bins=2.5), "bins must be"),
        (lambda: evaluation.reliability([0.5], [1], equal="mass"), '"width" or "count"'),
        (lambda: evaluation.brier_score([[0.5, 0.4]], [0]), "sum to one"),
        (lambda: evaluation.brier_score([0.5, 0.5], [0]), r"shape \(n, classes\)"),
        (lambda: evaluation.brier_score([[0.5, 0.5]], [2]), r"classes must lie in \[0, 2\)"),
        (lambda: evaluation.brier_score([[0.5, 0.5]], [0.0]), "must be ints"),
        (lambda: evaluation.top_forecast([[0.5, 0.5]], [0, 1]), "must be ints of shape"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
