"""Attributions against closed forms, exact Shapley values, and finite differences."""

import itertools
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from textgen_utils import interpret
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.transformer_seq2seq import TransformerSeq2Seq

BATCH, TIME, SIZE = 3, 4, 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH, TIME, SIZE)).astype("float32")
BASELINE = RNG.normal(size=X.shape).astype("float32")
WEIGHTS = RNG.normal(size=(TIME, SIZE)).astype("float32")
SOURCES = np.array([[3, 5, 1, 4], [2, 6, 5, 0]], "int32")
TARGETS = [[2, 3, 1, 0], [4, 0]]


def owner(weights=WEIGHTS):
    layer = layers.Layer()
    layer.w = layer.add_weight(shape=weights.shape)
    layer.w.assign(weights)
    return layer


LAYER = owner()
LINEAR = interpret.gradient(LAYER, lambda x: ops.sum(LAYER.w * x, axis=(1, 2)))
QUADRATIC = interpret.gradient(LAYER, lambda x: ops.sum(LAYER.w * x**2, axis=(1, 2)))
CUBIC = interpret.gradient(LAYER, lambda x: ops.sum(LAYER.w * x**3, axis=(1, 2)))


def test_a_score_and_its_gradient():
    values, gradients = QUADRATIC(X)
    np.testing.assert_allclose(values, (WEIGHTS * X**2).sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(gradients, 2 * WEIGHTS * X, rtol=1e-5)
    assert gradients.dtype == np.float64


def test_a_linear_score_is_explained_exactly_by_both():
    exact = (WEIGHTS * (X - BASELINE)).sum(2)
    product = interpret.gradient_times_input(LINEAR, X, BASELINE)
    integrated = interpret.integrated_gradients(LINEAR, X, BASELINE, steps=1)
    np.testing.assert_allclose(product, exact, atol=1e-5)
    np.testing.assert_allclose(integrated.values, exact, atol=1e-5)
    np.testing.assert_allclose(integrated.difference, exact.sum(1), atol=1e-5)
    np.testing.assert_allclose(integrated.error, 0, atol=1e-5)


def test_a_quadratic_score_needs_the_whole_way_and_one_step_of_it():
    exact = (WEIGHTS * (X**2 - BASELINE**2)).sum(2)
    integrated = interpret.integrated_gradients(QUADRATIC, X, BASELINE, steps=1)
    np.testing.assert_allclose(integrated.values, exact, atol=1e-5)
    product = interpret.gradient_times_input(QUADRATIC, X, np.zeros_like(X))
    np.testing.assert_allclose(product, 2 * (WEIGHTS * X**2).sum(2), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_the_error_of_a_cubic_score_is_that_of_the_midpoint_rule(steps):
    # With n midpoints the mean of u**2 over [0, 1] is too small by 1 / (12 n**2).
    integrated = interpret.integrated_gradients(CUBIC, X, BASELINE, steps=steps)
    missing = (WEIGHTS * (X - BASELINE) ** 3).sum((1, 2)) * 3 / (12 * steps**2)
    np.testing.assert_allclose(integrated.error, -missing, atol=1e-4)


def test_a_changed_weight_is_seen():
    layer = owner()
    call = interpret.gradient(layer, lambda x: ops.sum(layer.w * x, axis=(1, 2)))
    before = call(X)[1]
    layer.w.assign(2 * WEIGHTS)
    np.testing.assert_allclose(call(X)[1], 2 * before, rtol=1e-6)


def test_a_score_without_the_input_has_no_gradient():
    call = interpret.gradient(LAYER, lambda x: ops.sum(LAYER.w) + 0 * ops.sum(x[:, 0], axis=1))
    assert not call(X)[1].any()


def test_context_is_handed_on_row_by_row():
    call = interpret.gradient(LAYER, lambda x, c: c * ops.sum(x, axis=(1, 2)))
    c = np.array([1.0, -2.0, 3.0], "float32")
    np.testing.assert_allclose(call(X, c)[1], np.broadcast_to(c[:, None, None], X.shape))


# Shapley values of games of three words, by definition and by the library


def shapley(game):
    """The definition: mean over all orders of what each word adds to those before it."""
    values = np.zeros(3)
    for order in itertools.permutations(range(3)):
        present = np.zeros(3, int)
        for word in order:
            before = game[tuple(present)]
            present[word] = 1
            values[word] += (game[tuple(present)] - before) / math.factorial(3)
    return values


def multilinear(x, tables):
    """The game between its corners: the mean of v over words present with probability x."""
    total = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        factors = [x[:, i, 0] if c else 1 - x[:, i, 0] for i, c in enumerate(corner)]
        total += tables[:, *corner] * factors[0] * factors[1] * factors[2]
    return total


GAME = interpret.gradient(LAYER, multilinear)


@settings(max_examples=10)
@given(st.lists(st.integers(-3, 3), min_size=8, max_size=8))
def test_integrated_gradients_of_a_game_are_its_shapley_values(payoffs):
    game = np.reshape(np.array(payoffs, "float32"), (2, 2, 2))
    x = np.ones((1, 3, 1))
    result = interpret.integrated_gradients(GAME, x, 0 * x, game[None], steps=20)
    np.testing.assert_allclose(result.values[0], shapley(game), atol=1e-2)


def test_the_library_finds_the_same_shapley_values():
    shap = pytest.importorskip("shap")
    game = np.random.default_rng(4).normal(size=(2, 2, 2))

    def play(masks):
        return np.array([game[tuple(mask)] for mask in masks.astype(int)])

    explained = shap.explainers.Exact(play, np.zeros((1, 3)))(np.ones((1, 3)))
    np.testing.assert_allclose(explained.values[0], shapley(game), atol=1e-6)
    additive = np.add.outer(np.add.outer([0, 1.0], [0, -2.0]), [0, 0.5])
    blank, ids = 0, np.array([[1, 1, 1]])
    fall = interpret.leave_one_out(
        lambda rows: np.array([additive[tuple(row)] for row in rows]), ids, ids > 0, blank
    )
    np.testing.assert_allclose(fall[0], shapley(additive), atol=1e-12)


# Translation: the probability of one target token


def small(kind):
    options = {"width": 8, "boundary": 0, "padding": 0, "seed": 1}
    if kind == "recurrent":
        model = RecurrentSeq2Seq(7, 6, attention="dot", **options)
    else:
        model = TransformerSeq2Seq(7, 6, max_context=8, heads=2, depth=1, **options)
    rng = np.random.default_rng(3)
    model.set_weights([w + 0.3 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(params=["recurrent", "transformer"], scope="module")
def translator(request):
    """A model, the compiled gradient of its target tokens, and its embedded sources."""
    model = small(request.param)
    call = interpret.gradient(model, interpret.target_log_prob(model))
    return model, call, keras.ops.convert_to_numpy(model.embed(SOURCES))


def test_a_target_token_scores_as_the_model_says(translator):
    model, call, x = translator
    positions = np.array([2, 0])
    values, _ = call(x, *interpret.target_context(model, SOURCES, TARGETS, positions))
    padded = np.array([[2, 3, 1, 0], [4, 0, 0, 0]])
    log_probs = model.condition(SOURCES).score(padded)
    np.testing.assert_allclose(values, log_probs[[0, 1], positions], atol=1e-5)


def test_its_gradient_is_that_of_finite_differences(translator):
    model, call, x = translator
    context = interpret.target_context(model, SOURCES, TARGETS, [2, 1])
    _, gradients = call(x, *context)
    direction = np.random.default_rng(5).normal(size=x.shape)
    step = 1e-2
    ahead, behind = (call(x + sign * step * direction, *context)[0] for sign in (1, -1))
    slope = (gradients * direction).sum((1, 2))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=0.02, atol=2e-3)
    np.testing.assert_allclose(gradients[1, 3], 0, atol=1e-7)  # padding is not read


def test_contributions_of_source_tokens_are_complete(translator):
    model, call, x = translator
    blanked = keras.ops.convert_to_numpy(model.embed(np.where(SOURCES, 1, 0)))
    context = interpret.target_context(model, SOURCES, TARGETS, [0, 1])
    coarse, fine = (
        interpret.integrated_gradients(call, x, blanked, *context, steps=steps) for steps in (1, 48)
    )
    assert np.abs(fine.difference).min() > 0.01
    assert np.abs(fine.error).max() < 1e-3
    assert np.abs(coarse.error).max() > 10 * np.abs(fine.error).max()


def test_leaving_one_out_blanks_the_source_of_a_model(translator):
    model, call, _ = translator

    def score(ids, *context):
        return call(keras.ops.convert_to_numpy(model.embed(ids)), *context)[0]

    context = interpret.target_context(model, SOURCES, TARGETS, [1, 1])
    batched = interpret.in_batches(score, len(SOURCES))
    falls = interpret.leave_one_out(batched, SOURCES, SOURCES != 0, 1, *context)
    without = SOURCES.copy()
    without[0, 1], without[1, 0] = 1, 1
    expected = score(SOURCES, *context) - score(without, *context)
    np.testing.assert_allclose([falls[0, 1], falls[1, 0]], expected, atol=1e-5)
    assert np.abs(expected).min() > 1e-3
    assert falls[1, 3] == 0
    assert falls[0, 2] == pytest.approx(0, abs=1e-6)  # the blank itself


# Taking tokens out

IDS = np.array([[1, 2, 3], [3, 1, 1]])


def total(ids, *context):
    return ids.sum(axis=1).astype(float) * (context[0] if context else 1)


def test_leaving_one_out_of_a_sum_finds_the_token():
    mask = np.array([[True, True, False], [True, True, True]])
    falls = interpret.leave_one_out(total, IDS, mask, 0)
    np.testing.assert_array_equal(falls, np.where(mask, IDS, 0))
    scaled = interpret.leave_one_out(total, IDS, mask, 0, np.array([1, -1]))
    np.testing.assert_array_equal(scaled, np.where(mask, IDS, 0) * [[1], [-1]])


def test_deletion_follows_the_order():
    first, second = interpret.deletion_curves(total, IDS, [[2, 1, 0], [[0, 2], 1]], 0)
    np.testing.assert_array_equal(first, [6, 3, 1, 0])
    np.testing.assert_array_equal(second, [5, 1, 0])


def test_areas_by_hand():
    assert interpret.deletion_area([4, 0]) == 2
    assert interpret.deletion_area([6, 3, 1, 0]) == pytest.approx(6 - (4.5 + 2 + 0.5) / 3)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=6))
def test_no_order_of_a_sum_beats_that_of_its_terms(terms):
    ids = np.array([terms])
    by_size = np.argsort(-ids[0], kind="stable")
    orders = list(itertools.permutations(range(len(terms)))) if len(terms) < 5 else []
    areas = [
        interpret.deletion_area(interpret.deletion_curves(total, ids, [order], 0)[0])
        for order in [by_size, *orders]
    ]
    assert areas[0] >= max(areas) - 1e-9


def test_random_orders_of_a_sum_fall_along_the_diagonal():
    ids = np.repeat([[5, 1, 1, 1]], 2000, axis=0)
    orders = interpret.shuffled([[0, 1, 2, 3]] * 2000, seed=1)
    curves = np.array(interpret.deletion_curves(total, ids, orders, 0))
    error = 4 * curves.std(axis=0).max() / np.sqrt(2000)
    np.testing.assert_allclose(curves.mean(axis=0), 8 * np.linspace(1, 0, 5), atol=error)
    assert orders == interpret.shuffled([[0, 1, 2, 3]] * 2000, seed=1)
    assert sorted(interpret.shuffled([[[0, 1], 3]], seed=0)[0], key=str) == [3, [0, 1]]


@given(st.integers(0, 7), st.integers(1, 5))
def test_batches_have_one_size_and_change_nothing(n, batch_size):
    sizes = []

    def score(ids, factor):
        sizes.append(len(ids))
        return total(ids, factor)

    ids = np.arange(2 * n).reshape(n, 2)
    factor = np.arange(n)
    batched = interpret.in_batches(score, batch_size)(ids, factor)
    np.testing.assert_array_equal(batched, total(ids, factor))
    assert set(sizes) <= {batch_size}


SEQ = small("recurrent")
BAD = {
    "another baseline": (
        lambda: interpret.integrated_gradients(LINEAR, X, X[:, :1]),
        r"shape \(3, 4, 2\) of x, got \(3, 1, 2\)",
    ),
    "another baseline for the product": (
        lambda: interpret.gradient_times_input(LINEAR, X, X[0]),
        r"shape \(3, 4, 2\)",
    ),
    "no steps": (
        lambda: interpret.integrated_gradients(LINEAR, X, BASELINE, steps=0),
        "at least 1, got 0",
    ),
    "half a step": (
        lambda: interpret.integrated_gradients(LINEAR, X, BASELINE, steps=0.5),
        "at least 1, got 0.5",
    ),
    "ids that are not embedded": (lambda: LINEAR(IDS), r"\(batch, time, size\), got shape \(2, 3"),
    "a score a token": (
        lambda: interpret.gradient(LAYER, lambda x: ops.sum(x, axis=2))(X),
        "one number a text",
    ),
    "a score a token, blanked": (
        lambda: interpret.leave_one_out(lambda ids: ids, IDS, IDS > 0, 0),
        "one number a text",
    ),
    "a target position out of range": (
        lambda: interpret.target_context(SEQ, SOURCES, TARGETS, [1, 2]),
        "target 1 has 2 tokens, no position 2",
    ),
    "a negative position": (
        lambda: interpret.target_context(SEQ, SOURCES, TARGETS, [-1, 1]),
        "no position -1",
    ),
    "an unknown target token": (
        lambda: interpret.target_context(SEQ, SOURCES, [[9], [0]], [0, 0]),
        r"lie in \[0, 6\)",
    ),
    "fewer targets": (
        lambda: interpret.target_context(SEQ, SOURCES, TARGETS[:1], [0]),
        "2 sources, 1 targets",
    ),
    "no batch": (lambda: interpret.in_batches(total, 0), "at least 1, got 0"),
    "a mask of ints": (lambda: interpret.leave_one_out(total, IDS, IDS, 0), "mask must be bools"),
    "a text": (lambda: interpret.leave_one_out(total, ["ab"], [True], 0), "ids must be integers"),
    "an order too few": (lambda: interpret.deletion_curves(total, IDS, [[0]], 0), "2 texts need"),
    "a place outside": (
        lambda: interpret.deletion_curves(total, IDS, [[3], [0]], 0),
        r"lie in \[0, 3\), got 3 to 3",
    ),
    "a place twice": (
        lambda: interpret.deletion_curves(total, IDS, [[1, 1], [0]], 0),
        "each position once",
    ),
    "no way down": (lambda: interpret.deletion_area([1.0]), "at least two values"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_bad_input_is_refused_with_what_was_received(mistake):
    call, message = BAD[mistake]
    with pytest.raises(ValueError, match=message):
        call()
