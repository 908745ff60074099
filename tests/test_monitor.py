import keras
import numpy as np
import pytest

from textgen_utils.batches import Windows
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.training import GradientMonitor, adam, muon, token_loss, train, train_on

IDS = np.random.default_rng(0).choice(5, p=[0.4, 0.3, 0.2, 0.05, 0.05], size=600).astype("int32")
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 8, 4)).astype("float32")  # batches, rows, inputs
Y = RNG.normal(size=(3, 8, 2)).astype("float32")


class Pairs(keras.utils.PyDataset):
    """Three batches of a linear regression."""

    epoch = 0

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index], Y[index]


def linear():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.layers[0].set_weights([np.full((4, 2), 0.5, "float32"), np.ones(2, "float32")])
    return model


def lstm():
    return LSTMLanguageModel(5, width=8, boundary=0, seed=0)


def learn(optimizer, model=None, steps=6, **options):
    model = model or lstm()
    settings = {"window": 8, "batch_size": 4, "eval_every": 2, "seed": 1, **options}
    curve = train(model, IDS[:500], IDS[500:], steps=steps, optimizer=optimizer, **settings)
    return model, curve


def gradient_descent(rate):
    """Norms of dL/dW and dL/db of the linear model's mean squared error, in NumPy."""
    weights, bias, norms = np.full((4, 2), 0.5), np.ones(2), []
    for x, y in zip(X.astype(float), Y.astype(float), strict=True):
        error = 2 * (x @ weights + bias - y) / y.size
        gradients = x.T @ error, error.sum(axis=0)
        norms.append([np.linalg.norm(g) for g in gradients])
        weights, bias = weights - rate * gradients[0], bias - rate * gradients[1]
    return np.array(norms)


@pytest.mark.parametrize("jit", [False, True])
def test_norms_of_a_linear_model_are_those_of_its_formula(jit):
    model = linear()
    monitor = GradientMonitor(keras.optimizers.SGD(0.1), steps=3)
    options = {"optimizer": monitor, "loss": keras.losses.MeanSquaredError(), "jit_compile": jit}
    train_on(model, Pairs(), lambda: 0.0, steps=3, **options)
    expected = gradient_descent(0.1)
    np.testing.assert_allclose(monitor.norms(), expected, rtol=1e-4)
    np.testing.assert_allclose(monitor.global_norm(), np.linalg.norm(expected, axis=1), rtol=1e-4)
    assert monitor.names == [v.path for v in model.trainable_variables]


def test_a_token_that_occurs_twice_has_one_gradient():
    # The loss is the mean over 6 places; the gradient of the row of token t is count(t) * v / 6.
    model = keras.Sequential([keras.Input((6,), dtype="int32"), keras.layers.Embedding(4, 3)])
    monitor = GradientMonitor(keras.optimizers.SGD(0.0), steps=1)

    class MeanFirst(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return y_pred[..., 0]

    model.compile(monitor, MeanFirst())
    model.train_on_batch(np.array([[2, 2, 2, 0, 0, 1]]), np.zeros((1, 6, 1)))
    expected = np.linalg.norm([3, 2, 1]) / 6
    np.testing.assert_allclose(monitor.norms(), [[expected]], rtol=1e-5)


@pytest.mark.tensorflow
def test_norms_of_an_lstm_are_those_of_the_tape():
    import tensorflow as tf

    other, loss = lstm(), token_loss()
    inputs, targets = Windows(IDS[:500], 8, 4, 2, 1)[0]
    with tf.GradientTape() as tape:
        value = loss(targets, other(inputs))
    gradients = tape.gradient(value, [v.value for v in other.trainable_variables])
    dense = [tf.convert_to_tensor(g) for g in gradients]
    monitor = GradientMonitor(adam(1e-2, clip=1e-3), steps=6)
    learn(monitor)
    np.testing.assert_allclose(monitor.norms()[0], [tf.norm(g) for g in dense], rtol=1e-4)
    assert monitor.global_norm()[0] > 1e-2  # the clip is ten times shorter


@pytest.mark.parametrize(
    ("make", "jit"),
    [(lambda: adam(1e-2), False), (lambda: adam(1e-2), True), (lambda: muon(1e-2), False)],
    ids=["adam", "adam, XLA", "muon"],
)
def test_the_steps_are_those_of_the_optimizer_inside(make, jit):
    (model, curve), (other, other_curve) = (
        learn(optimizer, jit_compile=jit) for optimizer in (GradientMonitor(make(), 6), make())
    )
    assert curve.train == pytest.approx(other_curve.train, abs=1e-6)
    for w, v in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-6)


