import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy.stats import chisquare

from textgen_utils import decoding
from textgen_utils.models.recurrent import LSTMLanguageModel

VOCAB = 4


class Table:
    """A bigram table: p(next | last), with every transition counted in the state."""

    vocab_size, boundary = VOCAB, 0

    def __init__(self, seed=0, max_context=None):
        self.probs = np.random.default_rng(seed).dirichlet(np.full(VOCAB, 0.8), size=VOCAB)
        self.max_context = max_context

    def initial_state(self, batch_size):
        return np.zeros(batch_size, int)

    def step(self, tokens, state):
        with np.errstate(divide="ignore"):
            return np.log(self.probs[tokens]), state + 1


def sequences(table, length, transform=lambda row: row):
    """Every sequence of this length with its exact probability under transformed rows."""
    rows = np.array([transform(row) for row in table.probs])
    result = {}
    for tokens in itertools.product(range(VOCAB), repeat=length):
        path = zip((table.boundary, *tokens[:-1]), tokens, strict=True)
        result[tokens] = np.prod([rows[a, b] for a, b in path])
    assert np.isclose(sum(result.values()), 1)
    return result


def keep(row, kept):
    kept_row = np.where(np.isin(np.arange(len(row)), kept), row, 0)
    return kept_row / kept_row.sum()


def best(row, k):
    return sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


def smallest_set(row, p):
    """By enumeration of all sets: the smallest with mass p, of those the most probable."""
    sets = itertools.chain.from_iterable(
        itertools.combinations(range(len(row)), n) for n in range(1, len(row) + 1)
    )
    enough = [s for s in sets if row[list(s)].sum() >= p]
    return min(enough, key=lambda s: (len(s), -row[list(s)].sum(), s))


