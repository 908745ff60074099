"""The comparison of losses can be repeated, and its record says what was run."""

import itertools
import json

import numpy as np
import pytest

from textgen_utils.decoding.believed import Believed
from textgen_utils.losses import beliefs
from textgen_utils.models.distributions import distributions

bench = pytest.importorskip("benchmarks.which_loss")


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    sizes = {"reviews": 300, "texts": 20, "prompts": 5, "width": 4, "steps": 2, "batch_size": 2}
    for name, value in sizes.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "LOSSES", ("focal", "sampled_softmax"))
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    for run in short["runs"]:
        like = next(
            r
            for r in committed["runs"]
            if r["loss"] == run["loss"] and (r["seed"] == 0) == (run["seed"] == 0)
        )
        assert run.keys() == like.keys()
        assert run["model"].keys() == like["model"].keys()
        assert (run["corrected"] is None) == (like["corrected"] is None)
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = range(1, int(record["command"].split()[-1]) + 1)
    found = [(run["loss"], run["seed"]) for run in record["runs"]]
    assert set(itertools.product(bench.LOSSES, seeds)) <= set(found)
    assert len(set(found)) == len(found)
    for run in record["runs"]:
        measured = run["model"]
        forecast, observed, count = map(np.array, measured["reliability"])
        error = np.average(np.abs(forecast - observed), weights=count)
        assert measured["calibration_error"] == pytest.approx(error)
        assert abs(measured["overconfidence"]) <= error + 1e-9
        assert 0 <= measured["coverage"] <= 1
    truth = next(run["model"] for run in record["runs"] if run["seed"] == 0)
    assert truth["excess"] == pytest.approx(0, abs=1e-9)
    assert truth["validity"] == truth["coverage"] == 1


def test_the_truth_as_a_loss_would_have_it(small):
    task = bench.Task()
    rewritten = Believed(task.truth, lambda p: beliefs.smoothed_belief(p, 0.2))
    found = np.exp(distributions(rewritten, task.test)[task.mask])
    np.testing.assert_allclose(found, 0.8 * task.p + 0.2 / task.truth.vocab_size, atol=1e-9)
    back = Believed(rewritten, lambda q: beliefs.smoothed_truth(q, 0.2))
    np.testing.assert_allclose(
        np.exp(back.score(task.test)), np.exp(task.truth.score(task.test)), atol=1e-9
    )
    # After a text that the truth holds to be impossible, something is still predicted.
    state = rewritten.initial_state(1)
    for token in (task.truth.boundary, 5, 5, 5):
        log_probs, state = rewritten.step(np.array([token]), state)
    assert np.exp(log_probs).sum() == pytest.approx(1)


def test_a_silenced_token_is_never_written(small):
    task = bench.Task()
    silent = Believed(task.truth, task.beliefs()["weighted_cross_entropy"])
    measured = bench.measured(task, silent, seed=1)
    assert measured["silenced"] == 0
    assert measured["validity"] == 1
