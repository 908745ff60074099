"""Memories of a network against scikit-learn's neighbours and against loops."""

import numpy as np
import pytest
from predictions import is_one_model_in_three_ways, keeps_old_states
from scipy.special import log_softmax
from sklearn.neighbors import NearestNeighbors

from textgen_utils.models.distributions import distributions
from textgen_utils.models.mixture import Mixture
from textgen_utils.models.neighbours import NearestNeighbours, NeuralCache
from textgen_utils.models.recurrent import LSTMLanguageModel

V, WIDTH, BOUNDARY = 6, 5, 1
RNG = np.random.default_rng(0)
IDS = RNG.integers(V, size=(2, 14)).astype("int32")
STORED = RNG.integers(V, size=60).astype("int32")


@pytest.fixture(scope="module")
def network() -> LSTMLanguageModel:
    model = LSTMLanguageModel(V, width=WIDTH, depth=2, boundary=BOUNDARY, seed=1)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def test_the_vectors_are_those_from_which_the_network_predicts(network):
    vectors = network.vectors(IDS)
    kernel, bias = network.get_weights()[-2:]
    predicted = log_softmax(vectors.astype("float64") @ kernel + bias, axis=-1)
    np.testing.assert_allclose(predicted, distributions(network, IDS), atol=1e-5)
    state, tokens = network.initial_state(len(IDS)), np.full(len(IDS), BOUNDARY)
    for t in range(IDS.shape[1]):
        _, state = network.step(tokens, state)
        np.testing.assert_allclose(network.vector(state), vectors[:, t], atol=1e-5)
        tokens = IDS[:, t]


@pytest.mark.parametrize(("k", "temperature"), [(1, 1.0), (7, 0.3), (60, 4.0)])
def test_neighbours_are_those_of_scikit_learn(network, k, temperature):
    keys, queries = network.vectors(STORED[None])[0], network.vectors(IDS).reshape(-1, WIDTH)
    distance, nearest = NearestNeighbors(n_neighbors=k).fit(keys).kneighbors(queries)
    expected = np.zeros((len(queries), V))
    for row, (d, places) in enumerate(zip(distance, nearest, strict=True)):
        weights = np.exp(-(d**2) / temperature)
        for weight, place in zip(weights / weights.sum(), places, strict=True):
            expected[row, STORED[place]] += weight
    model = NearestNeighbours(network, STORED, k=k, temperature=temperature)
    found = np.exp(model.distributions(IDS)).reshape(-1, V)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_stored_text_is_known_by_heart(network):
    model = NearestNeighbours(network, STORED, k=1)
    np.testing.assert_allclose(model.score(STORED[None]), 0, atol=1e-6)


def test_the_neural_cache_is_its_formula(network):
    size, theta = 5, 0.7
    vectors = network.vectors(IDS).astype("float64")
    expected = np.zeros((*IDS.shape, V))
    for b in range(len(IDS)):
        expected[b, 0] = 1 / V
        for t in range(1, IDS.shape[1]):
            for i in range(max(0, t - size), t):
                expected[b, t, IDS[b, i]] += np.exp(theta * vectors[b, t] @ vectors[b, i])
            expected[b, t] /= expected[b, t].sum()
    found = np.exp(NeuralCache(network, size=size, theta=theta).distributions(IDS))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_step_distributions_and_score_of_the_cache_agree(network, size):
    cache = NeuralCache(network, size=size)
    is_one_model_in_three_ways(cache, IDS, atol=1e-4)
    keeps_old_states(cache, IDS)


def test_step_distributions_and_score_of_the_neighbours_agree(network):
    model = NearestNeighbours(network, STORED, k=4)
    is_one_model_in_three_ways(model, IDS, atol=1e-4)
    keeps_old_states(model, IDS)


def test_with_the_network_they_are_one_model(network):
    parts = [network, NeuralCache(network, size=3), NearestNeighbours(network, STORED, k=4)]
    is_one_model_in_three_ways(Mixture(parts, [0.8, 0.1, 0.1]), IDS, atol=1e-4)


def test_a_memory_larger_than_the_history_is_the_whole_history(network):
    whole = NeuralCache(network, size=IDS.shape[1]).distributions(IDS)
    larger = NeuralCache(network, size=10**6).distributions(IDS)
    np.testing.assert_array_equal(larger, whole)
    smaller = NeuralCache(network, size=2).distributions(IDS)
    assert np.abs(np.exp(smaller) - np.exp(whole)).max() > 0.01


def test_the_memory_does_not_grow_beyond_its_size(network):
    cache = NeuralCache(network, size=3)
    state = cache.initial_state(2)
    for _ in range(8):
        _, state = cache.step(IDS[:, 0], state)
    assert state[1].shape == (2, 4, WIDTH)
    assert state[2].shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, r"k must lie in \[1, 60\], the stored tokens; got 0"),
        ({"k": 61}, "got 61"),
        ({"temperature": 0}, "temperature must be above 0 and finite; got 0"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_bad_neighbours_are_refused(network, options, message):
    with pytest.raises(ValueError, match=message):
        NearestNeighbours(network, STORED, **options)


@pytest.mark.parametrize("ids", [[], [[0, 1]], [V], "text"])
def test_what_is_no_text_is_not_stored(network, ids):
    with pytest.raises(ValueError, match=r"ids must|k must"):
        NearestNeighbours(network, ids, k=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be at least 1; got 0"),
        ({"theta": 0}, "theta must be above 0 and finite; got 0"),
        ({"theta": float("inf")}, "theta"),
    ],
)
def test_bad_caches_are_refused(network, options, message):
    with pytest.raises(ValueError, match=message):
        NeuralCache(network, **options)