def test_of_a_longer_run_the_last_steps_are_kept():
    whole, last = GradientMonitor(adam(1e-2), 6), GradientMonitor(adam(1e-2), 4)
    learn(whole)
    learn(last)
    assert whole.norms().shape == (6, len(whole.names))
    assert len(np.unique(whole.global_norm())) == 6
    np.testing.assert_allclose(last.norms(), whole.norms()[2:], rtol=1e-5)


def test_fewer_steps_than_room():
    monitor = GradientMonitor(adam(1e-2), 50)
    learn(monitor)
    assert len(monitor.norms()) == len(monitor.global_norm()) == 6
    assert (monitor.norms() > 0).all()


def test_a_resumed_run_goes_on_recording(tmp_path):
    whole = GradientMonitor(adam(1e-2), 6)
    _, curve = learn(whole)
    model, calls = lstm(), []
    score = model.score

    def interrupted(ids):
        calls.append(ids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(ids)

    model.score = interrupted
    with pytest.raises(KeyboardInterrupt):
        learn(GradientMonitor(adam(1e-2), 6), model, checkpoint=tmp_path / "c")
    monitor = GradientMonitor(adam(1e-2), 6)
    _, resumed = learn(monitor, checkpoint=tmp_path / "c")
    assert resumed.steps == curve.steps
    np.testing.assert_allclose(monitor.norms(), whole.norms(), rtol=1e-4)
    with pytest.raises(ValueError, match="used before, for 6 steps"):
        learn(monitor)
    with pytest.raises(ValueError, match=r"other settings .*optimizer"):
        learn(adam(1e-2), checkpoint=tmp_path / "c")


def test_a_variable_without_a_gradient_has_norm_zero():
    first, second = keras.Variable(np.ones(3)), keras.Variable(np.ones(2))
    monitor = GradientMonitor(keras.optimizers.SGD(0.1), 2)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        monitor.apply([np.array([3.0, 0, 4.0], "float32"), None], [first, second])
    monitor.apply([np.array([1.0, 0], "float32")], [second])
    np.testing.assert_allclose(monitor.norms(), [[5, 0], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(first), [0.7, 1, 0.6], rtol=1e-6)


def test_a_scaled_loss_gives_the_norm_of_the_gradient():
    monitor = GradientMonitor(keras.optimizers.SGD(0.1, loss_scale_factor=8.0), 1)
    variable = keras.Variable(np.ones(2))
    monitor.build([variable])
    assert float(monitor.scale_loss(1.0)) == 8.0
    monitor.apply([np.array([24.0, 32.0], "float32")])
    np.testing.assert_allclose(monitor.norms(), [[5.0]], rtol=1e-6)


def test_the_learning_rate_is_that_of_the_optimizer_inside():
    inner = keras.optimizers.SGD(0.25)
    monitor = GradientMonitor(inner, 2)
    assert float(monitor.learning_rate) == 0.25
    monitor.learning_rate = 0.5
    assert float(inner.learning_rate) == 0.5
    assert monitor.iterations is inner.iterations


def test_averages_of_the_weights_reach_the_model():
    variable = keras.Variable(np.zeros(1))
    inner = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    monitor = GradientMonitor(inner, 2)
    monitor.build([variable])
    for _ in range(2):
        monitor.apply([np.array([-1.0], "float32")])
    monitor.finalize_variable_values([variable])
    # Keras's average begins with the weights after the first step.
    assert float(keras.ops.convert_to_numpy(variable)[0]) == pytest.approx((1 + 2) / 2)


def test_a_monitor_can_be_serialised():
    monitor = GradientMonitor(muon(keras.optimizers.schedules.CosineDecay(0.1, 10)), 7)
    config = keras.saving.serialize_keras_object(monitor)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.steps == 7
    assert copy.optimizer.get_config() == monitor.optimizer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("adam", 3), "a Keras optimizer, got 'adam'"),
        ((adam(1e-3), 0), "steps must be an integer of at least 1, got 0"),
        ((adam(1e-3), 2.5), "steps must be an integer of at least 1, got 2.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GradientMonitor(*arguments)


def test_norms_of_no_step_are_refused():
    with pytest.raises(ValueError, match="no gradient has been seen"):
        GradientMonitor(adam(1e-3), 3).norms()
