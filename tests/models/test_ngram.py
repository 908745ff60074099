"""N-grams against dictionaries: an implementation of our own, slow, straight from the paper."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from textgen_utils.models import smoothing
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.grams import ABSENT, MANY, UNSEEN, sort
from textgen_utils.models.ngram import SMOOTHINGS, NGram

V = 4
TEXTS = st.lists(st.integers(0, V - 1), min_size=1, max_size=60)


class Dictionaries:
    """Chen and Goodman's estimates on dictionaries from tuples to counts.

    `texts`: token lists, each of which is read with a boundary (0) before it and on its own.
    """

    def __init__(self, texts, order, kind, alpha=None):
        self.kind, self.alpha = kind, alpha
        streams = [(0, *text) for text in texts]
        plain = {
            k: Counter(
                s[i : i + k]
                for s in streams
                # a gram predicts its last token, and the first boundary is never predicted
                for i in range(1 if k == 1 else 0, len(s) - k + 1)
            )
            for k in range(1, order + 1)
        }
        self.c = dict(plain)
        if kind == "kneser-ney":
            for k in range(1, order):
                lefts = Counter(gram[1:] for gram in plain[k + 1])
                starts = Counter(s[:k] for s in streams if 1 < k <= len(s))
                self.c[k] = lefts + starts

    def p(self, w, h):
        """p(w | h) for the history h, a tuple at most order - 1 long."""
        c = self.c[len(h) + 1]
        total = sum(c[(*h, v)] for v in range(V))
        if self.kind == "additive":
            return (c[(*h, w)] + self.alpha) / (total + self.alpha * V)
        below = 1 / V if not h else None
        if total == 0:
            return below or self.p(w, h[1:])
        if self.kind == "maximum-likelihood":
            return c[(*h, w)] / total
        D1, D2, D3 = self.discounts(len(h) + 1)  # noqa: N806
        D = lambda x: (0, D1, D2, D3)[min(x, 3)]  # noqa: N806, E731
        followers = [c[(*h, v)] for v in range(V)]
        gamma = (
            D1 * followers.count(1) + D2 * followers.count(2) + D3 * sum(x >= 3 for x in followers)
        ) / total
        return (c[(*h, w)] - D(c[(*h, w)])) / total + gamma * (below or self.p(w, h[1:]))

    def discounts(self, k):
        n1, n2, n3, n4 = (sum(x == i for x in self.c[k].values()) for i in (1, 2, 3, 4))
        if 0 in (n1, n2, n3, n4):
            return 0.5, 1.0, 1.5
        Y = n1 / (n1 + 2 * n2)  # noqa: N806
        D = 1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3  # noqa: N806
        inside = all(0 <= d <= i for i, d in enumerate(D, 1))
        return D if inside else (0.5, 1.0, 1.5)


def lines(text):
    """Cut after each boundary (0)."""
    found = [[]]
    for token in text:
        found[-1].append(token)
        if token == 0:
            found.append([])
    return [line for line in found if line]


def all_steps(model, texts):
    """log p(next | ...) after each prefix of each text: (batch, time, vocab)."""
    texts = np.asarray(texts)
    read = np.pad(texts, ((0, 0), (1, 0)), constant_values=model.boundary)[:, :-1]
    state, rows = model.initial_state(len(texts)), []
    for tokens in read.T:
        log_probs, state = model.step(tokens, state)
        rows.append(log_probs)
    return np.stack(rows, axis=1)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 5), st.sampled_from(SMOOTHINGS), st.booleans())
def test_agrees_with_dictionaries(train, test, order, kind, apart):
    model = NGram(order, V, 0, kind, alpha=0.3, independent_lines=apart).fit(train)
    slow = Dictionaries(lines(train) if apart else [train], order, kind, alpha=0.3)
    expected = []
    for text in lines(test) if apart else [test]:
        seen = (0, *text)
        for t in range(len(text)):
            h = seen[max(0, t + 1 - (order - 1)) : t + 1]
            expected.append([slow.p(w, h) for w in range(V)])
    stepped = np.exp(all_steps(model, [test])[0])
    np.testing.assert_allclose(stepped, expected, atol=1e-12)
    scored = np.exp(model.score([test])[0])
    np.testing.assert_allclose(scored, np.array(expected)[np.arange(len(test)), test], atol=1e-12)


def test_dictionaries_agree_where_the_paper_s_discounts_apply():
    """Long enough a text that every order below is estimated, not guessed."""
    rng = np.random.default_rng(1)
    train = list(rng.choice(V, size=900, p=[0.1, 0.2, 0.3, 0.4]))
    model = NGram(6, V, 0).fit(train)
    informed = [D for D in model.discounts_ if smoothing.UNINFORMED != D]
    assert len(informed) >= 2
    slow = Dictionaries([train], 6, "kneser-ney")
    test = rng.integers(V, size=50)
    scored = model.score(test[None])[0]
    for t in range(len(test)):
        h = (0, *test)[max(0, t - 4) : t + 1]
        assert scored[t] == pytest.approx(np.log(slow.p(test[t], h)), abs=1e-12)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 6), st.sampled_from(SMOOTHINGS), st.integers(0, 99), st.booleans())
def test_sums_to_one_for_random_histories_and_step_is_score(train, order, kind, seed, apart):
    model = NGram(order, V, 0, kind, independent_lines=apart).fit(train)
    texts = np.random.default_rng(seed).integers(V, size=(5, 9))
    stepped = all_steps(model, texts)
    np.testing.assert_allclose(np.exp(stepped).sum(axis=-1), 1, atol=1e-12)
    picked = np.take_along_axis(stepped, texts[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(np.exp(model.score(texts)), np.exp(picked), atol=1e-12)


def test_kneser_ney_by_hand():
    """Text "\\n a a b", order 2, too small for counts of counts: D = 1/2, 1, 3/2.

    Order 1: a follows {\\n, a}, b follows {a}: c = 0, 2, 1 of 3; gamma = (1 + 1/2) / 3 = 1/2.
    Order 2: after a, one a and one b: a = 1/4 each, gamma = 1/2; after \\n, one a: 1/2, 1/2.
    """
    model = NGram(2, vocab_size=3, boundary=0).fit([1, 1, 2])
    assert model.discounts_ == [smoothing.UNINFORMED] * 2
    after_boundary, state = model.step([0], model.initial_state(1))
    np.testing.assert_allclose(np.exp(after_boundary), [[1 / 12, 3 / 4, 1 / 6]])
    after_a, state = model.step([1], state)
    np.testing.assert_allclose(np.exp(after_a), [[1 / 12, 1 / 2, 5 / 12]])
    after_b, _ = model.step([2], state)  # nothing follows b: order 1 decides
    np.testing.assert_allclose(np.exp(after_b), [[1 / 6, 1 / 2, 1 / 3]])
    np.testing.assert_allclose(model.order_weights([1]), [1 / 4, 1 / 4, 1 / 2])
    np.testing.assert_allclose(model.order_weights([2]), [1 / 2, 1 / 2, 0])


def test_discounts_by_hand():
    """n1..n4 = 10, 4, 2, 1: Y = 10/18, D = 1 - 4/9, 2 - 5/6, 3 - 10/9."""
    c = np.repeat([0, 1, 2, 3, 4, 9], [5, 10, 4, 2, 1, 3])
    np.testing.assert_allclose(smoothing.discounts(c), [5 / 9, 7 / 6, 17 / 9])


@pytest.mark.parametrize(
    "c",
    [
        np.repeat([2, 3, 4], [4, 2, 1]),  # nothing was seen once
        np.repeat([1, 2, 3], [9, 5, 2]),  # nothing was seen four times
        np.repeat([1, 2, 3, 4], [10, 1, 50, 1]),  # D2 would be negative
    ],
)
def test_discounts_that_cannot_be_estimated(c):
    assert smoothing.discounts(c) == smoothing.UNINFORMED


def test_unseen_history_backs_off_fully():
    train = [1, 2, 1, 2, 2, 1]
    long, short = NGram(3, 5, 0).fit(train), NGram(3, 5, 0).fit(train)
    histories = [[1, 2], [3, 2], [4, 2]]  # 3 and 4 never occur
    after = [all_steps(long, [[*h, 0]])[0, -1] for h in histories]
    np.testing.assert_array_equal(after[1], after[2])
    assert not np.allclose(after[0], after[1])
    # after a token never seen nothing but the unigram estimate is left
    unigram = all_steps(short, [[1, 3, 0]])[0, -1]
    np.testing.assert_array_equal(all_steps(long, [[2, 4, 0]])[0, -1], unigram)
    assert long.order_weights([1, 3])[2:].sum() == 0


def test_additive_closed_form():
    ids = [1, 2, 1, 2, 1, 3]
    model = NGram(2, 4, 0, "additive", alpha=0.5).fit(ids)
    p = np.exp(all_steps(model, [[1, 0, 3, 0]])[0])
    np.testing.assert_allclose(p[1], (np.array([0, 0, 2, 1]) + 0.5) / (3 + 4 * 0.5))
    np.testing.assert_allclose(p[3], 1 / 4)  # nothing follows 3: uniform
    np.testing.assert_allclose(model.order_weights([1]), [0.4, 0, 0.6])
    unigram = NGram(1, 4, 0, "additive", alpha=2).fit(ids)
    np.testing.assert_allclose(
        np.exp(unigram.step([0], unigram.initial_state(1))[0][0]),
        (np.array([0, 3, 2, 1]) + 2) / (6 + 8),
    )


def test_maximum_likelihood_bigram_is_the_table_of_frequencies_and_the_best_on_its_text():
    ids = np.random.default_rng(2).choice(4, size=300, p=[0.1, 0.2, 0.3, 0.4])
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (np.concatenate([[0], ids[:-1]]), ids), 1)
    table = pairs / pairs.sum(axis=1, keepdims=True)
    model = NGram(2, 4, 0, "maximum-likelihood").fit(ids)
    log_probs, _ = model.step(np.arange(4), model.initial_state(4))
    np.testing.assert_allclose(np.exp(log_probs), table)
    loss = -model.score(ids[None]).mean()
    conditional = entropy(pairs.ravel()) - entropy(pairs.sum(axis=1))
    assert loss == pytest.approx(conditional)
    for other in np.random.default_rng(3).dirichlet(np.ones(4), size=(50, 4)):
        mixed = 0.9 * table + 0.1 * other
        assert -(pairs * np.log(mixed)).sum() / len(ids) > loss


def test_maximum_likelihood_gives_minus_infinity_to_the_unseen_without_a_warning(recwarn):
    model = NGram(2, 4, 0, "maximum-likelihood").fit([1, 2, 1, 2])
    assert model.score([[1, 2, 2]])[0, 2] == -np.inf
    assert not recwarn.list


def test_independent_lines_see_nothing_before_the_boundary():
    train = [1, 2, 0, 3, 1, 0, 1, 1, 0] * 3
    model = NGram(4, 4, 0, independent_lines=True).fit(train)
    log_probs = all_steps(model, [[1, 2, 0, 1], [3, 3, 0, 1]])
    np.testing.assert_array_equal(log_probs[0, 3], log_probs[1, 3])
    np.testing.assert_array_equal(log_probs[0, 3], log_probs[0, 0])
    streamed = NGram(4, 4, 0).fit(train)
    log_probs = all_steps(streamed, [[1, 2, 0, 1], [3, 3, 0, 1]])
    assert not np.allclose(log_probs[0, 3], log_probs[1, 3])


def test_old_states_stay_valid():
    model = NGram(3, V, 0).fit([1, 2, 3, 1, 2, 0, 1])
    _, state = model.step([0], model.initial_state(1))
    first, _ = model.step([1], state)
    model.step([2], state)
    again, _ = model.step([1], state)
    np.testing.assert_array_equal(first, again)


def test_high_orders_of_a_large_vocabulary_do_not_overflow():
    """A million to the 12th is far above 2^63; the dense numbers are not."""
    ids = np.random.default_rng(4).integers(1_000_000, size=500)
    model = NGram(12, 1_000_000, 0).fit(np.concatenate([ids, ids]))
    nats = -model.score(ids[None])[0]
    assert nats[12:].max() < np.log(10)  # each history was seen, always with this continuation


@settings(deadline=None)
@given(st.lists(st.integers(-(10**6), 2**62), max_size=50), st.integers(0, 40), st.booleans())
def test_sorts_as_numpy_does_whether_or_not_key_and_place_fit_in_64_bits(keys, top, thin):
    keys = np.array(keys, dtype=np.int64) >> top
    places = np.arange(len(keys)) * (1000 if thin else 1)
    order = np.argsort(keys, kind="stable")
    ascending, where = sort(keys, places)
    np.testing.assert_array_equal(ascending, keys[order])
    np.testing.assert_array_equal(where, places[order])


def test_many_lookups_at_once_find_what_single_ones_do():
    rng = np.random.default_rng(5)
    model = NGram(3, V, 0).fit(rng.integers(V, size=30))
    order = model._orders[2]
    history = rng.choice([ABSENT, UNSEEN, *range(model.sizes_[1])], size=(2, MANY))
    tokens = rng.integers(V, size=history.shape)
    singly = [order.find(h, w) for h, w in zip(history.ravel(), tokens.ravel(), strict=True)]
    numbers = {key: n for n, key in enumerate(order.keys.tolist())}
    expected = [
        h if h < 0 else numbers.get(h * V + w, UNSEEN)
        for h, w in zip(history.ravel().tolist(), tokens.ravel().tolist(), strict=True)
    ]
    assert UNSEEN in expected
    assert singly == expected
    np.testing.assert_array_equal(order.find(history, tokens).ravel(), expected)


def test_is_a_language_model_and_describes_itself():
    model = NGram(2, 4, 0).fit([1, 2, 3])
    assert isinstance(model, LanguageModel)
    assert model.max_context is None
    assert model.sizes_ == [4, 3]
    assert "order=2" in repr(model)


@pytest.mark.parametrize("kind", SMOOTHINGS)
def test_saves_and_loads(tmp_path, kind):
    path = tmp_path / "model.npz"
    model = NGram(3, V, 0, kind, alpha=0.2, independent_lines=True).fit([1, 2, 0, 3, 1, 2, 0])
    model.save(path)
    again = NGram.load(path)
    texts = np.random.default_rng(0).integers(V, size=(3, 20))
    np.testing.assert_array_equal(again.score(texts), model.score(texts))
    np.testing.assert_array_equal(all_steps(again, texts), all_steps(model, texts))
    assert again.discounts_ == model.discounts_
    assert [path.name] == [file.name for file in tmp_path.iterdir()]


def test_load_of_something_else(tmp_path):
    with pytest.raises(FileNotFoundError):
        NGram.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no model")
    np.savez(tmp_path / "other.npz", x=1)
    for name in ("text.npz", "other.npz"):
        with pytest.raises(ValueError, match=name):
            NGram.load(tmp_path / name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NGram(0, 4, 0), "order must be at least 1; got 0"),
        (lambda: NGram(2, 4, 4), "boundary"),
        (lambda: NGram(2, 4, 0, "good-turing"), "good-turing"),
        (lambda: NGram(2, 4, 0, "additive", alpha=0), "alpha"),
        (lambda: NGram(2, 4, 0).fit([]), "empty"),
        (lambda: NGram(2, 4, 0).fit([1, 4]), r"\[0, 4\)"),
        (lambda: NGram(2, 4, 0).fit([-1, 2]), r"\[0, 4\)"),
        (lambda: NGram(2, 4, 0).fit([0.5]), "integers"),
        (lambda: NGram(2, 4, 0).fit([[1, 2]]), "axes"),
        (lambda: NGram(2, 4, 0).score([[1]]), "not fitted"),
        (lambda: NGram(1, 4, 0).step([0], np.zeros((1, 0), int)), "not fitted"),
        (lambda: NGram(2, 4, 0).step([1], np.zeros((1, 1), int)), "not fitted"),
        (lambda: NGram(2, 4, 0).fit([1]).score([1, 2]), "axes"),
        (lambda: NGram(2, 4, 0).fit([1]).score([[7]]), r"\[0, 4\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
