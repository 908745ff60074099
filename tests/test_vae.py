"""The variational autoencoder, held against quadrature, closed forms and finite differences."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import integrate, stats
from scipy.special import log_softmax, logsumexp
from sklearn.metrics import mutual_info_score

from textgen_utils import decoding
from textgen_utils.evaluation import text_log_probs
from textgen_utils.evaluation.latent import active_units, factor_information, mutual_information
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.latent import kl_from_prior, reparametrise
from textgen_utils.models.vae import VAE
from textgen_utils.training.vae import train_vae

SMALL = {"latent": 2, "width": 6, "encoder_width": 4, "embedding_width": 3, "boundary": 0}
TEXTS = np.array([[1, 4, 2, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0], [2, 2, 1, 4, 3, 1, 2, 0]])
numbers = st.floats(-3, 3)


def strong(model):
    """The same model with weights larger than at the start of training, so that mistakes show."""
    rng = np.random.default_rng(4)
    for weight in model.trainable_weights:
        weight.assign(0.7 * rng.normal(size=weight.shape))
    return model


def fresh(**changes):
    return VAE(5, **{**SMALL, "seed": 1, **changes})


def at_points(model, z, text):
    """log p(text | z) of each point."""
    return text_log_probs(model.condition(z), np.repeat(text[None], len(z), axis=0), len(z))


@pytest.fixture(scope="module")
def model():
    return strong(fresh())


@pytest.fixture(scope="module")
def line():
    """A model whose z is one number, and the exact log-probabilities of the texts under it."""
    model = strong(fresh(latent=1))
    grid = np.linspace(-9, 9, 2001)
    log_p = np.stack([at_points(model, grid[:, None], text) for text in TEXTS])
    exact = np.log(integrate.simpson(np.exp(log_p) * stats.norm.pdf(grid), x=grid))
    return model, exact


# The pieces


@given(numbers, numbers)
def test_the_kl_is_the_integral(mean, log_var):
    q = stats.norm(mean, np.exp(log_var / 2))
    low, high = q.ppf([1e-12, 1 - 1e-12])
    expected, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), low, high, points=[mean]
    )
    got = float(ops.convert_to_numpy(kl_from_prior(ops.array([mean]), ops.array([log_var])))[0])
    assert got == pytest.approx(expected, abs=2e-4)
    assert got > -1e-6


def test_draws_have_the_mean_and_the_variance():
    noise = np.random.default_rng(0).standard_normal(40_000)
    z = ops.convert_to_numpy(reparametrise(1.5, np.log(0.25), noise))
    assert stats.kstest(z, stats.norm(1.5, 0.5).cdf).pvalue > 0.01


def test_the_encoder_is_the_bidirectional_layer_of_keras(model):
    text = TEXTS[2:]
    twin = keras.layers.Bidirectional(keras.layers.LSTM(2))
    x = model.tokens(text)
    twin(x)
    twin.set_weights([*model.forwards.get_weights(), *model.backwards.get_weights()])
    mean, log_var = model.encode(text)
    np.testing.assert_allclose(mean, model.to_mean(twin(x)), atol=1e-5)
    np.testing.assert_allclose(log_var, model.to_log_var(twin(x)), atol=1e-5)


def test_what_follows_the_end_of_a_text_is_not_read(model):
    alone = [np.concatenate(model.encode(t[None, : t.tolist().index(0) + 1]), 1) for t in TEXTS]
    for rows in (TEXTS, np.pad(TEXTS, [(0, 0), (0, 9)], constant_values=3)):
        np.testing.assert_allclose(np.hstack(model.encode(rows)), np.vstack(alone), atol=1e-5)
        np.testing.assert_allclose(
            model.bound(rows, seed=3).elbo, model.bound(TEXTS, seed=3).elbo, atol=1e-4
        )


# The bounds


def test_bounds_lie_below_the_integral_and_rise_towards_it(line):
    model, exact = line
    bound = model.bound(TEXTS, samples=4000, seed=1)
    of_k = [
        (logsumexp(bound.log_weights.reshape(3, -1, k), axis=2) - np.log(k)).mean(axis=1)
        for k in (1, 2, 5, 25)
    ]
    assert (bound.elbo < exact).all()
    assert (np.diff(of_k, axis=0) > 0).all()
    assert (of_k[-1] < exact + 0.005).all()
    np.testing.assert_allclose(of_k[0], bound.elbo, atol=0.1)
    np.testing.assert_allclose(bound.weighted, exact, atol=0.05)


def test_the_gap_of_the_bound_is_the_kl_from_the_posterior(line):
    model, exact = line
    bound = model.bound(TEXTS, samples=4000, seed=2)
    for i, text in enumerate(TEXTS):
        mean, log_var = (float(x[i, 0]) for x in model.encode(TEXTS))
        q = stats.norm(mean, np.exp(log_var / 2))
        z = q.ppf((np.arange(2001) + 0.5) / 2001)
        log_joint = at_points(model, z[:, None], text) + stats.norm.logpdf(z)
        kl = (q.logpdf(z) - (log_joint - exact[i])).mean()
        assert exact[i] - bound.elbo[i] == pytest.approx(kl, abs=0.08)


def test_log_p_is_the_score_at_the_point(model):
    bound = model.bound(TEXTS, samples=2, seed=5)
    mean, log_var = model.encode(TEXTS)
    noise = np.random.default_rng(5).standard_normal((3, 2, 2), np.float32)
    z = mean[:, None] + np.exp(log_var / 2)[:, None] * noise
    for i, text in enumerate(TEXTS):
        np.testing.assert_allclose(bound.log_p[i], at_points(model, z[i], text), atol=1e-4)
    normal = stats.norm.logpdf(z).sum(-1) - stats.norm.logpdf(noise).sum(-1)
    expected = bound.log_p + normal + (log_var / 2).sum(axis=1)[:, None]
    np.testing.assert_allclose(bound.log_weights, expected, atol=1e-4)


# The language model of a point


def test_a_point_gives_a_language_model(model):
    z = model.prior(3, seed=1)
    at = model.condition(z)
    assert isinstance(at, LanguageModel)
    shifted = np.hstack([np.zeros((3, 1), int), TEXTS[:, :-1]])
    expected = log_softmax(ops.convert_to_numpy(model.write(z, shifted)), axis=-1)
    picked = np.take_along_axis(expected, TEXTS[..., None], -1)[..., 0]
    np.testing.assert_allclose(at.score(TEXTS), picked, atol=1e-5)
    state = at.initial_state(3)
    for t, tokens in enumerate(shifted.T):
        log_probs, state = at.step(tokens, state)
        np.testing.assert_allclose(log_probs, expected[:, t], atol=1e-5)


def test_rows_belong_to_points_in_order(model):
    at, rows = model.condition([[0.0, 2.0], [-2.0, 1.0]]), np.repeat(TEXTS[2:], 4, axis=0)
    score = at.score(rows)
    np.testing.assert_allclose(score[0], score[1], atol=1e-6)
    np.testing.assert_allclose(score[2], model.condition([[-2.0, 1.0]]).score(rows[:1])[0], 1e-5)
    assert abs(score[1] - score[2]).max() > 0.1
    found = decoding.beam_search(at, 6, width=2, stop=0, n=2)
    for i in range(2):
        alone = decoding.beam_search(model.condition(at.z[i : i + 1]), 6, width=2, stop=0)
        np.testing.assert_allclose(found.log_probs[i], alone.log_probs[0], atol=1e-4)


# Training


@settings(max_examples=8)
@given(st.floats(0, 2), st.floats(0, 2), st.integers(0, 4), st.integers(0, 6))
def test_the_loss_is_what_it_says(weight, free, annealing, done):
    model = fresh(kl_weight=weight, free_bits=free, annealing=annealing)
    model.steps_done.assign(done)
    rng = np.random.default_rng(done)
    logits = rng.normal(size=(3, 8, 5)).astype("float32")
    mean, log_var = rng.normal(size=(2, 3, 2)).astype("float32")
    mask = np.array([[1] * 4 + [0] * 4, [1, 1] + [0] * 6, [1] * 8], "float32")
    got = model.compute_loss(None, TEXTS, (logits, mean, log_var), mask)
    nll = -np.take_along_axis(log_softmax(logits, -1), TEXTS[..., None], -1)[..., 0]
    kl = ((mean**2 + np.exp(log_var) - 1 - log_var) / 2).mean(axis=0)
    beta = weight * (min(1, done / annealing) if annealing else 1)
    expected = ((nll * mask).sum() + 3 * beta * np.maximum(kl, free).sum()) / mask.sum()
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_gradients_pass_through_the_draw():
    """One step of plain gradient descent, against differences of the loss at the same noise."""
    model = strong(fresh(free_bits=0.1))
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    shifted = np.hstack([np.zeros((3, 1), int), TEXTS[:, :-1]])
    batch = ((TEXTS, shifted), TEXTS, np.ones(TEXTS.shape, "float32"))
    start, state = model.get_weights(), ops.convert_to_numpy(model.noise.state)

    def step(weights, rate):
        model.set_weights(weights)
        model.noise.state.assign(state)
        model.optimizer.learning_rate.assign(rate)
        return float(np.ravel(model.train_on_batch(*batch))[0])

    names = [w.path for w in model.weights]
    step(start, 1.0)
    after = model.get_weights()
    for layer in ("to_log_var", "to_mean", "forwards", "head"):
        i = names.index(getattr(model, layer).trainable_weights[0].path)
        gradient = start[i] - after[i]
        place = np.unravel_index(abs(gradient).argmax(), gradient.shape)
        losses = []
        for change in (0.02, -0.02):
            moved = [w.copy() for w in start]
            moved[i][place] += change
            losses.append(step(moved, 0.0))
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 0.04, rel=0.02, abs=2e-4)


def test_dropped_words_are_not_read():
    def logits(words, training, **changes):
        model = strong(fresh(**changes))  # the same noise each time
        return ops.convert_to_numpy(model((TEXTS, words), training=training)[0])

    zeros, ones = np.zeros_like(TEXTS), np.ones_like(TEXTS)
    dropped = [logits(words, True, word_dropout=0.9999) for words in (zeros, ones)]
    np.testing.assert_allclose(*dropped, atol=1e-6)
    assert abs(logits(zeros, True) - logits(ones, True)).max() > 0.1
    both = [logits(zeros, False, word_dropout=rate) for rate in (0.0, 0.9999)]
    np.testing.assert_allclose(*both, atol=1e-6)


def test_it_learns_and_survives_saving(tmp_path):
    rng = np.random.default_rng(0)
    ids = np.concatenate([[token] * 4 + [0] for token in rng.integers(1, 5, size=200)])
    model = fresh(width=16, encoder_width=16, annealing=40)
    optimizer = keras.optimizers.Adam(0.02)
    curve = train_vae(
        model, ids, ids, steps=120, batch_size=16, eval_every=40, seed=1, optimizer=optimizer
    )
    floor = np.log(4) / 5  # four texts, equally often, of five tokens
    assert 0.95 * floor < curve.valid[-1] < 1.3 * floor
    assert curve.valid[0] > 1.3 * floor
    assert float(model.steps_done) in (40, 80, 120)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    rows = ids.reshape(-1, 5)[:9]
    np.testing.assert_allclose(
        loaded.bound(rows, samples=2, seed=1).weighted,
        model.bound(rows, samples=2, seed=1).weighted,
        atol=1e-5,
    )
    assert loaded.get_config() == model.get_config()


# What points know


def test_mutual_information_of_a_normal_channel():
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2000, 1)) * 2, np.full((2000, 1), np.log(0.5))
    expected = np.log1p(4 / 0.5) / 2
    assert mutual_information(mean, log_var, seed=1) == pytest.approx(expected, abs=0.05)
    apart = 100.0 * np.arange(50)[:, None]
    assert mutual_information(apart, 0 * apart, seed=1) == pytest.approx(np.log(50))
    assert mutual_information(0 * apart, 0 * apart, seed=1) == pytest.approx(0, abs=1e-9)


def test_mutual_information_of_a_mixture_is_the_integral():
    mean, log_var = np.repeat([0.0, 1.0, 3.0], 700)[:, None], np.repeat([0.0, -1.0, 0.5], 700)
    parts = [stats.norm(m, np.exp(v / 2)) for m, v in ((0, 0.0), (1, -1.0), (3, 0.5))]
    z = np.linspace(-12, 15, 20001)
    density = np.array([part.pdf(z) for part in parts])
    integrand = (density * np.log(density / density.mean(axis=0))).mean(axis=0)
    expected = integrate.simpson(integrand, x=z)
    got = mutual_information(mean, log_var[:, None], seed=0)
    assert got == pytest.approx(expected, abs=0.05)


def test_information_about_a_factor():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=6000)
    mean = np.stack([labels + 0.3 * rng.normal(size=6000), rng.normal(size=6000)], axis=1)
    information, entropy = factor_information(mean, ["abc"[i] for i in labels])
    assert entropy == pytest.approx(stats.entropy(np.bincount(labels)))
    interval = (mean[:, 0].argsort().argsort() * 10) // 6000
    expected = mutual_info_score(labels, interval) - 9 * 2 / 12000
    assert information[0] == pytest.approx(expected)
    assert information[1] < 0.003
    assert 0.5 < information[0] < entropy


def test_active_units_vary():
    mean = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 0.2, 0.05]
    assert active_units(mean) == 2


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": 0}, "latent must be at least 1, got 0"),
        ({"kl_weight": -0.1}, "kl_weight must be finite and at least 0, got -0.1"),
        ({"kl_weight": float("nan")}, "kl_weight must be finite"),
        ({"kl_weight": float("inf")}, "kl_weight must be finite"),
        ({"free_bits": -1}, "free_bits must be finite and at least 0, got -1"),
        ({"annealing": -1}, "annealing must be"),
        ({"word_dropout": 1.0}, r"word_dropout must lie in \[0, 1\), got 1.0"),
        ({"word_dropout": -0.1}, "word_dropout must lie"),
        ({"encoder_width": 5}, "encoder_width must be even"),
        ({"boundary": 5}, "boundary must be one of 5 tokens"),
    ],
)
def test_settings_that_make_no_model(changes, message):
    with pytest.raises(ValueError, match=message):
        fresh(**changes)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((0, 3), int), "at least one text"),
        ([[1, 0], [0, 0]], "text 1 is empty"),
        ([[1, 0], [1, 2]], "text 1 has no boundary"),
        ([[5, 0]], r"must lie in \[0, 5\)"),
        ([1, 0], "must have 2 axes"),
    ],
)
def test_texts_that_are_none(model, ids, message):
    with pytest.raises(ValueError, match=message):
        model.encode(ids)
    with pytest.raises(ValueError, match=message):
        model.bound(ids, seed=1)


def test_other_bad_input(model):
    for z in ([[1.0]], [0.0, 0.0], np.zeros((0, 2)), [["a", "b"]]):
        with pytest.raises(ValueError, match="z must be numbers of shape"):
            model.condition(z)
    with pytest.raises(ValueError, match="finite"):
        model.condition([[np.nan, 0.0]])
    with pytest.raises(ValueError, match="multiple of the 2 points"):
        model.condition(np.zeros((2, 2))).score(TEXTS)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        model.bound(TEXTS, samples=0, seed=1)
    with pytest.raises(ValueError, match="at least one point"):
        model.prior(0, seed=1)
    with pytest.raises(ValueError, match="text 0 is empty"):
        train_vae(model, [0, 1, 0], [1, 0], steps=1, batch_size=1, eval_every=1, seed=1)
    for bad in (np.zeros((1, 2)), np.zeros(3)):
        with pytest.raises(ValueError, match="n at least 2"):
            mutual_information(bad, bad, seed=1)
        with pytest.raises(ValueError, match="n at least 2"):
            active_units(bad)
    with pytest.raises(ValueError, match="labels"):
        factor_information(np.zeros((20, 2)), [1] * 19)
