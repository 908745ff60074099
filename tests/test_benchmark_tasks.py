"""The remedies on adding and text: tasks and losses against Keras and by hand, the record."""

import itertools
import json

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

tasks = pytest.importorskip("benchmarks.vanishing_tasks")
remedies = tasks.remedies
SMALL = {"batch_size": 4, "window": 12, "train_reviews": 2000, "valid_batches": 2}


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setitem(tasks.SETTINGS, name, value)
    monkeypatch.setitem(remedies.SETTINGS, "width", 6)


def stacked(weights):
    import tensorflow as tf

    return {k: tf.constant(v[None], tf.float32) for k, v in weights.items()}


def test_adding_asks_for_the_sum_of_two_marked_numbers():
    batches = list(itertools.islice(tasks.adding_batches(np.random.default_rng(0)), 200))
    x, y = (np.concatenate([b[i] for b in batches], axis=1) for i in (0, 1))
    marks = x[..., 1].T == 1
    first, second = np.nonzero(marks)[1].reshape(-1, 2).T
    assert len(x) == 41
    assert first.max() < 4
    assert second.min() == 20
    assert second.max() == 40
    np.testing.assert_allclose(y[0], x[..., 0].T[marks].reshape(-1, 2).sum(1), rtol=1e-6)
    baseline = tasks.adding().baselines["always 1"]
    assert ((y - 1) ** 2).mean() == pytest.approx(baseline, rel=0.05)


def test_whole_lines_are_read_to_their_ends_and_no_further():
    text = "\nabc\nd\nef\nghijk\n"
    ids = np.array([0 if c == "\n" else ord(c) for c in text])
    x, y, mask = tasks.whole_lines(ids, 0, 3)
    read = ["".join(map(chr, row[m == 1])) for row, m in zip(y.T, mask.T, strict=True)]
    assert read == ["abc\0", "d\0", "ef\0"]
    assert (x[0] == 0).all()
    assert (x[1:] == y[:-1]).all()


def test_counts_pay_what_they_should():
    ids = np.array([0, 1, 2, 0, 1, 2, 0])
    one = (np.array([[0]]), np.array([[1]]), np.array([[1.0]]))
    losses = tasks.count_losses(ids, one, 3)
    single = (2 + 1) / (7 + 3)
    assert losses["uniform"] == pytest.approx(np.log(3))
    assert losses["unigram"] == pytest.approx(-np.log(single))
    # 0 was twice followed by 1; one more count is spread as the single characters are.
    assert losses["bigram"] == pytest.approx(-np.log((2 + single) / 3))


@pytest.mark.parametrize("name", ["none", "LSTM"])
@pytest.mark.parametrize("kind", ["adding", "text"])
def test_the_loss_is_that_of_keras_layers(small, kind, name):
    task, remedy = getattr(tasks, kind)(), remedies.REMEDIES[name]
    p = tasks.start(task, remedy, 0.9, seed=1)
    x, y, mask = next(task.batches())
    layer = {"tanh": keras.layers.SimpleRNN, "LSTM": keras.layers.LSTM}[remedy.cell]
    layer = layer(6, return_sequences=kind == "text")
    entered = np.eye(task.inputs, dtype="float32")[x] if kind == "text" else x
    entered = entered.transpose(1, 0, 2)  # (batch, time, inputs)
    layer.build(entered.shape)
    layer.set_weights([p["W"], p["U"], p["b"]])
    out = keras.ops.convert_to_numpy(layer(entered)) @ p["A"] + p["a"]
    if kind == "text":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        loss = keras.losses.MeanSquaredError()
    expected = loss(y.T, out)
    ours = tasks.losses(task, remedy.cell, stacked(p), (x, y, mask))
    np.testing.assert_allclose(ours, [float(expected)], rtol=1e-5)


def test_a_summary_takes_the_best_rate_and_counts_divergence():
    def run(rate, loss):
        return {"rate": rate, "l1": 0.0, "l2": 0.0, "loss": loss}

    result = tasks.summary([run(1.0, 0.1), run(1.0, np.nan), run(0.1, 0.5), run(0.1, 0.7)])
    assert result == {"rate": 0.1, "penalty": 0.0, "losses": [0.5, 0.7], "diverged": 1, "runs": 4}


def test_a_short_run_writes_a_record_of_the_committed_form(small, monkeypatch, tmp_path):
    monkeypatch.setattr(remedies, "REMEDIES", {"clipping": remedies.REMEDIES["clipping"]})
    path = tmp_path / "records" / "short.json"
    tasks.main(["--adding-steps", "2", "--text-steps", "2", "--out", str(path)])
    short, committed = json.loads(path.read_text()), json.loads(tasks.RECORD.read_text())
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    for kind in ("adding", "text"):
        assert short["baselines"][kind].keys() == committed["baselines"][kind].keys()
        for start in ("vanishing", "exploding"):
            ours = short["results"]["clipping"][kind][start]
            assert ours.keys() == committed["results"]["clipping"][kind][start].keys()


def test_the_committed_record_agrees_with_itself():
    record = json.loads(tasks.RECORD.read_text())
    floors = record["baselines"]
    assert record["results"].keys() == remedies.REMEDIES.keys()
    assert floors["text"]["uniform"] > floors["text"]["unigram"] > floors["text"]["bigram"]
    for name, remedy in remedies.REMEDIES.items():
        for kind, rates in (("adding", tasks.adding_rates), ("text", tasks.text_rates)):
            seeds = record["settings"]["seeds"][kind]
            for result in record["results"][name][kind].values():
                assert result["rate"] in rates(name)
                assert result["penalty"] in {*remedy.l1, *remedy.l2}
                assert len(result["losses"]) == seeds
                penalties = len(remedy.l1) * len(remedy.l2)
                assert result["runs"] == seeds * len(rates(name)) * penalties
                assert all(x is None or x > floors[kind]["floor"] for x in result["losses"])
    # An orthogonal start does not know which radius it replaced.
    orthogonal = record["results"]["orthogonal start"]["text"]
    assert orthogonal["vanishing"]["losses"] == pytest.approx(orthogonal["exploding"]["losses"])
