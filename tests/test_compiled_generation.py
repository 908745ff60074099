"""Compiled generation against the loop on the host, and the state in tensors against `step`."""

import numpy as np
import pytest

from textgen_utils import decoding
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT

V = 11
ROOM = 16


def drawn(model):
    """The model with weights that make its predictions differ."""
    rng = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.6, weight.shape))
    return model


@pytest.fixture(scope="module")
def models():
    gpt = GPT(V, max_context=ROOM, width=8, heads=2, depth=2, boundary=0)
    return {"gpt": drawn(gpt), "lstm": drawn(LSTMLanguageModel(V, width=8, depth=2, boundary=0))}


@pytest.mark.parametrize(
    ("kind", "length", "prompt", "settings"),
    [
        ("gpt", 16, [], {}),
        ("gpt", 9, [[4, 5, 6], [1, 1, 2]], {"greedy": True, "batch_size": 2}),
        ("gpt", 10, [3, 7, 1, 2, 8], {"temperature": 0.7, "top_k": 4, "batch_size": 3}),
        ("gpt", 12, [3, 7], {"nucleus": 0.8, "batch_size": 4, "stop": 2}),
        ("lstm", 20, [3, 7, 1, 2, 8], {"nucleus": 0.9, "batch_size": 3}),
        ("lstm", 20, [], {"batch_size": 8, "stop": 0}),
    ],
)
def test_a_compiled_sampler_writes_what_the_loop_writes(models, kind, length, prompt, settings):
    model = models[kind]
    sampler = decoding.CompiledSampler(model, length, **settings)
    for seed in range(5):
        expected = decoding.generate(model, prompt, length, seed=seed, **settings)
        found = sampler(prompt, seed=seed)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)


def test_a_sampler_sees_new_weights_and_prompts_of_any_length(models):
    model = drawn(GPT(V, max_context=ROOM, width=8, heads=2, depth=1, boundary=0))
    sampler = decoding.CompiledSampler(model, 4, greedy=True)
    for prompt in ([1, 2], [5, 4, 3], [6]):  # the boundary and these are 3, 4 and 2
        expected = decoding.generate(model, prompt, 4, greedy=True, seed=0)
        np.testing.assert_array_equal(sampler(prompt, seed=0), expected)
    before = sampler([1, 2], seed=0)
    model.tokens.embeddings.assign(np.roll(model.tokens.embeddings, 1, axis=0))
    after = sampler([1, 2], seed=0)
    expected = decoding.generate(model, [1, 2], 4, greedy=True, seed=0)
    np.testing.assert_array_equal(after, expected)
    assert (before != after).any()


def test_all_stop_at_once_and_a_stopped_row_goes_on_with_stop(models):
    sampler = decoding.CompiledSampler(models["lstm"], 30, batch_size=4, stop=3)
    rows = [sampler([], seed=seed) for seed in range(8)]
    assert {row.shape[1] for row in rows} != {30}
    for ids in rows:
        ended = np.cumsum(ids == 3, axis=1) > 0
        assert (ids[ended] == 3).all()
        assert ids.shape[1] == 30 or (ended[:, -1].all() and not ended[:, -2].all())


def test_what_a_level_just_below_one_draws_is_possible():
    log_probs = np.array([[np.log(0.25), np.log(0.75), -np.inf]], np.float32)
    level = np.nextafter(np.float32(1), np.float32(0))
    for u, token in ((0.0, 0), (0.2499, 0), (0.25, 1), (level, 1)):
        found = decoding.compiled.draw(log_probs, np.array([u], np.float32))
        assert int(found[0]) == token


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("gpt", {"width": 3, "n": 2, "alpha": 1.0}),
        ("lstm", {"width": 5, "alpha": 0.5}),
    ],
)
def test_a_compiled_beam_search_finds_what_the_search_finds(models, kind, settings):
    model = models[kind]
    expected = decoding.beam_search(model, 10, stop=0, **settings)
    found = decoding.CompiledBeamSearch(model, 10, stop=0, **settings)()
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.finished, expected.finished)
    np.testing.assert_array_equal(found.proven, expected.proven)
    np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-4)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt", "lstm"])
def test_reading_at_once_is_reading_in_turn(models, kind):
    model, ids = models[kind], np.array([[0, 4, 9, 9], [0, 2, 1, 9]], np.int32)
    logits, state = model.read(ids, 3, model.begin(2, 8))
    in_turn = model.begin(2, 8)
    for t in range(3):
        one, in_turn = model.advance(ids[:, t], in_turn)
    np.testing.assert_allclose(logits, one, atol=1e-4)
    later, _ = model.advance(np.array([7, 7], np.int32), state)
    expected, _ = model.advance(np.array([7, 7], np.int32), in_turn)
    np.testing.assert_allclose(later, expected, atol=1e-4)


def test_what_cannot_be_is_refused(models):
    ngram = NGram(2, V, 0)
    with pytest.raises(ValueError, match=r"got NGram: use decoding\.generate"):
        decoding.CompiledSampler(ngram, 4)
    with pytest.raises(ValueError, match=r"got NGram: use decoding\.beam_search"):
        decoding.CompiledBeamSearch(ngram, 4, width=2, stop=0)
    gpt = models["gpt"]
    for settings, message in (
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"stop": V}, f"stop must be one of {V} tokens, got {V}"),
        ({"top_k": V + 1}, "top_k must be an integer"),
        ({"greedy": True, "nucleus": 0.5}, "leave the filters out"),
        ({"length": ROOM + 1}, f"the model reads at most {ROOM} tokens"),
    ):
        with pytest.raises(ValueError, match=message):
            decoding.CompiledSampler(gpt, **{"length": 4, **settings})
    sampler = decoding.CompiledSampler(gpt, 4, batch_size=2)
    with pytest.raises(ValueError, match="got 3 prompts for batch_size=2"):
        sampler([[1], [2], [3]], seed=0)
    with pytest.raises(ValueError, match="shorten one of them"):
        sampler(np.ones(ROOM, int), seed=0)
    with pytest.raises(ValueError, match="width must be at least 1"):
        decoding.CompiledBeamSearch(gpt, 4, width=0, stop=0)
