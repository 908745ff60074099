"""The recorded steps by batch size can be repeated, and the noise scale is estimated rightly."""

import json

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.batch_size")


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    for name, value in {"width": 8, "reviews": 400, "valid": 20, "steps": 60}.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    monkeypatch.setitem(bench.SETTINGS, "batch_sizes", [8])
    monkeypatch.setitem(bench.SETTINGS, "rates", [0.02, 0.05])
    monkeypatch.setitem(bench.SETTINGS, "targets", [110.0, 0.0])
    noise = {**bench.SETTINGS["noise"], "at": [0, 2], "batches": 4, "few": 2}
    monkeypatch.setitem(bench.SETTINGS, "noise", noise)


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path):
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    kinds = [{frozenset(run) for run in record["runs"]} for record in (short, committed)]
    assert kinds[0] == kinds[1]
    near, far = short["runs"][-1]["targets"]
    assert 0 < near["steps"][0] <= 60  # a loss that a few steps reach
    assert far["steps"] == [None]  # and one that nothing reaches
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    settings = record["settings"]
    assert settings == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    noise = [run for run in record["runs"] if "points" in run]
    sizes = [run for run in record["runs"] if "targets" in run]
    assert [run["seed"] for run in noise] == list(range(1, seeds + 1))
    assert [run["batch_size"] for run in sizes] == settings["batch_sizes"]
    for run in noise:
        assert [point["step"] for point in run["points"]] == settings["noise"]["at"]
        for point in run["points"]:
            assert point["scale"] == pytest.approx(point["trace"] / point["length"])
    for run in sizes:
        for k, entry in enumerate(run["targets"]):
            tried = [np.inf if row[k] is None else row[k] for row in run["tried"]]
            assert entry["rate"] == settings["rates"][int(np.argmin(tried))]
            assert len(entry["steps"]) == seeds
            assert min(entry["steps"]) > 0
        far, near = (np.array(entry["steps"]) for entry in run["targets"])
        assert far.mean() < near.mean()  # the lower loss takes longer


def test_the_noise_scale_of_gradients_that_are_known():
    rng = np.random.default_rng(0)
    size, number, dimensions = 4, 3000, 30
    true = rng.normal(size=dimensions)
    spread = rng.uniform(0.5, 4, size=dimensions)  # standard deviations of one example
    draws = rng.normal(size=(number, size, dimensions)) * spread + true
    found = bench.noise_scale(draws.mean(axis=1), size)
    assert found["trace"] == pytest.approx(np.sum(spread**2), rel=0.05)
    assert found["length"] == pytest.approx(true @ true, rel=0.1)
    assert abs(found["scale"] - np.sum(spread**2) / (true @ true)) < 4 * found["error"]


def test_the_jackknife_is_that_of_leaving_batches_out():
    g = np.random.default_rng(1).normal(1, 1, size=(7, 3))
    left = [bench.noise_scale(np.delete(g, i, axis=0), 2)["scale"] for i in range(7)]
    expected = np.sqrt(6 / 7 * np.sum((left - np.mean(left)) ** 2))
    assert bench.noise_scale(g, 2)["error"] == pytest.approx(expected)


def test_where_a_curve_passes_a_target():
    steps, losses = [10, 20, 40], [5.0, 3.0, 1.0]
    assert bench.crossing(steps, losses, 3.0) == pytest.approx(20)
    assert bench.crossing(steps, losses, 2.0) == pytest.approx(np.sqrt(20 * 40))
    assert bench.crossing(steps, losses, 9.0) == 10
    assert bench.crossing(steps, losses, 0.5) is None


@pytest.mark.tensorflow
def test_gradients_are_those_of_the_tape(small):
    import tensorflow as tf

    from textgen_utils import training

    task = bench.Task()
    model, batches = task.model(seed=1), task.windows(2, 3, seed=1)
    rows = bench.gradients(model, batches)
    for i, row in enumerate(rows):
        x, y = batches[i]
        with tf.GradientTape() as tape:
            loss = training.token_loss()(y, model(x))
        expected = tape.gradient(loss, model.trainable_weights)
        expected = np.concatenate([tf.convert_to_tensor(e).numpy().ravel() for e in expected])
        assert np.allclose(row, expected, atol=1e-6)
