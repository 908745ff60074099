"""The hidden Markov model against the enumeration of all its paths, and against hmmlearn."""

from itertools import product

import numpy as np
import pytest
from hmmlearn.hmm import CategoricalHMM
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen_utils.evaluation import text_log_probs
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.hmm import HMM

V = 4  # 0 is the boundary
TEXTS = st.lists(st.integers(0, V - 1), min_size=1, max_size=40)


def random_hmm(states, seed, vocab_size=V):
    rng = np.random.default_rng(seed)
    rows = [np.ones(states), np.ones((states, states)), np.ones((states, vocab_size))]
    tables = [np.apply_along_axis(rng.dirichlet, -1, row) for row in rows]
    return HMM.from_tables(*tables, boundary=0)


def cut(ids):
    """The lines of a text."""
    ends = np.flatnonzero(np.asarray(ids) == 0) + 1
    return [line for line in np.split(np.asarray(ids), ends) if len(line)]


def joint(model, line):
    """p(path, line) for every path, as a dictionary."""
    start, transition, emission = model.tables
    paths = {}
    for path in product(range(model.states), repeat=len(line)):
        p = start[path[0]] * emission[path[0], line[0]]
        for t in range(1, len(line)):
            p *= transition[path[t - 1], path[t]] * emission[path[t], line[t]]
        paths[path] = p
    return paths


def peer(model, **options):
    """The same model in hmmlearn."""
    other = CategoricalHMM(
        model.states, n_features=model.vocab_size, init_params="", tol=0, **options
    )
    other.startprob_, other.transmat_, other.emissionprob_ = model.tables
    return other


def text(lines, seed, vocab_size=V):
    rng = np.random.default_rng(seed)
    parts = [[*rng.integers(1, vocab_size, rng.integers(0, 7)), 0] for _ in range(lines)]
    return np.concatenate(parts).astype(int)


@settings(max_examples=30)
@given(st.integers(1, 3), st.lists(st.integers(0, 2), min_size=1, max_size=9), st.integers(0, 99))
def test_forward_posterior_and_viterbi_agree_with_the_sum_over_all_paths(states, ids, seed):
    model = random_hmm(states, seed, vocab_size=3)
    filtered, log_probs = model.forward(ids)
    posterior, (path, log_prob) = model.posterior(ids), model.viterbi(ids)
    begin = best = 0
    for line in cut(ids):
        inside, paths = slice(begin, begin + len(line)), joint(model, line)
        total, begin = sum(paths.values()), begin + len(line)
        assert log_probs[inside].sum() == pytest.approx(np.log(total))
        assert paths[tuple(path[inside])] == pytest.approx(max(paths.values()))
        best += np.log(max(paths.values()))
        for t in range(len(line)):
            at_t = [sum(p for q, p in paths.items() if q[t] == s) for s in range(states)]
            np.testing.assert_allclose(posterior[inside][t], np.array(at_t) / total)
        last = [sum(p for q, p in paths.items() if q[-1] == s) for s in range(states)]
        np.testing.assert_allclose(filtered[inside][-1], np.array(last) / total)
    assert log_prob == pytest.approx(best)


def test_decoding_agrees_with_hmmlearn():
    model, ids = random_hmm(5, seed=1, vocab_size=7), text(30, seed=2, vocab_size=7)
    lengths = [len(line) for line in cut(ids)]
    other = peer(model)
    assert model.forward(ids)[1].sum() == pytest.approx(other.score(ids[:, None], lengths))
    log_prob, path = other.decode(ids[:, None], lengths)
    np.testing.assert_array_equal(model.viterbi(ids)[0], path)
    assert model.viterbi(ids)[1] == pytest.approx(log_prob)
    expected = other.predict_proba(ids[:, None], lengths)
    np.testing.assert_allclose(model.posterior(ids), expected, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 6])
def test_steps_of_baum_welch_agree_with_hmmlearn(steps, monkeypatch):
    monkeypatch.setattr("textgen_utils.models.hmm_fit._LINES", 7)  # several parts
    model, ids = random_hmm(4, seed=3, vocab_size=6), text(60, seed=4, vocab_size=6)
    other = peer(model, n_iter=steps)
    other.fit(ids[:, None], [len(line) for line in cut(ids)])
    model.improve(ids, steps=steps, tolerance=0)
    for mine, theirs in zip(
        model.tables, (other.startprob_, other.transmat_, other.emissionprob_), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)
    history = np.array(model.log_likelihoods) * len(ids)
    np.testing.assert_allclose(history[:-1], other.monitor_.history, rtol=1e-10)


