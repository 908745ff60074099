"""A sliding window against the convention of evaluation, and against the model it holds."""

import numpy as np
import pytest
from predictions import by_steps, is_one_model_in_three_ways, keeps_old_states

from textgen_utils import evaluation
from textgen_utils.models.base import to_numpy
from textgen_utils.models.distributions import distributions
from textgen_utils.models.mixture import Mixture
from textgen_utils.models.ngram import NGram
from textgen_utils.models.sliding import Sliding
from textgen_utils.models.transformer import GPT

V, BOUNDARY, LIMIT = 7, 2, 8
IDS = np.random.default_rng(0).integers(V, size=(2, 21)).astype("int32")


@pytest.fixture(scope="module")
def network() -> GPT:
    model = GPT(V, max_context=LIMIT, width=8, heads=2, depth=1, boundary=BOUNDARY, seed=1)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


@pytest.mark.parametrize("context", [1, 4, 7])
def test_it_is_the_convention_of_evaluation(network, context):
    expected = evaluation.token_log_probs(network, IDS[0], context=context, batch_size=2)
    sliding = Sliding(network, context=context, batch_size=2)
    np.testing.assert_allclose(sliding.score(IDS[:1])[0], expected, atol=1e-5)
    # and evaluation takes it for a model that has read everything
    whole = evaluation.token_log_probs(sliding, IDS[0])
    np.testing.assert_allclose(whole, expected, atol=1e-5)


@pytest.mark.parametrize("context", [1, 3, 7])
def test_step_distributions_and_score_agree(network, context):
    is_one_model_in_three_ways(Sliding(network, context=context, batch_size=2), IDS, atol=1e-4)


def test_each_window_is_read_from_the_boundary(network):
    context = 3
    predicted = by_steps(Sliding(network, context=context), IDS)
    stride = LIMIT - context
    for t in range(IDS.shape[1]):
        start = max(0, -(-(t + 1 - LIMIT) // stride) * stride)  # the first window that holds t
        window = np.full((2, LIMIT), BOUNDARY, "int32")  # filled up: what follows is not seen
        window[:, : t - start] = IDS[:, start:t]
        alone = distributions(network, window)[:, t - start]
        np.testing.assert_allclose(predicted[:, t], alone, atol=1e-4)


def test_a_text_within_the_limit_is_the_models(network):
    short = IDS[:, :LIMIT]
    sliding = Sliding(network)
    assert sliding.context == LIMIT // 2
    assert sliding.max_context is None
    np.testing.assert_array_equal(sliding.score(short), to_numpy(network.score(short)))
    np.testing.assert_array_equal(sliding.distributions(short), distributions(network, short))


def test_old_states_stay_valid(network):
    keeps_old_states(Sliding(network, context=2), IDS)


def test_with_it_a_network_and_counts_read_any_text(network):
    counts = NGram(2, V, BOUNDARY).fit(IDS[0])
    mixture = Mixture([Sliding(network, context=4, batch_size=2), counts], [0.5, 0.5])
    assert mixture.max_context is None
    is_one_model_in_three_ways(mixture, IDS, atol=1e-4)


@pytest.mark.parametrize("context", [0, -1, LIMIT, LIMIT + 1])
def test_a_context_out_of_range_is_refused(network, context):
    with pytest.raises(ValueError, match=r"context must lie in \[1, 8\)"):
        Sliding(network, context=context)


def test_other_bad_input_is_refused(network):
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        Sliding(network, batch_size=0)
    with pytest.raises(ValueError, match="any length already"):
        Sliding(NGram(2, V, BOUNDARY).fit(IDS[0]))
    for ids in ([[0, V]], [0, 1]):
        with pytest.raises(ValueError, match="ids must"):
            Sliding(network).score(ids)
