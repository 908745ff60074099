import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils.evaluation import evaluate, random_window_loss, token_log_probs
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.ngram import NGram


class Odometer:
    """Its log-probabilities tell how many tokens of the text it had read: -(that number)."""

    vocab_size, boundary = 5, 0

    def __init__(self, max_context=None):
        self.max_context = max_context
        self.shapes = []

    def initial_state(self, batch_size):
        return np.zeros(batch_size)

    def step(self, tokens, state):
        self.shapes.append(np.shape(tokens))
        return -np.tile((state + 1)[:, None], self.vocab_size), state + 1

    def score(self, ids):
        assert self.max_context is None or ids.shape[1] <= self.max_context
        self.shapes.append(ids.shape)
        return np.tile(-np.arange(ids.shape[1], dtype=float), (len(ids), 1))


class Uniform(Odometer):
    """Every token has probability 1/5; `score` returns whatever `convert` makes of that."""

    def __init__(self, convert=np.asarray):
        super().__init__()
        self.convert = convert

    def score(self, ids):
        return self.convert(np.full(ids.shape, -np.log(5), dtype="float32"))


def bigram(text_length=400, seed=0):
    ids = np.random.default_rng(seed).choice(5, size=text_length, p=[0.1, 0.1, 0.2, 0.2, 0.4])
    return NGram(2, 5, 0).fit(ids), ids


