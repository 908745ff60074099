import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen_utils.compression import compress, decompress, ideal_bytes
from textgen_utils.information import entropy
from textgen_utils.models.ngram import NGram


class Dice:
    """Throws that do not depend on each other, with known probabilities."""

    boundary = 0

    def __init__(self, p, max_context=None):
        self.p = np.asarray(p, dtype=float)
        self.vocab_size, self.max_context = len(self.p), max_context

    def initial_state(self, batch_size):
        return None

    def step(self, tokens, state):
        with np.errstate(divide="ignore"):
            return np.tile(np.log(self.p), (len(tokens), 1)), state

    def score(self, ids):
        with np.errstate(divide="ignore"):
            return np.log(self.p)[ids]


P = [0.5, 0.25, 0.2, 0.0499, 0.0001]


def test_size_is_the_cross_entropy_of_known_throws():
    ids = np.random.default_rng(0).choice(5, size=5000, p=P)
    model = Dice(P)
    data = compress(model, ids)
    ideal = ideal_bytes(model, ids)
    assert ideal - 1 <= len(data) <= ideal * 1.001 + 8
    assert len(data) == pytest.approx(5000 * entropy(P, "bits") / 8, rel=0.03)
    np.testing.assert_array_equal(decompress(model, data, 5000), ids)


def test_a_model_that_is_wrong_pays_the_divergence():
    ids = np.random.default_rng(0).choice(5, size=3000, p=P)
    wrong = Dice(np.full(5, 0.2))
    assert len(compress(wrong, ids)) == pytest.approx(3000 * np.log2(5) / 8, abs=8)


def test_a_text_that_is_certain_costs_next_to_nothing():
    ids = np.ones(2000, int)
    assert len(compress(Dice([1e-9, 1 - 1e-9]), ids)) <= 8


@pytest.mark.parametrize("order", [1, 3, 5])
def test_n_grams_go_there_and_back_at_the_size_they_predict(order):
    train = np.tile([1, 2, 3, 0, 2, 2, 4], 100)
    test = np.tile([1, 2, 3, 0, 2, 4, 1, 1], 250)
    model = NGram(order, 5, 0).fit(train)
    data, ideal = compress(model, test), ideal_bytes(model, test)
    assert ideal - 1 <= len(data) <= ideal * 1.001 + 8
    np.testing.assert_array_equal(decompress(model, data, len(test)), test)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=30), st.integers(1, 4))
def test_any_text_comes_back(ids, order):
    model = NGram(order, 5, 0).fit([1, 2, 3, 1, 2, 0, 1])
    data = compress(model, np.array(ids, dtype=int))
    assert decompress(model, data, len(ids)).tolist() == ids


@pytest.mark.filterwarnings("error")
def test_backend_tensors_and_single_precision():
    from keras import ops

    class Tensors(Dice):
        def step(self, tokens, state):
            log_probs, state = super().step(tokens, state)
            return ops.convert_to_tensor(log_probs.astype("float32")), state

    ids = np.random.default_rng(0).choice(4, size=200)
    model = Tensors([0.25, 0.25, 0.25, 0.25])
    data = compress(model, ids)
    assert len(data) == pytest.approx(50, abs=8)
    np.testing.assert_array_equal(decompress(model, data, 200), ids)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: compress(Dice([0.5, 0.5, 0]), [0, 1, 2]),
            "probability 0 to token 2 at pos",
        ),
        (lambda: compress(Dice(P), [5]), r"\[0, 5\)"),
        (lambda: compress(Dice(P), [0.5]), "integers"),
        (lambda: compress(Dice(P, max_context=3), [1, 1, 1, 1]), "max_context = 3"),
        (lambda: decompress(Dice(P, max_context=3), b"", 4), "max_context = 3"),
        (lambda: ideal_bytes(Dice(P, max_context=3), [1, 1, 1, 1]), "max_context = 3"),
        (lambda: decompress(Dice(P), b"abc", 4), "multiple of 4"),
        (lambda: decompress(Dice(P), b"abcd", -1), "at least 0"),
        (lambda: decompress(Dice(np.full(5, 0.2)), b"\xff" * 400, 1000), "not written by"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match=r"textgen_utils\[book\]"):
        compress(Dice(P), [0])
