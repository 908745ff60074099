import keras
import numpy as np
import pytest
from keras import ops

from textgen_utils import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 5, 7)).astype("float32") * 3
TARGETS = RNG.integers(7, size=(3, 5)).astype("int32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], bool)


def probabilities(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, rtol=tolerance, atol=1e-6)


def test_cross_entropy_is_that_of_keras():
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(TARGETS, LOGITS)
    close(losses.cross_entropy(TARGETS, LOGITS), float(expected))


def test_cross_entropy_with_a_mask_averages_what_counts():
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    expected = loss(TARGETS, LOGITS, sample_weight=MASK.astype("float32"))
    close(losses.cross_entropy(TARGETS, LOGITS, MASK), float(expected))
    changed = np.where(MASK[..., None], LOGITS, 100.0)
    close(losses.cross_entropy(TARGETS, changed, MASK), float(expected))


def test_squared_error_is_that_of_keras_summed_over_the_vocabulary():
    truth = keras.ops.one_hot(TARGETS, 7)
    expected = 7 * float(keras.losses.MeanSquaredError()(truth, probabilities(LOGITS)))
    close(losses.squared_error(TARGETS, LOGITS), expected)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 0.0), (-1.0, 2.0)])
def test_squared_error_at_both_ends(sign, expected):
    close(losses.squared_error([0], np.array([[sign * 50.0, 0.0]], "float32")), expected)


def test_accuracy_is_that_of_keras():
    metric = keras.metrics.SparseCategoricalAccuracy()
    metric.update_state(TARGETS, LOGITS, sample_weight=MASK.astype("float32"))
    close(losses.accuracy(TARGETS, LOGITS, MASK), float(metric.result()))
    close(losses.accuracy(TARGETS, LOGITS), (LOGITS.argmax(-1) == TARGETS).mean())


def test_the_gradient_of_cross_entropy_is_p_minus_y():
    logits, targets, step = LOGITS[0].astype("float64"), TARGETS[0], 0.02
    expected = (probabilities(logits) - np.eye(7)[targets]) / len(targets)
    measured = np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        values = []
        for sign in (1, -1):
            moved = logits.copy()
            moved[place] += sign * step
            values.append(float(losses.cross_entropy(targets, moved.astype("float32"))))
        measured[place] = (values[0] - values[1]) / (2 * step)
    np.testing.assert_allclose(measured, expected, atol=1e-4)
    assert np.abs(expected).max() > 0.05


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, -1e4, 0.0]], "float32")
    close(losses.cross_entropy([0], logits), 0.0)
    close(losses.cross_entropy([1], logits), 2e4)
