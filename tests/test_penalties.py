"""Penalties against Keras's regularizers, closed forms, and decoupled decay."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from textgen_utils.batches import Windows
from textgen_utils.models.base import to_numpy
from textgen_utils.training import PenalisedLoss, penalised, penalty, token_loss, train_on
from textgen_utils.training.penalties import matrices_of

IDS = np.random.default_rng(0).integers(5, size=400).astype("int32")


def make():
    seeds = iter(range(3))
    uniform = keras.initializers.RandomUniform
    return keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            keras.layers.Embedding(5, 6, uniform(seed=next(seeds))),
            keras.layers.Dense(6, "tanh", kernel_initializer=uniform(seed=next(seeds))),
            keras.layers.Dense(5, kernel_initializer=uniform(seed=next(seeds))),
        ]
    )


def trained(optimizer, model=None, **weights):
    """Weights after 12 steps, and the curve."""
    model = model or make()
    loss = penalised(model, **weights) if weights else None
    batches = Windows(IDS, 8, 4, 6, seed=1)
    curve = train_on(
        model, batches, validate=iter([2.0, 1.0]).__next__, steps=12, optimizer=optimizer, loss=loss
    )
    return model.get_weights(), curve


def largest_difference(first, second):
    return max(np.abs(a - b).max() for a, b in zip(first, second, strict=True))


@settings(max_examples=25)
@given(
    arrays(np.float32, (3, 2), elements=st.floats(-3, 3, width=32)),
    st.floats(0, 2),
    st.floats(0, 2),
)
def test_a_penalty_is_that_of_keras_regularizers(theta, l1, l2):
    expected = to_numpy(keras.regularizers.L1L2(l1=l1, l2=l2 / 2)(ops.convert_to_tensor(theta)))
    found = to_numpy(penalty([theta], l1=l1, l2=l2))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_only_matrices_are_penalised():
    model = make()
    assert {len(v.shape) for v in matrices_of(model)} == {2}
    biases = [v for v in model.trainable_variables if len(v.shape) == 1]
    assert len(matrices_of(model)) + len(biases) == len(model.trainable_variables)
    assert biases


@pytest.mark.parametrize("weights", [{"l1": 0.01}, {"l2": 0.3}, {"l1": 0.02, "l2": 0.1}])
def test_a_penalised_training_is_keras_with_regularizers(weights):
    optimizer = keras.optimizers.Adam(0.01)
    ours, curve = trained(optimizer, **weights)
    other = make()
    inner = keras.regularizers.L1L2(l1=weights.get("l1", 0.0), l2=weights.get("l2", 0.0) / 2)
    for variable in matrices_of(other):
        variable.regularizer = inner
    theirs, other_curve = trained(keras.optimizers.Adam(0.01), other)
    assert largest_difference(ours, theirs) < 1e-5
    np.testing.assert_allclose(curve.train, other_curve.train, atol=1e-5)
    free, _ = trained(keras.optimizers.Adam(0.01))
    assert largest_difference(ours, free) > 1e-3


def decayed(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def test_the_square_penalty_is_decoupled_decay_under_plain_descent_only():
    k, strength = keras.optimizers, 0.5
    descent, _ = trained(k.SGD(0.1), l2=strength)
    decoupled, _ = trained(decayed(k.SGD(0.1, weight_decay=strength)))
    assert largest_difference(descent, decoupled) < 1e-6
    adam, _ = trained(k.Adam(0.01), l2=strength)
    adamw, _ = trained(decayed(k.Adam(0.01, weight_decay=strength)))
    assert largest_difference(adam, adamw) > 0.02


def test_a_penalty_of_zero_is_none():
    free, _ = trained(keras.optimizers.Adam(0.01))
    zero, _ = trained(keras.optimizers.Adam(0.01), l1=0.0, l2=0.0)
    assert largest_difference(free, zero) < 1e-7


def test_the_penalty_does_not_depend_on_batch_or_mask():
    model = make()
    loss, plain = penalised(model, l2=1.0), token_loss()
    charged = sum(0.5 * (w**2).sum() for w in model.get_weights() if w.ndim > 1)
    rng = np.random.default_rng(0)
    for batch, mask in ((1, None), (3, np.array([[1, 0], [1, 1], [0, 1]], "float32"))):
        logits = rng.normal(size=(batch, 2, 5)).astype("float32")
        targets = rng.integers(5, size=(batch, 2))
        both = [to_numpy(f(targets, logits, mask)) for f in (loss, plain)]
        assert both[0] - both[1] == pytest.approx(charged, rel=1e-5)


def test_the_config_names_the_strengths_and_the_inner_loss():
    config = penalised(make(), l1=0.1).get_config()
    assert (config["l1"], config["l2"], config["loss"][0]) == (0.1, 0.0, "TokenLoss")


@pytest.mark.parametrize("wrong", [-1e-9, float("nan"), float("inf"), True, "0.1", None])
@pytest.mark.parametrize("name", ["l1", "l2"])
def test_strengths_must_be_finite_and_not_negative(name, wrong):
    model = make()
    for call in (
        lambda: penalised(model, **{name: wrong}),
        lambda: penalty([np.ones(2)], **{name: wrong}),
        lambda: PenalisedLoss(token_loss(), matrices_of(model), **{name: wrong}),
    ):
        with pytest.raises(ValueError, match=f"{name} of a penalty must be finite and at least 0"):
            call()


def test_what_cannot_be_penalised_is_refused():
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="no matrix to penalise"):
        penalised(unbuilt, l2=0.1)
    with pytest.raises(ValueError, match="must be a Keras loss"):
        penalised(make(), l2=0.1, loss="mse")
    with pytest.raises(ValueError, match="at least one variable"):
        penalty([], l2=0.1)
