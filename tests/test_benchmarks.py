"""The recorded runs can be repeated: their code runs, and their files say what was run."""

import json

import numpy as np
import pytest

from benchmarks import reviews_lstm


def test_a_short_run_writes_a_record_of_the_committed_form(tmp_path, monkeypatch):
    monkeypatch.setitem(reviews_lstm.SETTINGS, "width", 8)
    monkeypatch.setitem(reviews_lstm.SETTINGS, "batch_size", 2)
    out = tmp_path / "records" / "short.json"
    reviews_lstm.main(["--steps", "12", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, reviews_lstm.RECORD))
    assert short.keys() == committed.keys()
    assert len(short["curve"]["steps"]) == 12
    assert short["loss"] == pytest.approx(min(short["curve"]["valid"]), rel=1e-3)
    assert list(out.parent.iterdir()) == [out]  # no checkpoint is left


def test_the_committed_record_agrees_with_itself():
    record = json.loads(reviews_lstm.RECORD.read_text())
    above = 100 * (record["loss"] / record["truth"] - 1)
    assert record["above_truth_percent"] == pytest.approx(above)
    assert np.all(np.diff(record["curve"]["seconds"]) > 0)
    assert record["curve"]["steps"][-1] == record["settings"]["steps"]
