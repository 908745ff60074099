"""The cache against two loops that find the matches by slicing."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import is_one_model_in_three_ways, keeps_old_states

from textgen_utils.models.cache import Cached
from textgen_utils.models.distributions import distributions
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel

V, BOUNDARY = 4, 0
MODEL = NGram(2, V, BOUNDARY).fit(np.random.default_rng(0).integers(V, size=80))
IDS = np.random.default_rng(1).integers(V, size=(3, 30)).astype("int32")


def naive(p, read, size, shortest, longest, discount, strength):
    """The formula of `Cached`, from what was read, the boundary in front: (V,) to (V,)."""
    p = list(p)
    for k in range(shortest, longest + 1):
        end, followed = read[len(read) - k :], Counter()
        for i in range(len(read) - k):
            remembered = size is None or i + k >= len(read) - size
            if remembered and read[i : i + k] == end:
                followed[read[i + k]] += 1
        total = strength + sum(followed.values())
        if k > len(read) or total == 0:
            continue
        below = strength + discount * len(followed)
        p = [(max(followed[w] - discount, 0) + below * p[w]) / total for w in range(len(p))]
    return p


def naive_along(model, ids, **options):
    p = np.exp(distributions(model, ids[None]))[0]
    read = [BOUNDARY, *ids.tolist()]
    return np.array([naive(p[t], read[: t + 1], **options) for t in range(len(ids))])


OPTIONS = st.fixed_dictionaries(
    {
        "size": st.none() | st.integers(1, 40),
        "discount": st.sampled_from([0.0, 0.3, 0.8, 1.0]),
        "strength": st.sampled_from([0.0, 0.5, 3.0]),
    }
)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), OPTIONS, st.data())
def test_the_cache_is_its_formula(text, options, data):
    shortest = data.draw(st.integers(1, 4))
    options |= {"shortest": shortest, "longest": data.draw(st.integers(shortest, 7))}
    ids = np.array(text)
    found = np.exp(Cached(MODEL, **options).distributions(ids[None])[0])
    np.testing.assert_allclose(found, naive_along(MODEL, ids, **options), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("size", [None, 1, 7, 1000])
def test_step_distributions_and_score_agree(size):
    cached = Cached(MODEL, size=size, shortest=1, longest=4)
    is_one_model_in_three_ways(cached, IDS)
    keeps_old_states(cached, IDS)


def test_a_cache_in_front_of_a_network_and_of_a_cache():
    network = LSTMLanguageModel(V, width=4, boundary=BOUNDARY, seed=1)
    twice = Cached(Cached(network, shortest=1, size=5), shortest=2)
    is_one_model_in_three_ways(twice, IDS, atol=1e-5)


def test_the_first_copy_of_a_text_without_repetition_is_the_models():
    wide = NGram(1, 40, BOUNDARY).fit(np.arange(40))
    once = 1 + np.random.default_rng(2).permutation(39)[None]
    cached = Cached(wide, shortest=1)
    np.testing.assert_allclose(cached.distributions(once), distributions(wide, once), atol=1e-12)
    twice = np.tile(once, 2)
    assert cached.score(twice)[0, 41:].mean() > wide.score(twice)[0, 41:].mean() + 1


def test_a_memory_larger_than_the_history_is_the_whole_history():
    whole = Cached(MODEL, shortest=1).distributions(IDS)
    for size in (IDS.shape[1], 10**9):
        larger = Cached(MODEL, shortest=1, size=size).distributions(IDS)
        np.testing.assert_array_equal(larger, whole)
    smaller = Cached(MODEL, shortest=1, size=3).distributions(IDS)
    assert np.abs(np.exp(smaller) - np.exp(whole)).max() > 0.01


def test_the_memory_does_not_grow_beyond_its_size():
    cached, tokens = Cached(MODEL, size=5), np.array([1, 2])
    state = cached.initial_state(2)
    for _ in range(20):
        _, state = cached.step(tokens, state)
    assert state.read.shape == (2, 6)
    assert state.match.shape == (2, 5)


def test_nothing_below_is_heard_without_discount_and_strength():
    ids = np.array([[1, 2, 1, 3, 1]])
    options = {"shortest": 1, "longest": 1, "discount": 0, "strength": 0}
    p = np.exp(Cached(MODEL, **options).distributions(np.append(ids, [[0]], axis=1)))[0, -1]
    np.testing.assert_allclose(p, [0, 0, 0.5, 0.5])


def test_all_discounted_is_the_model_below():
    found = Cached(MODEL, shortest=1, discount=1, strength=0).distributions(np.ones((1, 9), int))
    assert np.isfinite(found).all()
    # one successor, seen n times: n - 1 of n counts are kept, 1 / n goes to the model
    p = np.exp(distributions(MODEL, np.ones((1, 2), int)))[0, 1]
    once = Cached(MODEL, shortest=1, discount=1, strength=0, longest=1)
    first_match = np.exp(once.distributions(np.ones((1, 9), int)))[0, 2]
    np.testing.assert_allclose(first_match, p, atol=1e-12)


def test_texts_do_not_see_each_other():
    cached = Cached(MODEL, shortest=1)
    alone = np.concatenate([cached.distributions(row[None]) for row in IDS])
    np.testing.assert_allclose(cached.distributions(IDS), alone, atol=1e-12)


def test_a_text_without_tokens():
    assert Cached(MODEL).score(np.zeros((2, 0), int)).shape == (2, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be at least 1 token, or None for all; got 0"),
        ({"size": -3}, "size must be at least 1"),
        ({"shortest": 0}, "1 <= shortest <= longest; got 0 and 10"),
        ({"shortest": 4, "longest": 3}, "got 4 and 3"),
        ({"discount": 1.1}, r"discount must lie in \[0, 1\]; got 1.1"),
        ({"discount": float("nan")}, "discount"),
        ({"strength": -1}, "strength must be at least 0 and finite; got -1"),
        ({"strength": float("inf")}, "strength"),
        ({"strength": float("nan")}, "strength"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Cached(MODEL, **options)


@pytest.mark.parametrize("ids", [[[0, V]], [[-1]], [0, 1], "text"])
def test_ids_that_are_none_are_refused(ids):
    with pytest.raises(ValueError, match="ids must"):
        Cached(MODEL).score(ids)
    with pytest.raises(ValueError, match="ids must"):
        Cached(MODEL).step(np.array([V]), Cached(MODEL).initial_state(1))
