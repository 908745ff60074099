import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from textgen_utils.models.cells import gru_step, lstm_step, rnn_step, trace, trace_model
from textgen_utils.models.compiled import Compiled
from textgen_utils.models.recurrent import LSTMLanguageModel

SIZE, WIDTH, BATCH, TIME = 3, 5, 2, 7
KINDS = {
    "rnn": (layers.SimpleRNN, {}),
    "lstm": (layers.LSTM, {}),
    "gru": (layers.GRU, {}),
    "gru, reset first": (layers.GRU, {"reset_after": False}),
}


def built(kind, seed=0, scale=1.0, **options):
    """A layer of Keras whose weights, biases too, are random."""
    layer_type, more = KINDS[kind]
    layer = layer_type(WIDTH, return_sequences=True, return_state=True, **more, **options)
    layer.build((None, None, SIZE))
    rng = np.random.default_rng(seed)
    layer.set_weights([scale * rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


LAYERS = {kind: built(kind) for kind in KINDS}
COMPILED = {
    kind: Compiled(layer, lambda x, *state, layer=layer: layer(x, initial_state=list(state)))
    for kind, layer in LAYERS.items()
}


def inputs(seed=1, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(BATCH, TIME, SIZE)).astype("float32")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.3, 1.0, 3.0]))
def test_states_are_those_of_keras(kind, seed, scale):
    rng = np.random.default_rng(seed)
    layer = LAYERS[kind]
    layer.set_weights([scale * rng.normal(size=w.shape) for w in layer.get_weights()])
    x = inputs(seed)
    count = 2 if kind == "lstm" else 1
    start = [rng.normal(size=(BATCH, WIDTH)).astype("float32") for _ in range(count)]
    outputs, *last = COMPILED[kind](x, *start)
    ours = trace(layer, x, tuple(start))
    np.testing.assert_allclose(ours.states["h"], outputs, atol=2e-4)
    for name, expected in zip(ours.states, last, strict=True):
        np.testing.assert_allclose(ours.states[name][:, -1], expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_state_it_starts_from_zeros(kind):
    zeros = [np.zeros((BATCH, WIDTH), "float32")] * (2 if kind == "lstm" else 1)
    expected = COMPILED[kind](inputs(), *zeros)[0]
    np.testing.assert_allclose(trace(LAYERS[kind], inputs()).states["h"], expected, atol=2e-4)


def test_the_two_forms_of_the_gru_differ():
    x, layer = inputs(), built("gru")
    W, U, b = layer.get_weights()  # noqa: N806
    h = np.random.default_rng(2).normal(size=(BATCH, WIDTH))
    after, _ = gru_step(x[:, 0], (h,), (W, U, b))
    first, _ = gru_step(x[:, 0], (h,), (W, U, b.sum(axis=0)))
    assert np.abs(after[0] - first[0]).max() > 0.01


def test_gates_are_where_their_biases_put_them():
    zeros = np.zeros((SIZE, 4 * WIDTH)), np.zeros((WIDTH, 4 * WIDTH))
    i, f, g, o = -1.0, 2.0, 0.5, 3.0
    b = np.repeat([i, f, g, o], WIDTH)
    h, c = np.zeros((BATCH, WIDTH)), np.full((BATCH, WIDTH), 0.7)
    (_, new), gates = lstm_step(inputs()[:, 0], (h, c), (*zeros, b))
    expected = {
        "input": 1 / (1 + np.exp(-i)),
        "forget": 1 / (1 + np.exp(-f)),
        "candidate": np.tanh(g),
        "output": 1 / (1 + np.exp(-o)),
    }
    assert set(gates) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(gates[name], value)
    kept = expected["forget"] * 0.7 + expected["input"] * expected["candidate"]
    np.testing.assert_allclose(new, kept)


@pytest.mark.parametrize("open_gate", [True, False])
def test_an_update_gate_of_one_keeps_the_state(open_gate):
    h = np.random.default_rng(2).normal(size=(BATCH, WIDTH))
    b = np.repeat([50.0 if open_gate else -50.0, 0.0, 0.3], WIDTH)
    zeros = np.zeros((SIZE, 3 * WIDTH)), np.zeros((WIDTH, 3 * WIDTH))
    (new,), gates = gru_step(inputs()[:, 0], (h,), (*zeros, b))
    np.testing.assert_allclose(new, h if open_gate else np.full_like(h, np.tanh(0.3)))
    np.testing.assert_allclose(gates["update"], float(open_gate), atol=1e-12)
    np.testing.assert_allclose(gates["reset"], 0.5)


def test_an_rnn_has_no_gates():
    weights = np.ones((2, 1)), np.array([[2.0]]), np.array([0.5])
    (h,), gates = rnn_step(np.array([[0.1, 0.2]]), (np.array([[0.3]]),), weights)
    assert gates == {}
    np.testing.assert_allclose(h, np.tanh(0.1 + 0.2 + 2 * 0.3 + 0.5))


def test_large_sums_do_not_overflow():
    layer = built("lstm", scale=1e4)
    with np.errstate(all="raise", under="ignore"):
        assert all(np.isfinite(part).all() for part in trace(layer, inputs()).gates.values())


@pytest.fixture(scope="module")
def model():
    return LSTMLanguageModel(11, width=8, depth=2, boundary=2, seed=1)


def test_a_language_model_gives_its_states(model):
    ids = np.random.default_rng(0).integers(11, size=(3, 9))
    traces = trace_model(model, ids)
    assert len(traces) == 2
    state = model.initial_state(3)
    for t in range(9):
        log_probs, state = model.step(ids[:, t], state)
        expected = [trace.states[name][:, t] for trace in traces for name in ("h", "c")]
        for ours, theirs in zip(expected, state, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    logits = ops.convert_to_numpy(model.head(traces[-1].states["h"][:, -1].astype("float32")))
    np.testing.assert_allclose(
        logits - np.logaddexp.reduce(logits, 1)[:, None], log_probs, atol=1e-5
    )


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(3),
        layers.LSTM(3),
        built("gru", activation="relu"),
        built("lstm", recurrent_activation="hard_sigmoid"),
        built("rnn", go_backwards=True),
        built("gru", use_bias=False),
    ],
    ids=["kind", "not built", "activation", "gate", "backwards", "no bias"],
)
def test_other_layers_are_refused(layer):
    with pytest.raises(ValueError, match="layer"):
        trace(layer, inputs())


@pytest.mark.parametrize("x", [inputs()[0], inputs()[:, :0], inputs()[:, :, :2]])
def test_other_inputs_are_refused(x):
    with pytest.raises(ValueError, match=r"x must have the shape \(batch, time > 0, 3\)"):
        trace(LAYERS["lstm"], x)


@pytest.mark.parametrize("state", [[np.zeros((2, 5))], [np.zeros((2, 4))] * 2, []])
def test_other_states_are_refused(state):
    with pytest.raises(ValueError, match="the state must be 2 of shape"):
        trace(LAYERS["lstm"], inputs(), state)


def test_ids_out_of_range_are_refused(model):
    with pytest.raises(ValueError, match="ids must lie in"):
        trace_model(model, [[11]])


def test_nothing_is_trained_and_nothing_changes():
    layer = built("lstm")
    before = [w.copy() for w in layer.get_weights()]
    trace(layer, inputs())
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert keras.config.floatx() == "float32"
