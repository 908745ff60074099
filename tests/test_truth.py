"""Distance to a known language, and filtered models, against enumeration of a small one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils import decoding, evaluation
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.ngram import NGram

BOUNDARY, TIME = 2, 4


@pytest.fixture(scope="module")
def models():
    """Two n-grams over three tokens: one is the truth, the other a model of it."""
    rng = np.random.default_rng(0)
    return [
        NGram(2, 3, BOUNDARY, "additive", independent_lines=True).fit(rng.integers(0, 3, n))
        for n in (40, 15)
    ]


def every_text():
    """All texts of at most TIME tokens, the end included, one a row."""
    bodies = (b for n in range(TIME) for b in itertools.product([0, 1], repeat=n))
    return np.array([[*b, *[BOUNDARY] * (TIME - len(b))] for b in bodies])


def by_steps(model, text):
    """log p of a text by the chain rule, one token at a time."""
    total, state, token = 0.0, model.initial_state(1), BOUNDARY
    for following in text:
        log_probs, state = model.step(np.array([token]), state)
        total, token = total + log_probs[0, following], following
        if following == BOUNDARY:
            return total
    return -np.inf


def test_texts_end_at_their_first_boundary(models):
    rows = np.array([[0, 2, 1, 2], [0, 2, 2, 2], [2, 0, 0, 0], [0, 1, 0, 1]])
    log_probs = evaluation.text_log_probs(models[0], rows, batch_size=3)
    np.testing.assert_allclose(log_probs, [by_steps(models[0], row) for row in rows])
    assert log_probs[3] == -np.inf


def test_the_coverage_of_samples_is_the_overlap_of_the_distributions(models):
    """Drawn from the truth, against the sum of min(p, q) over all (short) texts."""
    texts = every_text()
    p, q = (np.exp(evaluation.text_log_probs(model, texts)) for model in models)
    drawn = np.random.default_rng(1).choice(len(texts), 20_000, p=p / p.sum())
    result = evaluation.distance(np.log(p)[drawn], np.log(q)[drawn], np.log(p))
    assert result.coverage == pytest.approx(np.minimum(p, q).sum() / p.sum(), abs=0.01)
    kl = (p / p.sum() * np.log(p / q)).sum()
    assert result.excess == pytest.approx(kl, abs=4 * result.excess_error)
    assert result.nats == pytest.approx((-p / p.sum() * np.log(q)).sum(), abs=0.05)


def test_the_truth_is_at_no_distance_from_itself():
    reviews = Reviews()
    truth = reviews.oracle("en", "words")
    rows = decoding.generate(truth, [], 48, batch_size=200, stop=truth.boundary, seed=0)
    result = evaluation.distance_between(truth, truth, rows, rows)
    assert (result.excess, result.coverage, result.validity) == (0, 1, 1)
    assert result.nats == pytest.approx(reviews.entropy("en"), abs=1.5)
    assert result.oracle_nats == result.nats


def test_a_model_that_writes_nothing_valid():
    result = evaluation.distance([-1.0, -2.0], [-np.inf, -2.0], [-np.inf])
    assert (result.validity, result.coverage, result.nats) == (0, 0.5, np.inf)
    assert np.isnan(result.oracle_nats)
    assert np.isnan(result.excess_error)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([-1.0], [-1.0, -2.0], [-1.0]), r"one shape \(n,\)"),
        (([], [], [-1.0]), "0 texts of the truth"),
        (([-1.0], [np.nan], [-1.0]), "NaN"),
        (([-np.inf], [-1.0], [-1.0]), "finite"),
    ],
)
def test_what_cannot_be_compared(arrays, message):
    with pytest.raises(ValueError, match=message):
        evaluation.distance(*arrays)


def test_models_of_other_tokens_are_refused(models):
    other = NGram(1, 4, BOUNDARY).fit([0, 1, 2, 3])
    with pytest.raises(ValueError, match="share their tokens"):
        evaluation.distance_between(models[0], other, [[2]], [[2]])
    with pytest.raises(ValueError, match="at least one text"):
        evaluation.text_log_probs(models[0], np.zeros((0, 3), int))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_lines_joined_are_the_text(ids):
    rows, mask = lines(ids, BOUNDARY)
    assert rows[mask].tolist() == ids
    assert (rows[~mask] == BOUNDARY).all()
    assert len(rows) == ids[:-1].count(BOUNDARY) + 1


FILTERS = [{"temperature": 0.5}, {"top_k": 2}, {"nucleus": 0.6}, {"greedy": True}]


@pytest.mark.parametrize("filters", FILTERS)
def test_a_filtered_model_scores_what_generate_draws(models, filters):
    model = decoding.Filtered(models[0], **filters)
    drawn = decoding.generate(models[0], [], TIME, batch_size=4000, seed=3, **filters)
    rows, counts = np.unique(drawn, axis=0, return_counts=True)
    p = np.exp(model.score(rows).sum(axis=1))
    np.testing.assert_allclose(counts / 4000, p, atol=0.03)
    every = np.array(list(itertools.product(range(3), repeat=TIME)))
    assert np.exp(model.score(every).sum(axis=1)).sum() == pytest.approx(1)


def test_a_filtered_truth_knows_what_it_never_writes():
    truth = Reviews().oracle("en", "words")
    model = decoding.Filtered(truth, temperature=0.5)
    assert evaluation.text_log_probs(model, [[0, 0, truth.boundary]])[0] == -np.inf
    with pytest.raises(ValueError, match="temperature"):
        decoding.Filtered(truth, temperature=0.0)
