"""Beam search and exact search against the enumeration of every text."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils.corpora.reviews import Reviews
from textgen_utils.corpora.reviews.oracle import Oracle
from textgen_utils.decoding import beam_search, exact_search, generate, translate
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.transformer import GPT
from textgen_utils.models.transformer_seq2seq import TransformerSeq2Seq
from textgen_utils.models.windowed import WindowedLanguageModel

STOP = 1
LENGTH = 4


class Tables:
    """p(next | text, time, the token before last, last): all that a search must not mix up.

    The state holds arrays with the batch first and the time, the same for all rows.
    """

    boundary, max_context = 0, None

    def __init__(self, seed, texts=1, vocab_size=3, sharpness=1.0, length=LENGTH):
        rng = np.random.default_rng(seed)
        shape = (texts, length) + (vocab_size,) * 3
        logits = rng.normal(size=shape) * 2 * sharpness
        logits[rng.random(shape) < 0.15] = -np.inf
        logits[..., 0] = np.where(np.isinf(logits).all(axis=-1), 0, logits[..., 0])
        self.log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        self.vocab_size = vocab_size
        self.texts = texts

    def initial_state(self, batch_size):
        if batch_size % self.texts:
            raise ValueError(f"the batch must be a multiple of {self.texts}")
        text = np.repeat(np.arange(self.texts), batch_size // self.texts)
        return [text, np.zeros(batch_size, int)], 0

    def step(self, tokens, state):
        (text, previous), time = state
        return self.log_probs[text, time, previous, tokens], ([text, tokens], time + 1)

    def log_prob(self, tokens, text=0):
        """Log p of a beginning of a text, token by token."""
        read = [0, 0, *tokens]
        return sum(
            self.log_probs[text, t, read[t], read[t + 1], token] for t, token in enumerate(tokens)
        )

    def ranking(self, text=0, alpha=0.0, length=LENGTH):
        """Every text that ends, best first: (score, tokens)."""
        others = [token for token in range(self.vocab_size) if token != STOP]
        texts = [
            (*head, STOP)
            for n in range(length)
            for head in itertools.product(others, repeat=n)
            if self.log_prob((*head, STOP), text) > -np.inf
        ]
        scored = [(self.log_prob(tokens, text) / len(tokens) ** alpha, tokens) for tokens in texts]
        return sorted(scored, reverse=True)


def until_stop(ids):
    ids = tuple(ids.tolist())
    return ids[: ids.index(STOP) + 1] if STOP in ids else ids


tables = st.builds(
    Tables,
    st.integers(0, 10_000),
    texts=st.integers(1, 3),
    vocab_size=st.integers(2, 3),
    sharpness=st.sampled_from([0.0, 0.5, 1.0]),
)
alphas = st.sampled_from([0.0, 0.6, 1.0, 2.0])


def search(model, width, alpha=0.0, length=LENGTH):
    return beam_search(model, length, width=width, stop=STOP, n=model.texts, alpha=alpha)


@given(tables, alphas)
def test_a_wide_beam_is_the_enumeration(model, alpha):
    found = search(model, width=40, alpha=alpha)  # 15 texts end, 16 do not
    for text in range(model.texts):
        truth = model.ranking(text, alpha)
        count = found.finished[text].sum()
        assert count == len(truth)
        assert found.finished[text, :count].all()
        assert found.scores[text, :count] == pytest.approx([score for score, _ in truth])
        ended = {until_stop(ids) for ids in found.ids[text, :count]}
        assert ended == {tokens for _, tokens in truth}
        assert found.proven[text] == (count > 0)


@given(tables)
def test_empty_places_are_filled_with_what_is_unfinished(model):
    found = search(model, width=40)
    others = [token for token in range(model.vocab_size) if token != STOP]
    for text in range(model.texts):
        heads = itertools.product(others, repeat=LENGTH)
        truth = [model.log_prob(head, text) for head in heads]
        truth = sorted((value for value in truth if value > -np.inf), reverse=True)
        rest = found.log_probs[text, found.finished[text].sum() :]
        assert rest[: len(truth)] == pytest.approx(truth)
        assert (rest[len(truth) :] == -np.inf).all()
        assert (found.ids[text, found.log_probs[text] == -np.inf] == STOP).all()


@given(tables, alphas, st.integers(1, 5))
def test_a_narrow_beam_tells_the_truth_about_what_it_found(model, alpha, width):
    found = search(model, width, alpha)
    for text in range(model.texts):
        real = found.log_probs[text] > -np.inf
        texts = [until_stop(ids) for ids in found.ids[text, real]]
        assert len(set(texts)) == len(texts)
        assert [tokens[-1] == STOP for tokens in texts] == found.finished[text, real].tolist()
        log_probs = [model.log_prob(tokens, text) for tokens in texts]
        scores = [p / len(t) ** alpha for p, t in zip(log_probs, texts, strict=True)]
        assert found.log_probs[text, real] == pytest.approx(log_probs)
        assert found.scores[text, real] == pytest.approx(scores)
        for group in (scores[: found.finished[text].sum()], scores[found.finished[text].sum() :]):
            assert group == sorted(group, reverse=True)


@given(tables, alphas, st.integers(1, 5))
def test_what_is_called_proven_is_the_best_and_nothing_is_better(model, alpha, width):
    found = search(model, width, alpha)
    for text in range(model.texts):
        truth = model.ranking(text, alpha)
        if not found.finished[text, 0]:
            assert not found.proven[text]
            continue
        best = truth[0][0]
        assert found.scores[text, 0] <= best + 1e-9
        if found.proven[text]:
            assert found.scores[text, 0] == pytest.approx(best)


def test_narrow_beams_are_sometimes_wrong_and_sometimes_proven():
    """Else the test above would hold for nothing."""
    models = [Tables(seed) for seed in range(200)]
    found = [search(model, width=1) for model in models]
    best = np.array([model.ranking()[0][0] for model in models])
    right = np.isclose([f.scores[0, 0] if f.finished[0, 0] else -np.inf for f in found], best)
    proven = np.array([f.proven[0] for f in found])
    assert 0 < proven.sum() < right.sum() < len(models)


def test_a_wider_beam_can_be_worse():
    """So no test may ask for the contrary."""
    models = [Tables(seed, vocab_size=6, sharpness=0.3) for seed in range(300)]
    first, second = (
        np.array([s.log_probs[0, 0] if s.finished[0, 0] else -np.inf for s in found])
        for found in ([search(m, width) for m in models] for width in (1, 2))
    )
    assert (second < first - 1e-9).any()
    assert (second > first + 1e-9).sum() > (second < first - 1e-9).sum()


@given(tables)
def test_width_one_is_greedy_search(model):
    greedy = generate(
        model, np.zeros((model.texts, 0), int), LENGTH, greedy=True, stop=STOP, seed=0
    )
    found = search(model, width=1)
    for text in range(model.texts):
        assert until_stop(found.ids[text, 0]) == until_stop(greedy[text])


@given(st.integers(0, 10_000), st.integers(1, 4), alphas)
def test_texts_do_not_disturb_each_other(seed, width, alpha):
    model = Tables(seed, texts=3)
    together = search(model, width, alpha)
    for text in range(3):
        alone = Tables(seed, texts=3)
        alone.log_probs, alone.texts = alone.log_probs[text : text + 1], 1
        for mine, whole in zip(search(alone, width, alpha), together, strict=True):
            np.testing.assert_array_equal(mine[0], whole[text])


@given(tables, alphas, st.integers(1, 5))
def test_stopping_early_changes_nothing(model, alpha, width):
    with pytest.MonkeyPatch.context() as patch:
        quick = search(model, width, alpha)
        patch.setattr("textgen_utils.decoding.search._Search.decided", lambda self: False)
        slow = search(model, width, alpha)
    done = quick.finished.all(axis=1)
    for mine, whole in zip(quick, slow, strict=True):
        np.testing.assert_array_equal(mine[done], whole[done])
    np.testing.assert_array_equal(quick.ids[:, 0], slow.ids[:, 0])


@given(
    st.integers(0, 10_000),
    st.integers(2, 3),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(1, LENGTH),
    st.sampled_from([1, 2, 7]),
)
def test_exact_search_is_the_enumeration(seed, vocab_size, sharpness, length, batch_size):
    model = Tables(seed, vocab_size=vocab_size, sharpness=sharpness)
    found = exact_search(model, length, stop=STOP, batch_size=batch_size)
    truth = model.ranking(length=length)
    assert found.proven
    if not truth:
        assert found.log_prob == -np.inf
        assert not len(found.ids)
        return
    assert found.log_prob == pytest.approx(truth[0][0])
    assert found.log_prob == pytest.approx(model.log_prob(found.ids.tolist()))
    assert found.ids[-1] == STOP
    # Each length has at most 1 / p prefixes of probability p or more, and a batch of others.
    assert found.expanded <= length * (np.exp(-found.log_prob) + 1e-6) + length * batch_size


@given(st.integers(0, 10_000))
def test_a_longer_text_is_allowed_and_the_optimum_never_falls(seed):
    model = Tables(seed)
    best = [exact_search(model, n, stop=STOP).log_prob for n in range(1, LENGTH + 1)]
    assert best == sorted(best)


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_a_search_that_is_given_up_says_so(seed, most):
    model = Tables(seed, sharpness=0.5)
    found = exact_search(model, LENGTH, stop=STOP, max_expanded=most, batch_size=2)
    whole = exact_search(model, LENGTH, stop=STOP, batch_size=2)
    assert found.expanded <= most
    if found.proven:
        assert found.log_prob == whole.log_prob
    else:
        assert found.expanded == most < whole.expanded
        assert found.log_prob <= whole.log_prob


# Every model of the package: what a search says of a text is what `score` says of it.

V, BOUNDARY = 6, 2
IDS = np.random.default_rng(0).integers(V, size=300)
SOURCES = [[1, 4], [4, 4, 0, 2, 5], [0, 1, 1]]


def strong(model):
    rng = np.random.default_rng(4)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


LSTM = strong(LSTMLanguageModel(V, width=4, boundary=BOUNDARY))
PAIRED = {
    "recurrent": strong(
        RecurrentSeq2Seq(7, V, width=4, attention="dot", boundary=BOUNDARY, padding=3)
    ),
    "transformer": strong(
        TransformerSeq2Seq(
            7, V, width=4, heads=2, depth=2, max_context=5, boundary=BOUNDARY, padding=3
        )
    ),
}
PLAIN = {
    "n-gram": NGram(3, V, BOUNDARY).fit(IDS),
    "unigram": NGram(1, V, BOUNDARY).fit(IDS),
    "lstm": LSTM,
    "gpt": strong(GPT(V, max_context=5, width=4, heads=2, depth=2, boundary=BOUNDARY)),
    "windowed": WindowedLanguageModel(LSTM, boundary=BOUNDARY, max_context=5),
}


def scored(model, ids):
    """Log p of each text up to its end, by `score`."""
    ends = np.array([list(row).index(BOUNDARY) if BOUNDARY in row else len(row) for row in ids])
    log_probs = np.asarray(model.score(ids), float)
    return np.where(np.arange(ids.shape[1]) <= ends[:, None], log_probs, 0).sum(axis=1)


@pytest.mark.parametrize("name", PLAIN)
def test_a_search_agrees_with_the_score_of_every_kind_of_model(name):
    model = PLAIN[name]
    found = beam_search(model, 5, width=4, stop=BOUNDARY)
    assert found.log_probs[0] == pytest.approx(scored(model, found.ids[0]), abs=1e-4)
    others = [token for token in range(V) if token != BOUNDARY]
    every = [[BOUNDARY] * 3, *([token, BOUNDARY, BOUNDARY] for token in others)]
    every += [[*head, BOUNDARY] for head in itertools.product(others, repeat=2)]
    every = np.array(every)
    best = exact_search(model, 3, stop=BOUNDARY, batch_size=4)
    assert best.proven
    assert best.log_prob == pytest.approx(scored(model, every).max(), abs=1e-4)


@pytest.mark.parametrize("name", PAIRED)
def test_a_search_keeps_sources_apart(name):
    model = PAIRED[name]
    found = beam_search(model.condition(SOURCES), 5, width=4, stop=BOUNDARY, n=3)
    log_probs = scored(model.condition(SOURCES), found.ids.reshape(12, 5)).reshape(3, 4)
    np.testing.assert_allclose(found.log_probs, log_probs, atol=1e-4)
    assert np.ptp(found.log_probs[:, 0]) > 0.01
    for i, source in enumerate(SOURCES):
        best = exact_search(model.condition([source]), 5, stop=BOUNDARY, batch_size=4)
        assert best.proven
        assert found.log_probs[i, found.finished[i]].max(initial=-np.inf) <= best.log_prob + 1e-4
        if found.proven[i]:
            assert found.log_probs[i, 0] == pytest.approx(best.log_prob, abs=1e-4)


def test_the_most_probable_review():
    """The grammar's own automaton: a model most of whose tokens are impossible."""
    oracle = Oracle(Reviews().automaton("en", "words"))
    best = exact_search(oracle, 60, stop=oracle.boundary, max_expanded=50_000, batch_size=512)
    assert best.proven
    assert best.log_prob == pytest.approx(oracle.score(best.ids[None]).sum())
    wide = beam_search(oracle, 60, width=200, stop=oracle.boundary)
    assert wide.log_probs[0, 0] <= best.log_prob + 1e-9