@settings(max_examples=40)
@given(TEXTS, st.integers(1, 4), st.integers(0, 99))
def test_baum_welch_never_lowers_the_likelihood_and_keeps_distributions(ids, states, seed):
    model = HMM(states, V, boundary=0).fit(ids, seed=seed, steps=8, tolerance=0)
    assert (np.diff(model.log_likelihoods) > -1e-10).all()
    for table in model.tables:
        np.testing.assert_allclose(table.sum(axis=-1), 1)
    assert model.log_likelihoods[-1] == pytest.approx(model.forward(ids)[1].mean())


@given(TEXTS, st.integers(0, 99))
def test_with_alpha_the_penalised_likelihood_never_falls(ids, seed):
    model, alpha = HMM(3, V, boundary=0, alpha=0.5).fit(ids, seed=seed, steps=1), 0.5
    values = []
    for _ in range(4):
        penalty = alpha * sum(np.log(table).sum() for table in model.tables)
        values.append(model.forward(ids)[1].sum() + penalty)
        model.improve(ids, steps=1)
    assert (np.diff(values) > -1e-8).all()
    assert min(table.min() for table in model.tables) > 0


def test_one_state_learns_the_frequencies_in_one_step():
    ids = text(50, seed=5)
    model = HMM(1, V, boundary=0).fit(ids, seed=0, steps=3)
    np.testing.assert_allclose(model.tables.emission[0], np.bincount(ids) / len(ids))
    smoothed = HMM(1, V, boundary=0, alpha=2).fit(ids, seed=0, steps=3)
    np.testing.assert_allclose(
        smoothed.tables.emission[0], (np.bincount(ids) + 2) / (len(ids) + 2 * V)
    )


def test_it_finds_a_model_that_it_can_be_sure_of():
    """Tokens 1 and 2 in turn, then the end: with enough states no line holds a surprise."""
    model = HMM(5, 3, boundary=0)
    ids = np.tile([1, 2, 1, 2, 0], 20)
    best = max(model.fit(ids, seed=s, steps=200).log_likelihoods[-1] for s in range(8))
    assert best == pytest.approx(0, abs=1e-3)


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 99))
def test_is_a_language_model_whose_steps_agree_with_its_scores(states, seed):
    model = random_hmm(states, seed)
    assert isinstance(model, LanguageModel)
    ids = np.random.default_rng(seed).integers(V, size=(3, 8))
    state = model.initial_state(3)
    read = np.pad(ids, ((0, 0), (1, 0)))[:, :-1]
    for t, tokens in enumerate(read.T):
        log_probs, state = model.step(tokens, state)
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1)
        np.testing.assert_allclose(log_probs[range(3), ids[:, t]], model.score(ids)[:, t])
    flat = np.concatenate([[*row, 0] for row in ids])
    stream = model.forward(flat)[1].reshape(3, -1)[:, :-1]
    np.testing.assert_allclose(model.score(ids), stream)


def test_the_probabilities_of_all_lines_add_up_to_one():
    model = random_hmm(3, seed=6)
    model.tables.emission[:] = [[0.6, 0.2, 0.1, 0.1], [0.7, 0.1, 0.2, 0], [0.5, 0, 0, 0.5]]
    total = 0.0
    for length in range(9):
        rows = np.array([[*line, 0] for line in product(range(1, V), repeat=length)])
        total += np.exp(text_log_probs(model, rows)).sum()
    assert 1 - 0.5**9 <= total <= 1


