"""The windowed model agrees with the network it wraps, and with a model that has a cache."""

import keras
import numpy as np
import pytest

from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.windowed import WindowedLanguageModel

VOCAB = 7
IDS = np.random.default_rng(0).integers(VOCAB, size=(3, 5)).astype("int32")


@pytest.fixture(scope="module")
def recurrent() -> LSTMLanguageModel:
    keras.utils.set_random_seed(1)
    return LSTMLanguageModel(VOCAB, width=6, boundary=2)


def by_steps(model, ids: np.ndarray) -> np.ndarray:
    """log p of every token, read off `step`."""
    state, read, columns = model.initial_state(len(ids)), np.full(len(ids), model.boundary), []
    for t in range(ids.shape[1]):
        log_probs, state = model.step(read, state)
        assert np.allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-5)
        columns.append(np.asarray(log_probs)[np.arange(len(ids)), ids[:, t]])
        read = ids[:, t]
    return np.stack(columns, axis=1)


def test_step_and_score_agree_with_the_model_that_has_a_state(recurrent):
    windowed = WindowedLanguageModel(recurrent, boundary=2, max_context=8)
    expected = recurrent.score(IDS)
    assert np.allclose(windowed.score(IDS), expected, atol=1e-5)
    assert np.allclose(by_steps(windowed, IDS), expected, atol=1e-5)


def test_a_full_window_forgets_its_oldest_token(recurrent):
    windowed = WindowedLanguageModel(recurrent, boundary=2, max_context=2)
    log_probs = by_steps(windowed, IDS)
    last_two = keras.ops.log_softmax(recurrent(IDS[:, 2:4]))[:, -1]
    expected = np.take_along_axis(np.asarray(last_two), IDS[:, 4:], axis=1)[:, 0]
    assert np.allclose(log_probs[:, 4], expected, atol=1e-5)


def test_an_old_state_stays_valid(recurrent):
    windowed = WindowedLanguageModel(recurrent, boundary=2, max_context=3)
    state = windowed.initial_state(1)
    first, _ = windowed.step(np.array([1]), state)
    again, _ = windowed.step(np.array([1]), state)
    assert np.array_equal(first, again)


@pytest.mark.parametrize(
    "bad", [{"max_context": 0, "boundary": 2}, {"max_context": 4, "boundary": 9}]
)
def test_bad_arguments_are_named(recurrent, bad):
    with pytest.raises(ValueError, match="must"):
        WindowedLanguageModel(recurrent, **bad)


def test_too_long_a_text_is_refused(recurrent):
    windowed = WindowedLanguageModel(recurrent, boundary=2, max_context=4)
    with pytest.raises(ValueError, match="max_context = 4 tokens, got 5"):
        windowed.score(IDS)