def test_translations_with_a_beam():
    model = PAIRED["recurrent"]
    beams = translate(model, SOURCES, 5, beam=4, batch_size=2)
    greedy = translate(model, SOURCES, 5)
    for i, source in enumerate(SOURCES):
        alone = beam_search(model.condition([source]), 5, width=4, stop=BOUNDARY)
        ids = alone.ids[0, 0].tolist()
        assert beams[i].tolist() == (ids[: ids.index(BOUNDARY)] if BOUNDARY in ids else ids)
        one = beam_search(model.condition([source]), 5, width=1, stop=BOUNDARY).ids[0, 0].tolist()
        assert greedy[i].tolist() == (one[: one.index(BOUNDARY)] if BOUNDARY in one else one)
    long = translate(model, SOURCES, 5, beam=4, alpha=3.0)
    assert sum(map(len, long)) >= sum(map(len, beams))


class Broken(Tables):
    def step(self, tokens, state):
        log_probs, state = super().step(tokens, state)
        return log_probs * np.nan, state


def beam(model=None, length=3, **options):
    options = {"width": 2, "stop": STOP, **options}
    return beam_search(model or Tables(0), length, **options)


def exact(model=None, length=3, **options):
    return exact_search(model or Tables(0), length, **{"stop": STOP, **options})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: beam(width=0), "width must be at least 1, got 0"),
        (lambda: beam(width=2.5), "width must be an integer, got 2.5"),
        (lambda: beam(length=0), "length must be at least 1, got 0"),
        (lambda: beam(n=0), "n must be at least 1, got 0"),
        (lambda: beam(alpha=float("nan")), "alpha must be at least 0 and finite, got nan"),
        (lambda: beam(alpha=-1), "at least 0 and finite, got -1"),
        (lambda: beam(alpha=float("inf")), "at least 0 and finite, got inf"),
        (lambda: beam(stop=3), "stop must be one of 3 tokens, got 3"),
        (lambda: beam(stop=None), "stop must be one of 3 tokens, got None"),
        (lambda: beam(PLAIN["gpt"], length=6), "reads at most 5 tokens, got 6"),
        (lambda: beam(Tables(0, texts=3), n=2), "must be a multiple of 3"),
        (lambda: beam(PAIRED["recurrent"].condition(SOURCES), n=2), "multiple of the 3 sources"),
        (lambda: beam(Broken(0)), "NaN"),
        (lambda: exact(length=0), "length must be at least 1, got 0"),
        (lambda: exact(stop=-1), "stop must be one of 3 tokens, got -1"),
        (lambda: exact(max_expanded=0), "max_expanded must be at least 1, got 0"),
        (lambda: exact(batch_size=0), "batch_size must be at least 1, got 0"),
        (lambda: exact(PLAIN["gpt"], length=6), "reads at most 5 tokens, got 6"),
        (lambda: exact(PAIRED["recurrent"].condition(SOURCES)), "multiple of the 3 sources"),
        (lambda: exact(Broken(0)), "NaN"),
        (lambda: translate(PAIRED["recurrent"], SOURCES, 5, beam=0), "beam must be at least 1"),
        (lambda: translate(PAIRED["recurrent"], SOURCES, 5, alpha=-1), "at least 0"),
    ],
)
def test_refused_with_a_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_vocabulary_of_one():
    class Silent(Tables):
        boundary = 0

        def __init__(self):
            self.vocab_size, self.texts = 1, 1

        def initial_state(self, batch_size):
            return np.zeros(batch_size)

        def step(self, tokens, state):
            return np.zeros((len(tokens), 1)), state

    found = beam_search(Silent(), 3, width=4, stop=0)
    assert found.log_probs[0].tolist() == [0, -np.inf, -np.inf, -np.inf]
    assert exact_search(Silent(), 3, stop=0).ids.tolist() == [0]