def test_an_impossible_token_ends_its_line_only():
    model = HMM.from_tables([1, 0], [[0, 1], [1, 0]], [[0, 1, 0], [0.5, 0, 0.5]], boundary=0)
    half, never = np.log(0.5), -np.inf
    expected = np.array([[0, half, 0, never, never, never, 0, half]])
    ids = [[1, 2, 1, 1, 2, 0, 1, 0]]
    np.testing.assert_array_equal(model.score(ids), expected)
    np.testing.assert_array_equal(model.forward(ids[0])[1], expected[0])
    assert model.viterbi(ids[0])[1] == -np.inf
    log_probs, state = model.step([1], model.step([1], model.step([0], np.ones((1, 2)))[1])[1])
    assert (log_probs == -np.inf).all()
    np.testing.assert_array_equal(np.exp(model.step([0], state)[0]), [[0, 1, 0]])
    with pytest.raises(ValueError, match="probability 0"):
        model.posterior(ids[0])
    with pytest.raises(ValueError, match="probability 0"):
        model.improve(ids[0])


def test_same_seed_same_model_and_a_fit_begins_anew():
    ids = text(20, seed=7)
    first, second = (HMM(3, V, boundary=0) for _ in range(2))
    first.fit(ids, seed=1, steps=2)
    first.fit(ids, seed=2, steps=5, tolerance=0)
    second.fit(ids, seed=2, steps=3, tolerance=0).improve(ids, steps=2, tolerance=0)
    for a, b in zip(first.tables, second.tables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(first.log_likelihoods) == 6
    assert second.log_likelihoods[3] == second.log_likelihoods[4]
    assert len(HMM(3, V, boundary=0).fit(ids, seed=1, tolerance=1.0).log_likelihoods) == 2


def test_saves_and_loads(tmp_path):
    ids = text(20, seed=8)
    model = HMM(3, V, boundary=0, alpha=0.1).fit(ids, seed=1, steps=4)
    model.save(tmp_path / "model.npz")
    again = HMM.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.score([ids]), model.score([ids]))
    assert again.log_likelihoods == model.log_likelihoods
    assert (again.alpha, again.boundary, repr(again)) == (0.1, 0, "HMM(states=3, V=4)")
    assert model.count_params() == 3 + 9 + 12
    with pytest.raises(FileNotFoundError):
        HMM.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", x=1)
    with pytest.raises(ValueError, match=r"other\.npz"):
        HMM.load(tmp_path / "other.npz")


NAN = float("nan")
EVEN = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HMM(0, 4, 0), "at least 1; got 0"),
        (lambda: HMM(2.5, 4, 0), "got 2.5"),
        (lambda: HMM(2, 4, 4), r"\[0, 4\); got 4"),
        (lambda: HMM(2, 4, 0, alpha=-1), "got -1"),
        (lambda: HMM(2, 4, 0, alpha=NAN), "got nan"),
        (lambda: HMM(2, 4, 0).fit([], seed=1), "empty text"),
        (lambda: HMM(2, 4, 0).fit("abc", seed=1), "encode it first"),
        (lambda: HMM(2, 4, 0).fit([1, NAN], seed=1), "integers; got float"),
        (lambda: HMM(2, 4, 0).fit([1, 4], seed=1), r"\[0, 4\); got 1 to 4"),
        (lambda: HMM(2, 4, 0).fit([[1, 2]], seed=1), "1 axes"),
        (lambda: HMM(2, 4, 0).fit([1], seed=1, steps=0), "steps .* got 0"),
        (lambda: HMM(2, 4, 0).fit([1], seed=1, tolerance=NAN), "tolerance .* got nan"),
        (lambda: HMM(2, 4, 0).score([[1]]), "not fitted"),
        (lambda: HMM(2, 4, 0).improve([1]), "not fitted"),
        (lambda: HMM(2, 4, 0).save("x"), "not fitted"),
        (lambda: random_hmm(2, 0).score([[7]]), r"\[0, 4\)"),
        (lambda: random_hmm(2, 0).viterbi([]), "empty text"),
        (lambda: HMM.from_tables([], [], [], 0), "shapes"),
        (lambda: HMM.from_tables(1, 1, 1, 0), "shapes"),
        (lambda: HMM.from_tables([1], EVEN, EVEN, 0), r"shapes \[\(1,\), \(2, 2\), \(2, 2\)\]"),
        (lambda: HMM.from_tables([0.5, NAN], EVEN, EVEN, 0), "row of start"),
        (lambda: HMM.from_tables([1.5, -0.5], EVEN, EVEN, 0), "row of start"),
        (lambda: HMM.from_tables([1, 0], EVEN, 2 * EVEN, 0), "row of emission"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
