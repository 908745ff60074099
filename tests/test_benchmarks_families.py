"""The comparison of families can be repeated, and its record says what was run."""

import json

import numpy as np
import pytest

from textgen_utils import evaluation

bench = pytest.importorskip("benchmarks.families")
LIVE = ("memory", "n-gram", "LSTM", "encoder-decoder")


@pytest.fixture
def small(monkeypatch):
    """A run that takes seconds."""
    few = {"reviews": 60, "valid": 8, "test": 12, "steps": 4, "batch_size": 4}
    for name, value in few.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    monkeypatch.setattr(bench, "FAMILIES", {name: bench.FAMILIES[name] for name in LIVE})


def test_the_floor_of_the_encoder_decoder_is_that_of_a_translation(small):
    task = bench.make_task()
    given, alone = (bench.floor(task, name) for name in ("encoder-decoder", "LSTM"))
    for review, log_p, joint in zip(task.test, given, alone, strict=True):
        assert joint == pytest.approx(task.reviews.log_prob(review.english, "en"))
        wordings = task.reviews.translations(review.chinese, "zh")
        assert review.english in wordings
        assert log_p == pytest.approx(joint - task.reviews.meaning_log_prob(review.meaning))
        assert log_p <= 1e-9


def test_memory_knows_its_texts_and_no_others(small):
    task = bench.make_task()
    fitted = bench.memory(task, 0)
    rows = task.rows(task.train)
    share = np.exp(fitted.log_q(rows))
    assert np.exp(fitted.log_q(np.unique(rows, axis=0))).sum() == pytest.approx(1)
    assert share.min() >= 1 / 60 - 1e-12
    assert fitted.log_q(np.array([[task.truth.boundary]]))[0] == -np.inf
    written = fitted.write(20, seed=1)
    assert np.isfinite(evaluation.text_log_probs(task.truth, written)).all()


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path):
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    assert [run["family"] for run in short["runs"]] == list(LIVE)
    for run in short["runs"]:
        assert run.keys() == committed["runs"][0].keys()
        assert 0 <= run["validity"] <= 1
    began = short["runs"]
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == began


def test_the_committed_record_has_every_family_with_every_seed():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = range(1, int(record["command"].split()[-1]) + 1)
    expected = {(f, s) for f in bench.FAMILIES for s in seeds if s == 1 or f not in bench.FIXED}
    assert {(run["family"], run["seed"]) for run in record["runs"]} == expected
    for run in record["runs"]:
        assert run["excess"] is None or run["excess"] > 0
        assert 0 <= run["coverage"] < 1
