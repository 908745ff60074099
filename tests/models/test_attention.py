import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from textgen_utils.models.attention import CausalSelfAttention, attention, causal_mask

RNG = np.random.default_rng(1)


def by_hand(queries, keys, values, mask):
    """The sums of the definition, one query at a time, float64."""
    mixed = np.zeros((len(queries), values.shape[1]))
    weights = np.zeros((len(queries), len(keys)))
    for t, query in enumerate(queries):
        seen = np.flatnonzero(mask[t])
        fit = np.array([np.exp(query @ keys[s] / np.sqrt(len(query))) for s in seen])
        weights[t, seen] = fit / fit.sum()
        for s in seen:
            mixed[t] += weights[t, s] * values[s]
    return mixed, weights


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_attention_is_the_sum_of_its_definition(m, n, size, seed):
    rng = np.random.default_rng(seed)
    queries, keys, values = (rng.normal(size=(rows, size)).astype("float32") for rows in (m, n, n))
    mask = rng.random((m, n)) < 0.6
    mask[np.arange(m), rng.integers(n, size=m)] = True
    mixed, weights = (
        ops.convert_to_numpy(x) for x in attention(ops.array(queries), keys, values, mask)
    )
    expected = by_hand(queries.astype(float), keys, values, mask)
    np.testing.assert_allclose(mixed, expected[0], atol=1e-5)
    np.testing.assert_allclose(weights, expected[1], atol=1e-6)
    assert not weights[~mask].any()


def test_the_causal_mask_shows_the_past_and_the_present():
    expected = [[s <= t for s in range(6)] for t in range(6)]
    np.testing.assert_array_equal(ops.convert_to_numpy(causal_mask(6)), expected)


def keras_twin(layer, width, heads):
    """Keras's own layer with the same weights."""
    size = width // heads
    twin = keras.layers.MultiHeadAttention(heads, size, use_bias=False)
    twin.build((None, None, width), (None, None, width))
    project, combine = layer.get_weights()
    parts = project.reshape(width, 3, heads, size)
    query, key, value = (parts[:, i] for i in range(3))
    by_name = {"query": query, "key": key, "value": value}
    by_name["attention_output"] = combine.reshape(heads, size, width)
    for weight in twin.weights:
        weight.assign(next(v for k, v in by_name.items() if f"/{k}/" in f"/{weight.path}"))
    return twin


@pytest.mark.parametrize("heads", [1, 2, 6])
def test_equal_to_the_layer_of_keras_with_the_same_weights(heads):
    layer = CausalSelfAttention(12, heads, output_scale=1.0, seeds=(1, 2, 3))
    layer.build((None, None, 12))
    layer.project.kernel.assign(RNG.normal(size=(12, 36)) / 3)
    x = RNG.normal(size=(3, 7, 12)).astype("float32")
    expected, weights = keras_twin(layer, 12, heads)(
        x, x, use_causal_mask=True, return_attention_scores=True
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(expected), atol=1e-5
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.weights_of(x)), ops.convert_to_numpy(weights), atol=1e-5
    )


def test_dropout_takes_weights_away_and_keeps_their_mean():
    layer = CausalSelfAttention(8, 2, dropout=0.5, output_scale=1.0, seeds=(1, 2, 3))
    x = ops.array(RNG.normal(size=(1, 5, 8)).astype("float32"))
    calm = ops.convert_to_numpy(layer(x))
    runs = np.stack([ops.convert_to_numpy(layer(x, training=True)) for _ in range(300)])
    assert np.abs(runs[0] - calm).max() > 1e-3
    error = runs.std(axis=0) / np.sqrt(len(runs))
    assert np.all(np.abs(runs.mean(axis=0) - calm) < 5 * error + 1e-6)


@pytest.mark.parametrize("heads", [0, 5])
def test_heads_that_do_not_divide_the_width_are_refused(heads):
    with pytest.raises(ValueError, match=f"multiple of the heads, got 12 and {heads}"):
        CausalSelfAttention(12, heads)
