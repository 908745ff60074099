"""Exposure against enumeration, the accountant against integration, DP-SGD against Keras's SGD."""

from itertools import pairwise, product
from math import comb, inf

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from textgen_utils import privacy
from textgen_utils.models.compiled import shift_right
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel

ROWS = np.array([[1, 2, 3, 0, 0], [4, 4, 0, 0, 0], [2, 1, 4, 3, 0]])
MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)


def model() -> LSTMLanguageModel:
    return LSTMLanguageModel(5, width=3, embedding_width=2, boundary=0, seed=1)


# Exposure


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=40, unique=True), st.data())
def test_exposure_is_the_log_of_the_count_over_the_rank(values, data):
    secret = data.draw(st.integers(0, len(values) - 1))
    rank = len(values) - stats.rankdata(values)[secret] + 1
    assert privacy.exposure(values, secret) == pytest.approx(np.log2(len(values) / rank))


def test_exposure_among_equals_and_extremes():
    assert privacy.exposure([-1.0] * 7, 3) == pytest.approx(np.log2(7 / 4))
    assert privacy.exposure([-1.0, -inf, -2.0, -3.0], 0) == 2
    assert privacy.exposure([-1.0, -inf, -2.0, -3.0], 1) == 0


def test_the_mean_exposure_of_a_random_rank_is_what_the_docstring_says():
    values = np.arange(4000.0)
    mean = np.mean([privacy.exposure(values, i) for i in range(0, 4000, 7)])
    assert mean == pytest.approx(1 / np.log(2), abs=0.02)