FILTERS = {
    "plain": ({}, lambda row: row),
    "temperature": ({"temperature": 0.6}, lambda r: r ** (1 / 0.6) / (r ** (1 / 0.6)).sum()),
    "hot": ({"temperature": 3.0}, lambda row: row ** (1 / 3) / (row ** (1 / 3)).sum()),
    "top-k": ({"top_k": 2}, lambda row: keep(row, best(row, 2))),
    "nucleus": ({"nucleus": 0.7}, lambda row: keep(row, list(smallest_set(row, 0.7)))),
    "both": (
        {"top_k": 3, "nucleus": 0.6},
        lambda row: (lambda three: keep(three, list(smallest_set(three, 0.6))))(
            keep(row, best(row, 3))
        ),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_sequences_are_drawn_with_their_exact_probabilities(name):
    options, transform = FILTERS[name]
    table, n = Table(), 20_000
    drawn = decoding.generate(table, [], 3, batch_size=n, seed=5, **options)
    exact = sequences(table, 3, transform)
    counts = dict.fromkeys(exact, 0)
    for row in map(tuple, drawn.tolist()):
        counts[row] += 1
    impossible = [s for s, p in exact.items() if p == 0]
    assert not any(counts[s] for s in impossible)
    assert bool(impossible) == (name in ("top-k", "nucleus", "both"))
    # Cells that are expected fewer than five times are pooled, as the test requires.
    large = [s for s, p in exact.items() if n * p >= 5]
    observed = [counts[s] for s in large]
    expected = [n * exact[s] for s in large]
    rest = n - sum(expected)
    if rest > 1e-6:
        observed, expected = [*observed, n - sum(observed)], [*expected, rest]
    assert chisquare(observed, expected).pvalue > 1e-3


def test_greedy_takes_the_most_probable_token():
    table, expected, last = Table(), [], 0
    for _ in range(6):
        last = int(table.probs[last].argmax())
        expected.append(last)
    drawn = decoding.generate(table, [], 6, batch_size=2, greedy=True, seed=0)
    np.testing.assert_array_equal(drawn, [expected, expected])
    cold = decoding.generate(table, [], 6, temperature=1e-4, seed=0)
    np.testing.assert_array_equal(cold, [expected])


ROWS = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6).map(
    lambda weights: np.array(weights) / np.sum(weights)
)


def apply(function, row, value, tensor):
    log_probs = np.log(row).astype("float32" if tensor else "float64")
    filtered = function(ops.convert_to_tensor(log_probs) if tensor else log_probs, value)
    probs = np.exp(ops.convert_to_numpy(filtered))
    assert np.isclose(probs.sum(), 1, atol=1e-5)
    return probs


@pytest.mark.parametrize("tensor", [False, True])
@given(row=ROWS, data=st.data())
def test_top_k_keeps_k(tensor, row, data):
    k = data.draw(st.integers(1, len(row)))
    probs = apply(decoding.top_k, row, k, tensor)
    kept = np.flatnonzero(probs)
    assert len(kept) == k
    assert row[kept].min() >= np.delete(row, kept).max(initial=0) - 1e-6
    np.testing.assert_allclose(probs, keep(row, kept), atol=1e-5)


@pytest.mark.parametrize("tensor", [False, True])
@given(row=ROWS, p=st.floats(0.01, 0.99))
def test_nucleus_keeps_the_smallest_set_that_is_enough(tensor, row, p):
    probs = apply(decoding.nucleus, row, p, tensor)
    kept = np.flatnonzero(probs)
    assert row[kept].sum() >= p - 1e-6
    assert row[kept].sum() - row[kept].min() < p + 1e-6
    assert row[kept].min() >= np.delete(row, kept).max(initial=0) - 1e-6


@pytest.mark.parametrize("tensor", [False, True])
def test_ties_go_to_the_lower_id(tensor):
    row = np.array([0.1, 0.3, 0.3, 0.3])
    assert np.flatnonzero(apply(decoding.top_k, row, 2, tensor)).tolist() == [1, 2]
    assert np.flatnonzero(apply(decoding.nucleus, row, 0.5, tensor)).tolist() == [1, 2]
    even = np.full(40, 1 / 40)
    assert np.flatnonzero(apply(decoding.top_k, even, 17, tensor)).tolist() == list(range(17))


@pytest.mark.parametrize("tensor", [False, True])
@given(row=ROWS)
def test_filters_that_change_nothing(tensor, row):
    for function, value in (
        (decoding.temperature, 1.0),
        (decoding.top_k, len(row)),
        (decoding.nucleus, 1.0),
    ):
        np.testing.assert_allclose(apply(function, row, value, tensor), row, atol=1e-5)


def test_filters_work_on_rows_one_by_one_and_on_minus_infinity():
    log_probs = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    both = decoding.nucleus(log_probs, 0.6)
    for i in range(2):
        np.testing.assert_allclose(both[i], decoding.nucleus(log_probs[i], 0.6))
    once = decoding.top_k(log_probs, 1)
    np.testing.assert_allclose(np.exp(decoding.temperature(once, 2.0)), [[1, 0, 0], [0, 0, 1]])


def test_rows_end_at_the_stop_token():
    table = Table()
    drawn = decoding.generate(table, [], 50, batch_size=300, stop=2, seed=1)
    assert drawn.shape[0] == 300
    assert 1 < drawn.shape[1] <= 50
    for row in drawn:
        ended = np.flatnonzero(row == 2)
        if len(ended):
            assert (row[ended[0] :] == 2).all()
    first = (drawn[:, 0] == 2).mean()
    assert abs(first - table.probs[0, 2]) < 4 * np.sqrt(0.25 / 300)
    certain = Table()
    certain.probs = np.eye(VOCAB)[[2, 2, 2, 2]]
    assert decoding.generate(certain, [], 9, batch_size=3, stop=2, seed=0).tolist() == [[2]] * 3


def test_the_prompt_is_read():
    table = Table()
    table.probs = np.eye(VOCAB)[[1, 2, 3, 0]]
    assert decoding.generate(table, [], 3, seed=0).tolist() == [[1, 2, 3]]
    assert decoding.generate(table, [0, 1, 2], 2, batch_size=2, seed=0).tolist() == [[3, 0]] * 2
    assert decoding.generate(table, [[1], [2]], 2, seed=0).tolist() == [[2, 3], [3, 0]]


def test_a_seed_repeats_and_another_does_not():
    first, again, other = (
        decoding.generate(Table(), [], 30, batch_size=4, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.dtype == np.int32


def test_keras_models_generate_what_their_probabilities_say():
    model = LSTMLanguageModel(5, width=6, boundary=1)
    drawn = decoding.generate(model, [3], 1, batch_size=4000, seed=0)[:, 0]
    log_probs, state = model.step([1], model.initial_state(1))
    log_probs, _ = model.step([3], state)
    expected = 4000 * np.exp(log_probs[0].astype("float64"))
    counts = np.bincount(drawn, minlength=5)
    assert chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "got 0; for its limit at 0.* use greedy=True"),
        ({"temperature": -1.0}, "positive and finite"),
        ({"temperature": float("nan")}, "positive and finite"),
        ({"temperature": float("inf")}, "positive and finite"),
        ({"top_k": 0}, "top_k must be an integer from 1 to 4"),
        ({"top_k": 5}, "top_k must be an integer from 1 to 4.* got 5"),
        ({"top_k": 1.5}, "top_k"),
        ({"nucleus": 0.0}, r"\(0, 1\], got 0.0"),
        ({"nucleus": 1.1}, r"\(0, 1\], got 1.1"),
        ({"nucleus": float("nan")}, r"\(0, 1\], got nan"),
        ({"greedy": True, "top_k": 2}, "leave the filters out"),
        ({"length": 0}, "length must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"stop": 4}, "stop must be one of 4 tokens, got 4"),
        ({"prompt_ids": [7]}, "7"),
        ({"prompt_ids": [[1], [2]], "batch_size": 3}, "2 prompts for batch_size=3"),
        ({"prompt_ids": [1, 2, 3], "length": 3}, "at most 5 tokens.* need 6"),
    ],
)
def test_bad_options_are_refused(options, message):
    arguments = {"prompt_ids": [], "length": 2, "seed": 0, **options}
    with pytest.raises(ValueError, match=message):
        decoding.generate(Table(max_context=5), **arguments)


def test_all_of_the_context_can_be_used():
    assert decoding.generate(Table(max_context=5), [1, 2, 3], 2, seed=0).shape == (1, 2)
