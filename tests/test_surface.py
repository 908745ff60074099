"""The loss around a model: against Keras's own loss, dense Hessians, and closed forms."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from textgen_utils.interpret import Surface, hessian_product, sharpness
from textgen_utils.losses import cross_entropy
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = RNG.integers(4, size=40)


@pytest.fixture(scope="module")
def softmax():
    """Softmax regression: a convex loss whose Hessian has a closed form."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    return Surface(model, X, Y, cross_entropy)


def dense_hessian(point):
    """The Hessian of softmax regression, (16, 16): kernel (3, 4) first, then biases."""
    inputs = np.concatenate([X, np.ones((len(X), 1))], axis=1)  # the bias is a fourth row
    p = np.exp(log_softmax(inputs @ point.reshape(4, 4), axis=1))
    inner = np.einsum("bi,ij->bij", p, np.eye(4)) - np.einsum("bi,bj->bij", p, p)
    return np.einsum("bk,bl,bij->kilj", inputs, inputs, inner).reshape(16, 16) / len(X)


def test_loss_and_gradient_are_those_of_the_closed_form(softmax):
    point = softmax.point + 0.3
    inputs = np.concatenate([X, np.ones((len(X), 1))], axis=1)
    log_p = log_softmax(inputs @ point.reshape(4, 4), axis=1)
    assert softmax.loss(point) == pytest.approx(-log_p[np.arange(40), Y].mean(), abs=1e-5)
    expected = inputs.T @ (np.exp(log_p) - np.eye(4)[Y]) / len(X)
    np.testing.assert_allclose(softmax.gradient(point), expected.ravel(), atol=1e-6)


def test_the_hessian_is_the_dense_one(softmax):
    point = softmax.point
    dense = dense_hessian(point)
    for seed in range(3):
        v = np.random.default_rng(seed).normal(size=16)
        found = hessian_product(softmax.gradient, point, v)
        np.testing.assert_allclose(found, dense @ v, atol=1e-3)
    values = np.linalg.eigvalsh(dense)
    found = sharpness(softmax.gradient, point, iterations=16)
    assert found.largest == pytest.approx(values[-1], rel=1e-3)
    assert found.smallest == pytest.approx(values[0], abs=1e-3)
    few = sharpness(softmax.gradient, point, iterations=4)
    assert values[0] - 1e-3 < few.smallest
    assert few.largest < values[-1] * 1.001


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_lanczos_finds_the_extreme_eigenvalues_of_a_quadratic(n, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, n))
    matrix = matrix + matrix.T
    values = np.linalg.eigvalsh(matrix)
    found = sharpness(lambda theta: matrix @ theta, rng.normal(size=n), iterations=n, seed=seed)
    assert found.largest == pytest.approx(values[-1], abs=1e-5)
    assert found.smallest == pytest.approx(values[0], abs=1e-5)
    part = sharpness(lambda theta: matrix @ theta, np.zeros(n), iterations=max(1, n // 2))
    assert np.abs(values - part.largest).min() <= part.error + 1e-6


def test_a_multiple_of_the_identity_needs_one_product():
    calls = []
    found = sharpness(lambda theta: calls.append(1) or 3.0 * theta, np.ones(50))
    assert (found.largest, found.smallest) == pytest.approx((3.0, 3.0))
    assert found.error < 1e-6
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["LSTM", "GPT"])
def test_the_surface_of_a_language_model(kind):
    model = (
        LSTMLanguageModel(5, width=4, boundary=0, dropout=0.5, seed=1)
        if kind == "LSTM"
        else GPT(5, max_context=6, width=4, heads=2, depth=1, boundary=0, dropout=0.5, seed=1)
    )
    ids = RNG.integers(5, size=(3, 7))
    surface = Surface(model, ids[:, :-1], ids[:, 1:], cross_entropy)
    point, before = surface.point, model.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert surface.loss(point) == pytest.approx(
        float(loss(ids[:, 1:], model(ids[:, :-1]))), abs=1e-5
    )
    v = surface.direction(point, seed=1)
    s = 1e-2
    slope = (surface.loss(point + s * v) - surface.loss(point - s * v)) / (2 * s)
    assert surface.gradient(point) @ v == pytest.approx(slope, abs=2e-4)
    for weight, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)
    model.set_weights([w + 0.1 for w in before])  # the point is given: it does not move
    assert surface.loss(point) == pytest.approx(float(surface.losses(point, [v], [[0.0]])[0]))
    assert surface.point == pytest.approx(point + 0.1, abs=1e-6)


def test_filters_of_a_direction_are_as_long_as_those_of_the_model(softmax):
    point = softmax.point + 1.0
    v = softmax.direction(point, seed=3)
    kernel, bias = v[:12].reshape(3, 4), v[12:]
    np.testing.assert_allclose(
        np.linalg.norm(kernel, axis=0), np.linalg.norm(point[:12].reshape(3, 4), axis=0)
    )
    assert not bias.any()
    np.testing.assert_allclose(softmax.direction(2 * point, seed=3), 2 * v)
    assert np.abs(v - softmax.direction(point, seed=4)).max() > 0.1


def test_losses_on_a_grid_are_losses_at_its_points(softmax):
    point = softmax.point
    directions = np.stack([softmax.direction(point, seed) for seed in (1, 2)])
    steps = np.stack(np.meshgrid([-1.0, 0.0, 0.5], [0.0, 2.0], indexing="ij"), axis=-1)
    grid = softmax.losses(point, directions, steps)
    assert grid.shape == (3, 2)
    assert grid[1, 0] == pytest.approx(softmax.loss(point))
    assert grid[2, 1] == pytest.approx(softmax.loss(point + steps[2, 1] @ directions))


def test_bad_input_is_refused(softmax):
    point = softmax.point
    for call, message in {
        lambda: Surface(keras.Sequential([keras.layers.Dense(1)]), X, Y, cross_entropy): "build it",
        lambda: Surface(softmax.model, X, Y[:3], cross_entropy): "40 inputs and 3 targets",
        lambda: softmax.loss(point[:5]): r"must have shape \(16,\), got \(5,\)",
        lambda: softmax.losses(point, [point], [[1.0, 2.0]]): "steps of shape",
        lambda: sharpness(softmax.gradient, point, iterations=0): "at least 1, got 0",
        lambda: sharpness(softmax.gradient, point, step=0.0): "step must be positive",
        lambda: hessian_product(softmax.gradient, point, point[:3]): r"must be \(n,\)",
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(FloatingPointError, match="not finite"):
        sharpness(lambda theta: theta * np.nan, np.ones(3))