def test_codes_are_scored_as_whole_texts_are():
    ids = np.random.default_rng(0).integers(6, size=400)
    counts = NGram(4, 6, 0).fit(ids)
    prefix, symbols, length = [3, 1], [5, 2, 4], 3
    found = privacy.code_log_probs(counts, prefix, symbols, length)
    codes = np.array([*product(symbols, repeat=length)])
    texts = np.concatenate([np.tile(prefix, (len(codes), 1)), codes], axis=1)
    np.testing.assert_allclose(found, counts.score(texts)[:, 2:].sum(axis=1), atol=1e-12)
    one = privacy.code_log_probs(counts, [], symbols, 1)
    np.testing.assert_allclose(one, counts.score(np.array(symbols)[:, None])[:, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("prefix", "symbols", "length"), [([9], [1], 2), ([], [1, 1], 2), ([], [], 1), ([], [1], 0)]
)
def test_codes_that_cannot_be(prefix, symbols, length):
    counts = NGram(2, 6, 0).fit(np.arange(6))
    with pytest.raises(ValueError, match=r"code|ids"):
        privacy.code_log_probs(counts, prefix, symbols, length)


@pytest.mark.parametrize(("values", "secret"), [([], 0), ([0.0], 1), ([float("nan")], 0)])
def test_exposures_that_cannot_be(values, secret):
    with pytest.raises(ValueError, match="must be"):
        privacy.exposure(values, secret)


# The accountant


@pytest.mark.parametrize(("order", "noise", "share"), [(2, 1.0, 0.03), (8, 0.7, 0.2), (3, 2.0, 1)])
def test_the_divergence_is_that_of_a_mixture_of_gaussians(order, noise, share):
    def integrand(x: float) -> float:
        without = stats.norm.logpdf(x, 0, noise)
        given_it = np.logaddexp(
            np.log1p(-share) + without if share < 1 else -inf,
            np.log(share) + stats.norm.logpdf(x, 1, noise),
        )
        return np.exp(order * given_it - (order - 1) * without)

    total, _ = integrate.quad(integrand, -30, 30, limit=400, points=[0, 1, order])
    expected = np.log(total) / (order - 1)
    assert privacy.renyi(order, noise, share) == pytest.approx(expected, rel=1e-6)


def test_the_divergence_is_the_sum_over_binomials():
    order, noise, q = 5, 1.3, 0.1
    terms = [
        comb(order, k) * (1 - q) ** (order - k) * q**k * np.exp(k * (k - 1) / (2 * noise**2))
        for k in range(order + 1)
    ]
    assert privacy.renyi(order, noise, q) == pytest.approx(np.log(sum(terms)) / (order - 1))


def test_epsilon_of_the_plain_gaussian_mechanism():
    orders = np.arange(2, 257)
    by_hand = (10 * orders / (2 * 25) + np.log(1e5) / (orders - 1)).min()
    assert privacy.epsilon(5.0, 1, 10, 1e-5) == pytest.approx(by_hand)


def test_epsilon_falls_with_noise_and_grows_with_steps_and_share():
    at = [privacy.epsilon(noise, 0.03, 300, 1e-4) for noise in (0.5, 1.0, 2.0, 4.0)]
    assert all(a > b > 0 for a, b in pairwise(at))
    assert privacy.epsilon(1.0, 0.03, 600, 1e-4) > at[1]
    assert privacy.epsilon(1.0, 0.06, 300, 1e-4) > at[1]
    assert privacy.epsilon(0, 0.03, 300, 1e-4) == inf


@pytest.mark.parametrize("bad", [(-1, 0.1, 1, 0.1), (1, 0, 1, 0.1), (1, 0.1, 0, 0.1), (1, 1, 1, 1)])
def test_an_accountant_refuses(bad):
    with pytest.raises(ValueError, match="delta"):
        privacy.epsilon(*bad)


# Training


def one_step(clip: float, noise: float = 0.0, seed: int = 3) -> list[np.ndarray]:
    """The change of the weights in a step of SGD with rate 1 that takes all texts."""
    trained = model()
    before = trained.get_weights()
    privacy.train_privately(
        trained, ROWS, MASK, clip=clip, noise=noise, batch_size=3, steps=1,
        optimizer=keras.optimizers.SGD(1.0), seed=seed,
    )  # fmt: skip
    return [b - a for a, b in zip(before, trained.get_weights(), strict=True)]


def keras_step(row: int) -> list[np.ndarray]:
    """The change in a plain step of Keras's SGD on one text, cut to its own tokens."""
    trained = model()
    before, length = trained.get_weights(), int(MASK[row].sum())
    read = shift_right(ROWS[row : row + 1], 0)[:, :length]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(keras.optimizers.SGD(1.0), loss)
    trained.train_on_batch(read, ROWS[row : row + 1, :length])
    return [b - a for a, b in zip(before, trained.get_weights(), strict=True)]


def norm(change: list[np.ndarray]) -> float:
    return float(np.sqrt(sum((c**2).sum() for c in change)))


@pytest.fixture(scope="module")
def single() -> list[list[np.ndarray]]:
    return [keras_step(row) for row in range(3)]


def test_without_clip_and_noise_it_is_the_mean_of_the_texts_own_steps(single):
    expected = [np.mean(parts, axis=0) for parts in zip(*single, strict=True)]
    for change, mean in zip(one_step(inf), expected, strict=True):
        np.testing.assert_allclose(change, mean, atol=1e-6)


def test_long_gradients_are_clipped_and_short_ones_are_not(single):
    lengths = [norm(change) for change in single]
    clip = float(np.median(lengths))
    scales = [min(1, clip / length) for length in lengths]
    assert min(scales) < 0.99
    expected = [np.tensordot(scales, parts, 1) / 3 for parts in zip(*single, strict=True)]
    for change, mean in zip(one_step(clip), expected, strict=True):
        np.testing.assert_allclose(change, mean, atol=1e-6)


def test_the_noise_has_the_size_that_it_should():
    clip, noise = 1e-3, 50.0
    quiet, loud, again = one_step(clip), one_step(clip, noise), one_step(clip, noise)
    added = np.concatenate([(a - b).ravel() for a, b in zip(loud, quiet, strict=True)])
    assert stats.kstest(added / (noise * clip / 3), "norm").pvalue > 1e-3
    assert all((a == b).all() for a, b in zip(loud, again, strict=True))


def test_a_text_is_in_a_step_as_often_as_it_should_be(monkeypatch):
    trained, read = model(), []
    monkeypatch.setattr(trained, "train_on_batch", lambda x, y, w: read.append(y[0, 0]))
    rows, mask = np.tile(ROWS, (10, 1)), np.tile(MASK, (10, 1))
    privacy.train_privately(
        trained, rows, mask, clip=1.0, noise=0.0, batch_size=6, steps=200,
        optimizer=keras.optimizers.SGD(0.0), seed=0,
    )  # fmt: skip
    assert stats.binomtest(len(read), 30 * 200, 6 / 30).pvalue > 1e-3
    assert stats.chisquare(np.unique(read, return_counts=True)[1]).pvalue > 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"clip": 0},
        {"clip": -1},
        {"clip": inf, "noise": 1.0},
        {"noise": -1},
        {"noise": inf},
        {"batch_size": 0},
        {"batch_size": 4},
        {"steps": 0},
        {"steps": 1.5},
        {"mask": MASK[:2]},
        {"mask": np.zeros_like(MASK)},
        {"rows": ROWS + 1},
    ],
)
def test_bad_input_is_named(change):
    arguments = {"rows": ROWS, "mask": MASK, "clip": 1.0, "noise": 0.0, "batch_size": 2}
    arguments |= {"steps": 1, "optimizer": keras.optimizers.SGD(0.1), "seed": 0}
    with pytest.raises(ValueError, match="got"):
        privacy.train_privately(model(), **(arguments | change))


def test_an_optimizer_is_not_used_twice():
    used = keras.optimizers.SGD(0.0)
    arguments = {"clip": 1.0, "noise": 0.0, "batch_size": 1, "steps": 1, "seed": 0}
    privacy.train_privately(model(), ROWS, MASK, optimizer=used, **arguments)
    with pytest.raises(ValueError, match="used before"):
        privacy.train_privately(model(), ROWS, MASK, optimizer=used, **arguments)
