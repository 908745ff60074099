"""Mixtures against their formulas in loops, their weights against general optimisers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predictions import is_one_model_in_three_ways, keeps_old_states
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from textgen_utils import evaluation
from textgen_utils.models.distributions import distributions
from textgen_utils.models.mixture import LogLinear, Mixture
from textgen_utils.models.mixture_fit import linear_weights, log_linear_weights
from textgen_utils.models.ngram import NGram
from textgen_utils.models.transformer import GPT

V = 5
RNG = np.random.default_rng(0)
IDS = RNG.integers(V, size=(3, 12)).astype("int32")


def counted(order: int, seed: int, vocab: int = V, boundary: int = 2, **options) -> NGram:
    ids = np.random.default_rng(seed).integers(vocab, size=120)
    return NGram(order, vocab, boundary, **options).fit(ids)


MODELS = [counted(1, 1), counted(2, 2), counted(3, 3)]
PREDICTED = [distributions(model, IDS) for model in MODELS]
SEEDS = st.integers(0, 2**32 - 1)


def test_a_linear_mixture_is_the_weighted_mean_of_probabilities():
    weights = [0.2, 0.5, 0.3]
    found = is_one_model_in_three_ways(Mixture(MODELS, weights), IDS)
    expected = sum(w * np.exp(part) for w, part in zip(weights, PREDICTED, strict=True))
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-12)


def test_a_log_linear_mixture_is_the_weighted_product_of_probabilities():
    weights = [0.9, 0.0, 0.7]
    found = is_one_model_in_three_ways(LogLinear(MODELS, weights), IDS)
    product = np.prod([np.exp(p) ** w for w, p in zip(weights, PREDICTED, strict=True)], axis=0)
    expected = product / product.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-12)


@pytest.mark.parametrize("mixture", [Mixture, LogLinear])
def test_mixtures_of_mixtures_and_old_states(mixture):
    nested = mixture([Mixture(MODELS[:2], [0.4, 0.6]), MODELS[2]], [0.5, 0.5])
    is_one_model_in_three_ways(nested, IDS)
    keeps_old_states(nested, IDS)


@given(SEEDS, st.integers(1, 4), st.integers(2, 9))
def test_what_is_mixed_sums_to_one(seed, models, vocab):
    rng = np.random.default_rng(seed)
    log_probs = log_softmax(rng.normal(scale=5, size=(models, 3, vocab)), axis=-1)
    weights = rng.dirichlet(np.ones(models))
    alike = [counted(1, 1, vocab, boundary=0)] * models
    for mixture in (Mixture(alike, weights), LogLinear(alike, 3 * weights)):
        mixed = mixture.combine(log_probs)
        np.testing.assert_allclose(np.exp(mixed).sum(axis=-1), 1, atol=1e-12)


@given(SEEDS)
def test_equal_models_are_one_model(seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(3))
    for mixture in (Mixture, LogLinear):
        found = distributions(mixture([MODELS[2]] * 3, weights), IDS)
        np.testing.assert_allclose(found, PREDICTED[2], atol=1e-12)


def test_one_model_alone_has_the_inverse_weight_as_temperature():
    found = distributions(LogLinear([MODELS[1]], [1 / 0.7]), IDS)
    np.testing.assert_allclose(np.exp(found), softmax(PREDICTED[1] / 0.7, axis=-1), atol=1e-12)


def test_a_mixture_never_loses_more_than_the_price_of_its_choice():
    found = Mixture(MODELS, [0.25, 0.25, 0.5]).score(IDS)
    for model, weight in zip(MODELS, [0.25, 0.25, 0.5], strict=True):
        assert (found >= model.score(IDS) + np.log(weight) - 1e-12).all()


def test_a_weight_of_zero_takes_part_in_nothing():
    strict = counted(2, 4, smoothing="maximum-likelihood")
    assert np.isinf(distributions(strict, IDS)).any()
    for mixture in (Mixture, LogLinear):
        found = distributions(mixture([MODELS[1], strict], [1, 0]), IDS)
        np.testing.assert_allclose(found, PREDICTED[1], atol=1e-12)


def test_a_veto_is_one_in_the_product_only():
    strict = counted(2, 4, smoothing="maximum-likelihood")
    never = np.isinf(distributions(strict, IDS))
    linear = distributions(Mixture([MODELS[1], strict], [0.5, 0.5]), IDS)
    product = distributions(LogLinear([MODELS[1], strict], [0.5, 0.5]), IDS)
    assert np.isfinite(linear).all()
    np.testing.assert_array_equal(np.isinf(product), never)


def test_the_shortest_limit_is_the_mixtures():
    sizes = {"width": 4, "heads": 1, "depth": 1, "boundary": 2}
    networks = [GPT(V, max_context=n, **sizes) for n in (16, 8)]
    assert Mixture([*networks, MODELS[0]], [0.2, 0.3, 0.5]).max_context == 8
    assert Mixture(MODELS[:1], [1]).max_context is None
    with pytest.raises(ValueError, match=r"max_context|positions"):
        Mixture([*networks, MODELS[0]], [0.2, 0.3, 0.5]).score(IDS)


def test_evaluation_takes_a_mixture():
    mixture = Mixture(MODELS, [0.2, 0.3, 0.5])
    report = evaluation.evaluate(mixture, IDS[0])
    assert report.nats_per_token == pytest.approx(-mixture.score(IDS[:1]).mean())


# ---------------------------------------------------------------- weights


def along_a_text(seed: int, models: int = 3, tokens: int = 60, vocab: int = 4):
    rng = np.random.default_rng(seed)
    log_probs = log_softmax(rng.normal(scale=1.5, size=(models, tokens, vocab)), axis=-1)
    # what comes is drawn from all of them, so that each is of some use
    truth = softmax(log_probs.mean(axis=0), axis=-1)
    targets = np.array([rng.choice(vocab, p=p) for p in truth])
    return log_probs, targets


def of_targets(log_probs, targets):
    return log_probs[:, np.arange(len(targets)), targets]


def linear_loss(weights, chosen):
    return -np.log(weights @ np.exp(chosen)).mean()


@given(SEEDS)
def test_em_finds_what_a_general_optimiser_finds(seed):
    chosen = of_targets(*along_a_text(seed))
    found = linear_weights(chosen, steps=20_000, tolerance=1e-13)
    free = minimize(lambda x: linear_loss(softmax(x), chosen), np.zeros(3), method="BFGS")
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert linear_loss(found, chosen) == pytest.approx(free.fun, abs=1e-5)


@given(SEEDS)
def test_no_step_of_em_lowers_the_likelihood(seed):
    chosen = of_targets(*along_a_text(seed))
    losses = [linear_loss(linear_weights(chosen, steps=n, tolerance=0), chosen) for n in range(12)]
    assert (np.diff(losses) <= 1e-12).all()
    assert losses[-1] < losses[0]


def test_one_step_of_em_is_the_mean_responsibility():
    chosen = np.log([[0.2, 0.9, 0.5], [0.6, 0.1, 0.5]])
    by_hand = np.mean([[0.25, 0.9, 0.5], [0.75, 0.1, 0.5]], axis=1)
    np.testing.assert_allclose(linear_weights(chosen, steps=1), by_hand)


def test_a_model_that_is_always_better_has_all_the_weight():
    chosen = np.log([[0.5] * 20, [0.4] * 20, [0.1] * 20])
    np.testing.assert_allclose(linear_weights(chosen), [1, 0, 0], atol=1e-4)
    assert linear_weights(chosen[:1]).tolist() == [1]


def test_what_one_model_thinks_impossible_another_may_say():
    chosen = np.log(np.array([[0.5, 0.5, 1e-300], [0.1, 0.1, 0.4]]))
    chosen[0, 2] = -np.inf
    weights = linear_weights(chosen, steps=20_000, tolerance=1e-14)
    grid = np.linspace(0.001, 0.999, 999)
    losses = [linear_loss(np.array([w, 1 - w]), chosen) for w in grid]
    assert weights[0] == pytest.approx(grid[np.argmin(losses)], abs=2e-3)


def test_improbable_tokens_do_not_underflow():
    chosen = of_targets(*along_a_text(1))
    np.testing.assert_allclose(linear_weights(chosen - 2000), linear_weights(chosen), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_log_linear_weights_are_the_best_of_a_grid_and_of_a_search(seed):
    log_probs, targets = along_a_text(seed, models=2)
    found = log_linear_weights(log_probs, targets)

    def loss(weights):
        mixed = log_softmax(np.tensordot(weights, log_probs, axes=1), axis=-1)
        return -of_targets(mixed[None], targets).mean()

    grid = np.stack(np.meshgrid(*[np.linspace(0, 2, 81)] * 2), axis=-1).reshape(-1, 2)
    losses = [loss(weights) for weights in grid]
    search = minimize(loss, [0.5, 0.5], method="Nelder-Mead", bounds=[(0, None)] * 2)
    assert loss(found) <= min(losses) + 1e-7
    assert loss(found) == pytest.approx(search.fun, abs=1e-5)
    np.testing.assert_allclose(found, grid[np.argmin(losses)], atol=0.05)


def test_a_harmful_model_has_no_weight():
    log_probs, targets = along_a_text(3, models=2)
    against = log_softmax(-log_probs[0], axis=-1)
    found = log_linear_weights([against, log_probs[1]], targets)
    assert found[0] == 0
    assert found[1] == pytest.approx(log_linear_weights(log_probs[1:], targets)[0], abs=1e-3)


def test_the_start_does_not_matter():
    log_probs, targets = along_a_text(4)
    first = log_linear_weights(log_probs, targets)
    again = log_linear_weights(log_probs, targets, start=[2.0, 0.0, 1.0])
    np.testing.assert_allclose(first, again, atol=2e-3)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("mixture", [Mixture, LogLinear])
@pytest.mark.parametrize(
    ("models", "weights", "message"),
    [
        ([], [], "at least one model"),
        (MODELS, [0.5, 0.5], r"3 models need 3 weights; got shape \(2,\)"),
        (MODELS, [0.6, 0.6, -0.2], "at least 0; got"),
        (MODELS, [0.5, 0.5, np.nan], "finite"),
        (MODELS, [0.5, 0.5, np.inf], "finite"),
        (MODELS, [0.0, 0.0, 0.0], "sum to 1|above 0"),
        ([MODELS[0], counted(2, 1, vocab=6)], [0.5, 0.5], r"same vocab_size; got \[5, 6\]"),
        ([MODELS[0], counted(2, 1, boundary=3)], [0.5, 0.5], r"same boundary; got \[2, 3\]"),
    ],
)
def test_what_makes_no_mixture_is_refused(mixture, models, weights, message):
    with pytest.raises(ValueError, match=message):
        mixture(models, weights)


@pytest.mark.parametrize("weights", [[0.5, 0.4, 0.2], [0.3, 0.3, 0.3], [1, 1, 1]])
def test_the_weights_of_a_linear_mixture_must_sum_to_one(weights):
    with pytest.raises(ValueError, match="must sum to 1; got"):
        Mixture(MODELS, weights)
    LogLinear(MODELS, weights)


def test_models_that_agree_on_nothing_have_no_product():
    sides = [counted(1, 1, smoothing="maximum-likelihood").fit(ids) for ids in ([0, 1], [3, 4])]
    product = LogLinear(sides, [0.5, 0.5])
    for ask in (product.score, product.distributions):
        with pytest.raises(ValueError, match="leave no token possible"):
            ask(IDS)
    with pytest.raises(ValueError, match="leave no token possible"):
        product.step(IDS[:, 0], product.initial_state(len(IDS)))
    assert np.isfinite(Mixture(sides, [0.5, 0.5]).score(np.array([[0, 3, 1, 4]]))).all()


@pytest.mark.parametrize("mixture", [Mixture, LogLinear])
@pytest.mark.parametrize("ids", [[[0, V]], [[-1, 0]], [0, 1], [[0.5]]])
def test_ids_that_are_none_are_refused(mixture, ids):
    with pytest.raises(ValueError, match="ids must"):
        mixture(MODELS, [0.2, 0.3, 0.5]).score(ids)


def test_texts_without_tokens_have_no_scores():
    for mixture in (Mixture, LogLinear):
        assert mixture(MODELS, [0.2, 0.3, 0.5]).score(np.zeros((2, 0), int)).shape == (2, 0)


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        ([-1.0, -2.0], "2 axes"),
        (np.zeros((0, 3)), "2 axes, none empty"),
        (np.zeros((2, 0)), "2 axes, none empty"),
        ([[-1.0, np.nan]], "NaN"),
        ([[-1.0, -np.inf], [-1.0, -np.inf]], "token 1 has probability 0 in all models"),
    ],
)
def test_weights_are_not_fitted_to_what_is_no_text(log_probs, message):
    with pytest.raises(ValueError, match=message):
        linear_weights(log_probs)


@pytest.mark.parametrize(
    ("log_probs", "targets", "message"),
    [
        (np.zeros((2, 3)), [0, 1, 0], "3 axes"),
        (np.full((2, 3, 2), -0.7), [0, 1], "3 tokens need as many targets"),
        (np.full((2, 1, 2), -np.inf), [0], "finite"),
        (np.full((2, 1, 2), np.nan), [0], "NaN"),
    ],
)
def test_log_linear_weights_refuse_what_does_not_fit(log_probs, targets, message):
    with pytest.raises(ValueError, match=message):
        log_linear_weights(log_probs, targets)
