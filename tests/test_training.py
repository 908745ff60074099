import os
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from textgen_utils.batches import PairBatches, Windows
from textgen_utils.evaluation import evaluate
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.training import (
    Curve,
    GradientMonitor,
    adam,
    muon,
    token_loss,
    train,
    train_on,
    warmup_cosine,
)

IDS = np.random.default_rng(0).choice(5, p=[0.4, 0.3, 0.2, 0.05, 0.05], size=3000).astype("int32")
SETTINGS = {"steps": 6, "window": 8, "batch_size": 4, "eval_every": 2, "seed": 1}


def make(seed=0, **options):
    keras.utils.set_random_seed(seed)
    return LSTMLanguageModel(5, **{"width": 8, "boundary": 0, "dropout": 0.2, **options})


def run(model=None, **changes):
    model = model or make()
    curve = train(model, IDS[:2000], IDS[2000:2200], **{**SETTINGS, **changes})
    return model, curve


def assert_same(first, second):
    (model, curve), (other, other_curve) = first, second
    assert curve.steps == other_curve.steps
    np.testing.assert_allclose(curve.train, other_curve.train, atol=1e-6)
    np.testing.assert_allclose(curve.valid, other_curve.valid, atol=1e-6)
    for w, v in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-6)


def test_training_learns_the_frequencies():
    model = make(dropout=0.0)
    _, curve = run(model, steps=120, eval_every=40, learning_rate=2e-2)
    frequencies = np.bincount(IDS[2000:2200]) / 200
    entropy = -(frequencies * np.log(frequencies)).sum()
    assert curve.steps == [40, 80, 120]
    assert curve.valid[-1] < entropy + 0.08
    assert curve.train[0] > curve.train[-1]
    assert curve.seconds == sorted(curve.seconds)
    assert evaluate(model, IDS[2000:2200], context=8).nats_per_token == pytest.approx(
        min(curve.valid), abs=1e-6
    )


def test_the_steps_are_those_of_a_loop_by_hand():
    model, curve = run(make(dropout=0.0), steps=4, eval_every=4)
    other = make(dropout=0.0)
    other.compile(adam(warmup_cosine(3e-3, 4)), token_loss())
    batches = Windows(IDS[:2000], 8, 4, 4, 1)
    losses = [other.train_on_batch(*batches[i], return_dict=True)["loss"] for i in range(4)]
    assert curve.train == pytest.approx([float(np.mean(losses))], abs=1e-5)
    for w, v in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-6)


def test_the_same_seed_trains_the_same_model():
    assert_same(run(), run())
    assert run()[1].train != run(seed=2)[1].train


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = [{os.path.dirname(__file__)!r}]\n"
        "import numpy as np, time, test_training as t\n"
        "from textgen_utils.training import run as module\n"
        "slow = module.evaluate\n"
        "def evaluate(*arguments, **options):\n"
        "    time.sleep(float(sys.argv[2]))\n"
        "    return slow(*arguments, **options)\n"
        "module.evaluate = evaluate\n"
        "model, curve = t.run(steps=12, checkpoint=sys.argv[1])\n"
        "curve.save(sys.argv[3]); np.savez(sys.argv[4], *model.get_weights())\n"
    )
    checkpoint, results = tmp_path / "checkpoint", []
    arguments = [sys.executable, str(script), str(checkpoint)]
    victim = subprocess.Popen([*arguments, "0.7", "none.json", "none.npz"], cwd=tmp_path)
    deadline = time.monotonic() + 100
    while not checkpoint.exists() and time.monotonic() < deadline and victim.poll() is None:
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    with np.load(checkpoint) as file:
        assert '"steps": [12' not in str(file["text"])
    subprocess.run([*arguments, "0", "curve.json", "weights.npz"], cwd=tmp_path, check=True)
    model, curve = run(steps=12)
    resumed = Curve.load(tmp_path / "curve.json")
    assert resumed.steps == curve.steps == [2, 4, 6, 8, 10, 12]
    np.testing.assert_allclose(resumed.train, curve.train, atol=1e-6)
    np.testing.assert_allclose(resumed.valid, curve.valid, atol=1e-6)
    assert resumed.seconds == sorted(resumed.seconds)
    with np.load(tmp_path / "weights.npz") as file:
        results = [file[name] for name in file.files]
    for w, v in zip(results, model.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-6)


def test_a_finished_run_is_not_run_again(tmp_path):
    first = run(checkpoint=tmp_path / "c")
    stamp = (tmp_path / "c").stat().st_mtime_ns
    assert_same(first, run(make(seed=9), checkpoint=tmp_path / "c"))
    assert (tmp_path / "c").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"seed": 2}, "seed"), ({"learning_rate": 1e-3}, "optimizer"), ({"steps": 8}, "steps")],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, changes, name):
    run(checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match=f"other settings .*{name}: .* there, .* here"):
        run(checkpoint=tmp_path / "c", **changes)
    with pytest.raises(ValueError, match=r"other settings .*model: "):
        run(make(width=9), checkpoint=tmp_path / "c")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no zip"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "c"
    run(checkpoint=path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"checkpoint .* is damaged"):
        run(checkpoint=path)


