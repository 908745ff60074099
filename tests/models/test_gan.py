"""The critic and relaxed texts, against frequencies, the model's own score and a matrix product."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import stats

from textgen_utils.models.gan import Discriminator, gumbel_noise, gumbel_softmax
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.relaxed import Drawer, Relaxed


def small(**options):
    """A language model over three tokens with weights of some size, boundary 0."""
    model = LSTMLanguageModel(3, width=3, boundary=0, seed=1, **options)
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_the_largest_entry_is_a_draw_from_the_softmax(temperature):
    p, rng = np.array([0.5, 0.3, 0.15, 0.05]), np.random.default_rng(0)
    logits = np.log(p).astype("float32") + 3
    noise = gumbel_noise((20_000, 4), rng)
    drawn = numpy(gumbel_softmax(logits, noise, temperature)).argmax(axis=-1)
    assert stats.chisquare(np.bincount(drawn, minlength=4), 20_000 * p).pvalue > 1e-3


def test_noise_is_gumbel_and_finite():
    noise = gumbel_noise((20_000,), np.random.default_rng(1))
    assert noise.dtype == np.float32
    assert np.isfinite(noise).all()
    assert stats.kstest(noise, "gumbel_r").pvalue > 1e-3


@given(seed=st.integers(0, 1000), temperature=st.floats(0.05, 20))
@settings(max_examples=15)
def test_relaxed_tokens_are_distributions(seed, temperature):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, 5)).astype("float32")
    noise = gumbel_noise((3, 5), rng)
    relaxed = numpy(gumbel_softmax(logits, noise, temperature))
    wanted = np.exp((logits + noise - (logits + noise).max(1, keepdims=True)) / temperature)
    np.testing.assert_allclose(relaxed, wanted / wanted.sum(1, keepdims=True), atol=1e-5)
    hard = numpy(gumbel_softmax(logits, noise, temperature, straight_through=True))
    np.testing.assert_allclose(hard, np.eye(5)[(logits + noise).argmax(axis=1)], atol=1e-6)


def test_temperature_to_zero_gives_one_hot_and_to_infinity_uniform():
    rng = np.random.default_rng(3)
    logits, noise = rng.normal(size=(50, 4)).astype("float32"), gumbel_noise((50, 4), rng)
    cold = numpy(gumbel_softmax(logits, noise, 1e-4))
    np.testing.assert_allclose(cold, np.eye(4)[(logits + noise).argmax(axis=1)], atol=1e-3)
    np.testing.assert_allclose(numpy(gumbel_softmax(logits, noise, 1e4)), 0.25, atol=1e-2)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        gumbel_softmax(np.zeros(3, "float32"), np.zeros(3, "float32"), temperature)


def test_drawn_texts_have_the_models_frequencies():
    model = small()
    rows = Drawer(model, 3)(6000, np.random.default_rng(4))
    every = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    # texts that have ended go on with the boundary, so several continuations are one text
    ended = np.cumsum(every == 0, axis=1) - (every == 0) > 0
    texts = every[~(ended & (every != 0)).any(axis=1)]
    inside = np.cumsum(texts == 0, axis=1) - (texts == 0) == 0
    p = np.exp(np.where(inside, model.score(texts).astype(float), 0).sum(axis=1))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    counts = [(rows == text).all(axis=1).sum() for text in texts]
    assert sum(counts) == 6000
    assert stats.chisquare(counts, 6000 * p / p.sum()).pvalue > 1e-3


def test_a_text_goes_on_as_it_is_told_to():
    model = small(depth=2)
    begun = np.random.default_rng(0).integers(1, 3, size=(40, 2))
    rows = Drawer(model, 5)(40, np.random.default_rng(4), begun)
    np.testing.assert_array_equal(rows[:, :2], begun)
    assert len(np.unique(rows[:, 2:], axis=0)) > 3


def test_straight_texts_are_the_drawn_ones_and_relaxed_ones_approach_them():
    model, length = small(), 4
    drawn = np.eye(3)[Drawer(model, length)(64, np.random.default_rng(5))]
    noise = gumbel_noise((64, length, 3), np.random.default_rng(5))
    straight = Relaxed(model, straight_through=True).predict_on_batch(noise)
    np.testing.assert_allclose(straight, drawn, atol=1e-5)
    relaxed = Relaxed(model)
    warm = relaxed.predict_on_batch(noise)
    np.testing.assert_allclose(warm.sum(axis=-1), 1, atol=1e-5)
    assert np.abs(warm - drawn).mean() > 0.05
    relaxed.temperature.assign(1e-3)
    assert np.abs(relaxed.predict_on_batch(noise) - drawn).mean() < 0.01


def test_ids_and_their_one_hot_vectors_are_one_text():
    critic = Discriminator(7, width=4, filters=3, kernel_sizes=(1, 2), seed=1)
    ids = np.random.default_rng(0).integers(7, size=(5, 6)).astype("int32")
    logits = numpy(critic(ids))
    assert logits.shape == (5,)
    np.testing.assert_allclose(logits, numpy(critic(np.eye(7, dtype="float32")[ids])), atol=1e-5)
    p = critic.probabilities(ids)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_the_critic_is_the_formula():
    critic = Discriminator(6, width=3, filters=2, kernel_sizes=(1, 3), seed=1)
    rng = np.random.default_rng(1)
    critic.set_weights([rng.normal(size=w.shape).astype("float32") for w in critic.weights])
    ids = rng.integers(6, size=7)
    table, narrow, narrow_b, wide, wide_b, hidden, hidden_b, head, head_b = critic.get_weights()
    x = table[ids]
    edge = np.pad(x, ((1, 1), (0, 0)))
    three = np.stack([np.einsum("ki,kio->o", edge[t : t + 3], wide) for t in range(7)])
    best = [np.maximum(x @ narrow[0] + narrow_b, 0), np.maximum(three + wide_b, 0)]
    u = np.maximum(np.concatenate([b.max(axis=0) for b in best]) @ hidden + hidden_b, 0)
    wanted = (u @ head + head_b)[0]
    np.testing.assert_allclose(numpy(critic(ids[None]))[0], wanted, rtol=1e-4, atol=1e-4)


def test_save_and_load(tmp_path):
    critic = Discriminator(7, width=4, filters=3, kernel_sizes=(1, 2), dropout=0.2, seed=1)
    ids = np.random.default_rng(0).integers(7, size=(5, 6)).astype("int32")
    critic.save(tmp_path / "critic.keras")
    loaded = keras.saving.load_model(tmp_path / "critic.keras")
    np.testing.assert_allclose(loaded.probabilities(ids), critic.probabilities(ids), atol=1e-6)
    assert loaded.get_config() == critic.get_config()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 0}, "width"),
        ({"filters": 0}, "filters"),
        ({"dropout": 1.0}, "dropout"),
        ({"kernel_sizes": ()}, "kernel_sizes"),
        ({"kernel_sizes": (0, 2)}, "kernel_sizes"),
    ],
)
def test_bad_settings(options, word):
    with pytest.raises(ValueError, match=word):
        Discriminator(5, **options)


def test_bad_texts():
    critic = Discriminator(5, width=2, filters=2, seed=1)
    for rows in (np.zeros((0, 3), int), [[5, 1]], [1, 2]):
        with pytest.raises(ValueError, match=r"shape|\[0, 5\)|axis|axes"):
            critic.probabilities(rows)
    critic.set_weights([np.full(w.shape, np.nan) for w in critic.weights])
    with pytest.raises(FloatingPointError, match="diverged"):
        critic.probabilities([[1, 2]])
    with pytest.raises(ValueError, match="length"):
        Drawer(small(), 0)
