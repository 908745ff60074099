"""The recorded comparison of remedies: its cells against Keras, its runs repeatable."""

import json

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

remedies = pytest.importorskip("benchmarks.vanishing_remedies")
SMALL = {"width": 6, "batch_size": 4, "seeds": 2, "distances": [3], "last": 2}


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setitem(remedies.SETTINGS, name, value)


def stacked(weights):
    import tensorflow as tf

    return {k: tf.constant(v[None], tf.float32) for k, v in weights.items()}


@pytest.mark.parametrize("name", ["none", "GRU", "LSTM", "LSTM, long memory", "orthogonal start"])
def test_the_loss_is_that_of_keras_layers(small, name):
    remedy = remedies.REMEDIES[name]
    p = remedies.start(remedy, 0.9, seed=1)
    p["b"] = p["b"] + np.random.default_rng(2).normal(size=p["b"].shape)
    layer = {
        "tanh": keras.layers.SimpleRNN(6),
        "GRU": keras.layers.GRU(6, reset_after=False),
        "LSTM": keras.layers.LSTM(6),
    }[remedy.cell]
    x, y = remedies.batch(np.random.default_rng(0), 3)
    one_hot = np.eye(6, dtype="float32")[x.T]  # (batch, time, symbols)
    layer.build(one_hot.shape)
    # Keras's GRU resets the state before the candidate's matrix, which is what ours does.
    layer.set_weights([p["W"], p["U"], p["b"]])
    logits = keras.ops.convert_to_numpy(layer(one_hot)) @ p["A"] + p["a"]
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)
    weights = stacked(p)
    loss = remedies.losses(remedy.cell, weights, remedies.embedded(weights, x), y)
    np.testing.assert_allclose(loss, [float(expected)], rtol=1e-5)


def test_normalisation_is_that_of_keras():
    z = np.random.default_rng(0).normal(2.0, 3.0, size=(2, 5, 4)).astype("float32")
    layer = keras.layers.LayerNormalization(epsilon=1e-5)
    np.testing.assert_allclose(remedies.normalised(z, -1), layer(z), atol=1e-5)
    batch = keras.layers.BatchNormalization(epsilon=1e-5)
    np.testing.assert_allclose(remedies.normalised(z, 1)[0], batch(z[0], training=True), atol=1e-5)


def test_starts_are_as_asked(small):
    plain = remedies.start(remedies.REMEDIES["none"], 0.7, seed=3)["U"]
    assert np.abs(np.linalg.eigvals(plain)).max() == pytest.approx(0.7)
    orthogonal = remedies.start(remedies.REMEDIES["orthogonal start"], 0.7, seed=3)["U"]
    np.testing.assert_allclose(orthogonal @ orthogonal.T, np.eye(6), atol=1e-12)
    forget = remedies.start(remedies.REMEDIES["LSTM, long memory"], 0.7, seed=3)["b"][6:12]
    assert ((forget >= 0) & (forget <= np.log(40))).all()


@pytest.mark.parametrize("name", ["Adam", "clipping", "L2"])
def test_each_network_of_a_stack_trains_as_if_alone(small, monkeypatch, name):
    remedy = remedies.REMEDIES[name]
    together = remedies.train(remedy, 0.9, 3, steps=4)
    assert len(together) == 2 * 6 * len(remedy.l1) * len(remedy.l2)
    one = together[-2]
    alone = remedies.Remedy(
        remedy.cell, remedy.optimizer, clip=remedy.clip, l1=(one["l1"],), l2=(one["l2"],)
    )
    monkeypatch.setattr(remedies.Remedy, "rates", lambda self: [one["rate"]])
    [again] = [r for r in remedies.train(alone, 0.9, 3, steps=4) if r["seed"] == one["seed"]]
    for key in ("ratio_start", "ratio_end", "largest_gradient", "largest_step", "loss"):
        assert again[key] == pytest.approx(one[key], rel=1e-3)


def test_a_summary_takes_the_best_rate_and_counts_explosions():
    def run(seed, rate, loss, step):
        numbers = dict.fromkeys(("ratio_start", "ratio_end", "largest_gradient"), 1.0)
        return {"seed": seed, "rate": rate, "l1": 0.0, "l2": 0.0, "loss": loss} | {
            "largest_step": step,
            **numbers,
        }

    result = remedies.summary(
        [
            run(0, 1.0, np.nan, np.nan),
            run(1, 1.0, 0.1, 0.2),
            run(2, 1.0, np.nan, 0.2),
            run(0, 0.1, 0.5, 0.2),
            run(1, 0.1, 0.7, 1.5),
            run(2, 0.1, 0.6, 0.3),
        ]
    )
    assert (result["rate"], result["losses"]) == (0.1, [0.5, 0.7, 0.6])
    assert (result["exploded"], result["runs"]) == (3, 6)
    assert result["largest_step"] == 0.3


def test_a_short_run_writes_a_record_of_the_committed_form(small, monkeypatch, tmp_path):
    chosen = {name: remedies.REMEDIES[name] for name in ("batch normalisation",)}
    monkeypatch.setattr(remedies, "REMEDIES", chosen)
    remedies.main(["--steps", "2", "--out", str(tmp_path / "records" / "short.json")])
    short = json.loads((tmp_path / "records" / "short.json").read_text())
    committed = json.loads(remedies.RECORD.read_text())
    assert short.keys() == committed.keys()
    assert short["results"].keys() == chosen.keys()
    for kind in ("vanishing", "exploding"):
        result = committed["results"]["batch normalisation"][kind]["40"]
        assert short["results"]["batch normalisation"][kind]["3"].keys() == result.keys()


def test_the_committed_record_agrees_with_itself():
    record = json.loads(remedies.RECORD.read_text())
    assert record["results"].keys() == remedies.REMEDIES.keys()
    assert record["baseline"] == pytest.approx(np.log(4))
    for name, remedy in remedies.REMEDIES.items():
        for kind in ("vanishing", "exploding"):
            result = record["results"][name][kind]["40"]
            assert len(result["losses"]) == record["settings"]["seeds"]
            assert result["rate"] in remedy.rates()
            assert 0 <= result["exploded"] <= result["runs"]
    # An optimizer and a clip change no gradient before the first step.
    for kind in ("vanishing", "exploding"):
        starts = {
            record["results"][n][kind]["40"]["ratio_start"]
            for n in ("none", "RMSprop", "Adam", "L1", "L2", "clipping")
        }
        assert len(starts) == 1