class Worse:
    """A validation loss that is lowest at the second evaluation."""

    def __init__(self, model):
        self.model, self.seen, self.losses = model, [], iter([3.0, 1.0, 2.0, 2.5, 0.5])

    def __call__(self):
        self.seen.append(self.model.get_weights())
        return next(self.losses)


def test_patience_stops_and_the_best_weights_come_back():
    model = make()
    validate = Worse(model)
    curve = train_on(
        model, Windows(IDS, 8, 4, 2, 0), validate, steps=10, optimizer=adam(1e-2), patience=2
    )
    assert curve.valid == [3.0, 1.0, 2.0, 2.5]
    assert curve.best == 1
    for w, v, last in zip(model.get_weights(), *validate.seen[1::2], strict=True):
        np.testing.assert_array_equal(w, v)
        assert not np.array_equal(w, last)


def test_divergence_names_the_step_and_keeps_good_weights():
    class Poisoned(Windows):
        def __getitem__(self, index):
            inputs, targets = super().__getitem__(index)
            weight = np.inf if (self.epoch, index) == (1, 1) else 1.0
            return inputs, targets, np.full(targets.shape, weight, "float32")

    model = make()
    kept = []

    def validate():
        kept.append(model.get_weights())
        return 1.0

    with pytest.raises(
        FloatingPointError,
        match=r"training loss is not finite at step 5;.* step 3 again.* rate .*clip.* data",
    ):
        train_on(model, Poisoned(IDS, 8, 4, 3, 0), validate, steps=9, optimizer=adam(1e-2))
    for w, v in zip(model.get_weights(), kept[0], strict=True):
        np.testing.assert_array_equal(w, v)
    with pytest.raises(FloatingPointError, match="validation loss is not finite at step 3"):
        train_on(make(), Windows(IDS, 8, 4, 3, 0), lambda: np.nan, steps=3, optimizer=adam(1e-2))


def test_a_huge_finite_loss_is_divergence_too(tmp_path):
    # The optimum is the frequencies; at this rate Adam's first steps are already absurd.
    model = make(dropout=0.0)
    before = model.get_weights()
    monitor = GradientMonitor(adam(50.0), 6)
    with pytest.raises(FloatingPointError) as caught:
        run(model, optimizer=monitor)
    first = float(token_loss()(*_first_batch(make(dropout=0.0))))
    message = str(caught.value)
    assert re.search(
        rf"at step 2 the mean loss .* is \d\S*, more than 3 times the first step's {first:.3f}",
        message,
    )
    for advice in (
        "weights of step 0 again",
        "learning rate",
        "GradientMonitor",
        "warm up",
        "data",
    ):
        assert advice in message
    for w, v in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, v)
    assert len(monitor.norms()) == 2


def _first_batch(model):
    inputs, targets = Windows(IDS[:2000], 8, 4, 2, 1)[0]
    return targets, model(inputs)


class Scripted(keras.utils.PyDataset):
    """Targets so that the squared errors of a model that gives 0 are as scripted."""

    def __init__(self, losses, every):
        super().__init__()
        self.losses, self.every, self.epoch = losses, every, 0

    def __len__(self):
        return self.every

    def __getitem__(self, index):
        loss = self.losses[min(self.epoch * self.every + index, len(self.losses) - 1)]
        return np.zeros((4, 1), "float32"), np.full((4, 1), loss**0.5, "float32")


def scripted(losses, *, every=2, validate=lambda: 1.0, **options):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    return train_on(
        model,
        Scripted(losses, every),
        validate,
        steps=len(losses),
        optimizer=keras.optimizers.SGD(0.0),
        loss=keras.losses.MeanSquaredError(),
        **options,
    )


def test_divergence_is_judged_by_the_mean_of_an_epoch():
    curve = scripted([1.0, 5.0, 2.0, 3.9, 1.0, 5.0])  # means 3, 2.95 and 3: one step may leap
    assert curve.train == pytest.approx([3.0, 2.95, 3.0], abs=1e-5)
    with pytest.raises(FloatingPointError, match=r"at step 4 .* is 3\.1, .* first step's 1; "):
        scripted([1.0, 1.0, 3.0, 3.2, 1.0, 1.0])
    # A first loss of next to nothing is no measure.
    assert len(scripted([1e-6, 1e-6, 0.2, 0.2])) == 2
    with pytest.raises(FloatingPointError, match="at step 4"):
        scripted([1e-6, 1e-6, 0.4, 0.4])


