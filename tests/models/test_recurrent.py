import keras
import numpy as np
import pytest
from checks import scores_in_a_fresh_process, step_and_score_agree_with_the_forward_pass
from keras import ops

from textgen_utils.models.recurrent import LSTMLanguageModel

VARIANTS = [{}, {"depth": 2, "dropout": 0.3}, {"tied": True}, {"depth": 2, "embedding_width": 5}]
IDS = np.random.default_rng(0).integers(11, size=(3, 9)).astype("int32")


def make(**options):
    keras.utils.set_random_seed(1)
    model = LSTMLanguageModel(11, **{"width": 8, "boundary": 2, **options})
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(model, ids):
    """The LSTM's equations in NumPy, float64, for a model of depth 1 that is not tied."""
    embedding, kernel, recurrent, bias, head, head_bias = (
        np.asarray(w, "float64") for w in model.get_weights()
    )
    hidden = cell = np.zeros((len(ids), model.width))
    logits = []
    for tokens in ids.T:
        gates = embedding[tokens] @ kernel + hidden @ recurrent + bias
        enter, forget, new, leave = np.split(gates, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        hidden = sigmoid(leave) * np.tanh(cell)
        logits.append(hidden @ head + head_bias)
    return np.stack(logits, axis=1)


def test_logits_follow_the_equations():
    model = make()
    np.testing.assert_allclose(ops.convert_to_numpy(model(IDS)), by_hand(model, IDS), atol=1e-4)


@pytest.mark.parametrize("options", VARIANTS)
def test_step_and_score_agree_with_the_forward_pass(options):
    model = make(**options)
    step_and_score_agree_with_the_forward_pass(model, IDS)


def test_an_old_state_stays_valid():
    model = make()
    first, state = model.step([2, 2], model.initial_state(2))
    kept = [array.copy() for array in state]
    once, _ = model.step([4, 5], state)
    model.step([7, 8], state)
    for array, copy in zip(state, kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(model.step([4, 5], state)[0], once)
    assert not np.allclose(first, once)


def test_step_and_score_see_new_weights():
    model = make()
    before, score_before = model.step([1], model.initial_state(1))[0], model.score(IDS)
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(IDS, IDS, epochs=1, verbose=0)
    after = model.step([1], model.initial_state(1))[0]
    fresh = LSTMLanguageModel.from_config(model.get_config())
    fresh.set_weights(model.get_weights())
    assert np.abs(before - after).max() > 1e-3
    np.testing.assert_allclose(after, fresh.step([1], fresh.initial_state(1))[0], atol=1e-6)
    np.testing.assert_allclose(model.score(IDS), fresh.score(IDS), atol=1e-6)
    assert np.abs(model.score(IDS) - score_before).max() > 1e-3


def test_the_step_is_traced_once():
    traces = []

    class Counting(LSTMLanguageModel):
        def _step(self, tokens, *state):
            traces.append(1)
            return super()._step(tokens, *state)

    model = Counting(11, width=8, boundary=2)
    state = model.initial_state(4)
    for _ in range(3):
        _, state = model.step(np.zeros(4, "int32"), state)
    first = len(traces)
    for _ in range(20):
        _, state = model.step(np.zeros(4, "int32"), state)
    assert len(traces) == first


def test_the_future_changes_nothing_before_it():
    model = make(depth=2)
    changed = IDS.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    first, second = (ops.convert_to_numpy(model(ids)) for ids in (IDS, changed))
    np.testing.assert_allclose(first[:, :5], second[:, :5], atol=1e-6)
    assert np.abs(first[:, 5:] - second[:, 5:]).max() > 1e-3


def test_dropout_acts_in_training_only():
    model = make(dropout=0.5)
    calm = ops.convert_to_numpy(model(IDS))
    np.testing.assert_array_equal(calm, ops.convert_to_numpy(model(IDS, training=False)))
    assert np.abs(calm - ops.convert_to_numpy(model(IDS, training=True))).max() > 1e-2


def test_saved_and_loaded_in_a_fresh_process(tmp_path):
    models = [make(**options) for options in VARIANTS]
    for model in models:
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(IDS, IDS, verbose=0)
    scores = [model.score(IDS) for model in models]
    there = scores_in_a_fresh_process(models, IDS, tmp_path)
    for options, score, found in zip(VARIANTS, scores, there, strict=True):
        np.testing.assert_allclose(found, score, atol=1e-6, err_msg=str(options))


def test_a_tied_model_has_no_second_matrix():
    sizes = [w.shape for w in make(tied=True).trainable_weights]
    assert sizes.count((11, 8)) == 1
    assert (8, 11) not in sizes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"boundary": 11}, "boundary must be one of 11 tokens, got 11"),
        ({"tied": True, "embedding_width": 3}, "embedding_width = width, got 3 and 8"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LSTMLanguageModel(11, **{"width": 8, "boundary": 2, **options})


def test_the_seed_and_nothing_else_draws_the_weights():
    first = LSTMLanguageModel(5, width=4, depth=2, boundary=0, seed=3).get_weights()
    keras.utils.set_random_seed(99)
    again = LSTMLanguageModel(5, width=4, depth=2, boundary=0, seed=3).get_weights()
    other = LSTMLanguageModel(5, width=4, depth=2, boundary=0, seed=4).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1][:4], first[4][:4])  # the two layers differ


def test_memory_spreads_the_times_for_which_cells_keep_what_they_have():
    model = LSTMLanguageModel(5, width=400, boundary=0, memory=100, seed=1)
    bias = ops.convert_to_numpy(model.recurrent[0].cell.bias)
    i, f, g, o = np.split(bias, 4)
    kept = 1 / (1 - sigmoid(f))  # tokens; 1 + u for a bias of log(u)
    assert np.allclose(i, -f)
    assert not g.any()
    assert not o.any()
    assert 1.9 < kept.min() < 5 < 80 < kept.max() < 101.1
    assert abs(kept.mean() - 51.5) < 5
    with pytest.raises(ValueError, match="at least 2 tokens, got 1"):
        LSTMLanguageModel(5, width=4, boundary=0, memory=1)