@given(
    time=st.integers(1, 400),
    context=st.none() | st.integers(0, 50),
    room=st.none() | st.integers(1, 60),
    batch_size=st.integers(1, 20),
)
def test_every_token_is_scored_once_with_the_context_promised(time, context, room, batch_size):
    limit = None if room is None else room + (context or 0)
    model = Odometer(limit)
    had = -token_log_probs(model, np.ones(time, int), context=context, batch_size=batch_size)
    promised = context if context is not None else (time if limit is None else limit // 2)
    position = np.arange(time)
    assert had.shape == (time,)
    assert (had >= np.minimum(position, promised)).all()
    assert (had <= position).all()
    assert len(set(model.shapes)) == 1


def test_parallel_streams_need_one_call_and_a_limit_is_used_to_the_full():
    model = Odometer()
    token_log_probs(model, np.ones(10_000, int), context=256, batch_size=64)
    assert len(model.shapes) == 1
    assert model.shapes[0][0] <= 64
    assert model.shapes[0][1] == 256 + -(-10_000 // 64)
    model = Odometer(max_context=64)
    token_log_probs(model, np.ones(10_000, int), context=48, batch_size=8)
    assert set(model.shapes) == {(8, 64)}


def test_very_long_texts_take_several_calls_of_bounded_size():
    model = Odometer()
    token_log_probs(model, np.ones(1_000_000, int), context=256, batch_size=16)
    assert len(set(model.shapes)) == 1
    assert model.shapes[0][1] <= 5 * 256


@given(st.integers(1, 30), st.integers(1, 300), st.integers(1, 20))
def test_context_that_covers_the_order_is_as_good_as_all_the_text(context, time, batch_size):
    """Whatever the windows: the boundary in front of each is invisible to a bigram."""
    model, ids = bigram()
    whole = model.score(ids[None, :time])[0]
    cut = token_log_probs(model, ids[:time], context=context, batch_size=batch_size)
    np.testing.assert_array_equal(cut, whole)


def test_report_of_a_model_whose_loss_is_known():
    report = evaluate(Uniform(), np.ones(30, int), characters=60)
    assert dataclasses.asdict(report) == {
        "nats_per_token": pytest.approx(np.log(5)),
        "bits_per_character": pytest.approx(np.log2(5) / 2),
        "perplexity": pytest.approx(5),
        "tokens": 30,
        "characters": 60,
        "context": None,
        "lines": False,
    }
    assert evaluate(Uniform(), np.ones(30, int)).characters == 30
    assert evaluate(Uniform(), np.ones(30, int), context=7).context == 7
    assert evaluate(Odometer(max_context=10), np.ones(30, int)).context == 5
    assert "all the left text" in str(report)


def test_report_is_the_mean_of_the_token_log_probs():
    model, ids = bigram()
    report = evaluate(model, ids, context=3, batch_size=4)
    assert report.nats_per_token == pytest.approx(-model.score(ids[None]).mean())
    assert report.perplexity == pytest.approx(np.exp(report.nats_per_token))


def test_an_impossible_text_costs_infinity():
    model = NGram(1, 5, 0, "maximum-likelihood").fit([1, 2])
    report = evaluate(model, [1, 3])
    assert report.nats_per_token == report.perplexity == report.bits_per_character == np.inf


def test_tensors_of_the_backend_are_welcome():
    from keras import ops

    report = evaluate(Uniform(ops.convert_to_tensor), np.ones(30, int), context=2, batch_size=3)
    assert report.nats_per_token == pytest.approx(np.log(5))


def test_needs_no_keras_for_numpy_models():
    program = (
        "import sys, numpy as np\n"
        "from textgen_utils import compression, evaluation\n"
        "from textgen_utils.models.ngram import NGram\n"
        "evaluation.evaluate(NGram(2, 3, 0).fit([1, 2, 1]), [1, 2])\n"
        "assert 'keras' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_random_windows_see_1_to_window_tokens(batch_size):
    """The t-th prediction costs the odometer t nats: the mean is (window + 1) / 2."""
    model = Odometer(max_context=9)
    loss = random_window_loss(model, np.ones(50, int), 9, 10, seed=0, batch_size=batch_size)
    assert loss.nats_per_token == pytest.approx(5)
    assert loss.standard_error == 0
    assert (loss.windows, loss.window) == (10, 9)
    assert len(set(model.shapes)) == 1


def test_random_windows_of_a_bigram():
    model, ids = bigram()
    scored = -model.score(ids[None])[0]
    only = random_window_loss(model, ids[:21], 20, 3, seed=0)  # there is but one window
    assert only.nats_per_token == pytest.approx(scored[1:21].mean())
    assert only.standard_error == pytest.approx(0, abs=1e-12)
    loss = random_window_loss(model, ids, 20, 500, seed=1)
    means = np.lib.stride_tricks.sliding_window_view(scored[1:], 20).mean(axis=1)
    assert abs(loss.nats_per_token - means.mean()) < 4 * loss.standard_error
    assert loss.standard_error == pytest.approx(means.std() / np.sqrt(500), rel=0.2)
    assert loss == random_window_loss(model, ids, 20, 500, seed=1)
    assert loss != random_window_loss(model, ids, 20, 500, seed=2)


class Broken(Odometer):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def score(self, ids):
        return self.result


ONES = np.ones(30, int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluate(Odometer(), np.array([], int)), "at least one token"),
        (lambda: evaluate(Odometer(), ONES[None]), "axes"),
        (lambda: evaluate(Odometer(), ONES / 2), "integers"),
        (lambda: evaluate(Odometer(), ONES * 5), r"\[0, 5\)"),
        (lambda: evaluate(Odometer(8), ONES, context=8), "below max_context = 8"),
        (lambda: evaluate(Odometer(), ONES, context=-1), "at least 0; got -1"),
        (lambda: evaluate(Odometer(), ONES, batch_size=0), "batch_size"),
        (lambda: evaluate(Odometer(), ONES, characters=0), "characters"),
        (lambda: evaluate(Broken(np.zeros((1, 29))), ONES), "shape"),
        (lambda: evaluate(Broken(np.full((1, 30), np.nan)), ONES), "NaN"),
        (lambda: random_window_loss(Odometer(), ONES, 30, 5, seed=0), r"\[1, 29\]"),
        (lambda: random_window_loss(Odometer(8), ONES, 9, 5, seed=0), "max_context = 8"),
        (lambda: random_window_loss(Odometer(), ONES, 9, 0, seed=0), "at least 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_test_model_is_a_language_model():
    assert isinstance(Odometer(), LanguageModel)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 7))
def test_a_line_on_its_own_knows_nothing_of_the_others(ids, batch_size):
    had = -token_log_probs(Odometer(), ids, lines=True, batch_size=batch_size)
    expected, column = [], 0
    for token in ids:
        expected.append(column)
        column = 0 if token == Odometer.boundary else column + 1
    assert had.tolist() == expected


def test_lines_are_one_convention_for_a_model_that_looks_no_further():
    model, ids = bigram()
    alone, stream = evaluate(model, ids, lines=True), evaluate(model, ids)
    assert alone.nats_per_token == pytest.approx(stream.nats_per_token, rel=1e-12)
    assert "the line so far" in str(alone)


def test_lines_too_long_or_with_a_context_are_refused():
    with pytest.raises(ValueError, match="line of 4 tokens is longer than max_context = 3"):
        token_log_probs(Odometer(3), [1, 1, 1, 0, 1], lines=True)
    with pytest.raises(ValueError, match="context=2"):
        token_log_probs(Odometer(), [1, 0], lines=True, context=2)