def test_a_resumed_run_remembers_its_first_loss(tmp_path):
    calls = []

    def interrupted():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 1.0

    losses = [1.0, 2.9, 2.9, 2.9, 9.0, 9.0]
    with pytest.raises(KeyboardInterrupt):
        scripted(losses, validate=interrupted, checkpoint=tmp_path / "c")
    with pytest.raises(FloatingPointError, match=r"at step 6 .* is 9, .* first step's 1; "):
        scripted(losses, checkpoint=tmp_path / "c")


def test_the_loss_can_be_chosen_and_belongs_to_the_checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype("float32")
    y = x @ np.array([[1.0], [-2.0], [0.5]], "float32")

    class Regression(keras.utils.PyDataset):
        epoch = 0

        def __len__(self):
            return 50

        def __getitem__(self, index):
            return x, y

    def fit(loss):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        error = lambda: float(((keras.ops.convert_to_numpy(model(x)) - y) ** 2).mean())  # noqa: E731
        options = {"steps": 100, "optimizer": adam(0.2), "checkpoint": tmp_path / "c"}
        curve = train_on(model, Regression(), error, loss=loss, **options)
        return model.get_weights()[0], curve

    weights, curve = fit(keras.losses.MeanSquaredError())
    np.testing.assert_allclose(weights, [[1.0], [-2.0], [0.5]], atol=0.05)
    assert curve.valid[-1] < 1e-2
    with pytest.raises(ValueError, match=r"other settings .*loss: .*MeanSquared.* there, .*Absol"):
        fit(keras.losses.MeanAbsoluteError())
    with pytest.raises(ValueError, match=r"loss must be a Keras loss, .* got 'mse'"):
        fit("mse")


@pytest.mark.parametrize("mask", [None, np.array([[1.0, 0, 1], [1, 1, 0]])])
def test_the_token_loss_is_keras_cross_entropy(mask):
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(size=(2, 3, 4)), rng.integers(4, size=(2, 3))
    keras_loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    expected = float(keras_loss(targets, logits, mask))
    assert float(token_loss()(targets, logits, mask)) == pytest.approx(expected, rel=1e-6)


def test_masked_pairs_are_trained_on_what_counts():
    source, shifted = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(6, 4)(shifted)
    outputs = keras.layers.Dense(6)(embedded)
    model = keras.Model([source, shifted], outputs)
    batches = PairBatches([[1], [2, 3]], [[4, 0], [4, 4, 4, 0]], 2, 1, 0, boundary=0, padding=5)
    model.layers[-1].set_weights([np.zeros((4, 6)), np.array([0, 0, 0, 0, 0, 50.0])])
    curve = train_on(model, batches, lambda: 1.0, steps=1, optimizer=adam(1e-9))
    # Sure of the padding: right where nothing counts, wrong by 50 nats wherever something does.
    assert curve.train == pytest.approx([50.0], abs=1e-3)


def test_warmup_and_cosine():
    rate = warmup_cosine(1.0, 110, warmup=10, final=0.1)
    values = [float(rate(step)) for step in (10, 60, 110, 200)]
    np.testing.assert_allclose(values, [1.0, 0.55, 0.1, 0.1], atol=1e-6)
    rise = [float(rate(step)) for step in range(11)]
    np.testing.assert_allclose(np.diff(rise), np.full(10, rise[1] - rise[0]), atol=1e-6)
    assert rise[0] > 0
    assert float(warmup_cosine(1.0, 10, warmup=0)(0)) == pytest.approx(1.0)


def test_a_curve_survives_the_disk(tmp_path):
    curve = Curve([1, 2], [3.0, 2.0], [3.5, 2.5], [0.1, 0.2])
    assert Curve.load(curve.save(tmp_path / "curve.json")) == curve
    (tmp_path / "curve.json").write_text('{"steps": [1]}')
    with pytest.raises(ValueError, match="not a saved curve"):
        Curve.load(tmp_path / "curve.json")
    with pytest.raises(FileNotFoundError):
        Curve.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, "steps must be a multiple of the 2 between evaluations, got 5"),
        ({"steps": 0}, "steps"),
        ({"eval_every": 0}, "at least 1"),
        ({"window": 5000}, "need a text of at least 5001"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"learning_rate": 0.0}, "positive"),
        ({"learning_rate": float("nan")}, "positive"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        run(**changes)
    with pytest.raises(ValueError, match="warm-up"):
        warmup_cosine(1.0, 10, warmup=10)


def test_muon_moves_a_matrix_by_an_orthogonal_step_of_the_size_of_adams():
    rng = np.random.default_rng(0)
    matrix = keras.Variable(np.zeros((6, 6), "float32"), name="kernel")
    optimizer = muon(0.1, clip=None)
    optimizer.build([matrix])
    optimizer.apply([rng.normal(size=(6, 6)).astype("float32")])
    step = keras.ops.convert_to_numpy(matrix)
    singular = np.linalg.svd(step, compute_uv=False)
    assert singular.min() > 0.5 * singular.max()  # Newton and Schulz stop near orthogonality
    assert np.sqrt((step**2).mean()) == pytest.approx(0.1 * 0.2, rel=0.3)
