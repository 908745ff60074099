"""The comparison of three networks can be repeated, and its record says what was run."""

import json

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.readers")


@pytest.fixture
def small(monkeypatch):
    """A run that takes seconds."""
    part = {"steps": 4, "window": 8, "batch_size": 2}
    for name, value in {
        "reviews": part | {"texts": 60, "test": 12, "window": 40},
        "manual": part | {"characters": 300, "context": 4},
        "conv": {"width": 4, "kernel_size": 2},
        "lstm": {"width": 4},
        "gpt": {"width": 4, "depth": 1},
        "cut": [[[1], 6]],
        "same": [],
        "grams": [1, 2],
    }.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)


def test_every_token_of_a_review_has_its_part(small):
    task = bench.Task()
    part = bench.parts(task)
    assert np.array_equal(part >= 0, task.mask)
    tokens = np.array(task.truth.tokens)[task.rows]
    named = [[str(token) for token in tokens[i][part[i] == 2]] for i in range(12)]
    assert all(
        name in (["", [" it"], [" them"]]) or name[0][:4] in (" thi", " the", " it")
        for name in named
        if name
    )
    nouns = {noun for name in named for noun in name if len(name) > 1 and noun[:4] != " the"}
    assert nouns & {" camera", " headphones", " kettle", " jacket", " shoes", " novel", " book"}
    assert sum(bench.by_part(task, task.log_p)) == 0
    uniform = bench.by_part(task, np.full(task.rows.shape, -np.log(191)))
    assert sum(uniform) == pytest.approx(
        (task.log_p.sum() + np.log(191) * task.mask.sum()) / 12, rel=1e-6
    )


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "KINDS", ("conv",))
    monkeypatch.setattr(bench, "milliseconds", lambda task: {"conv": {"train": 1.0, "write": 1.0}})
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    for run in short["runs"]:
        like = next(r for r in committed["runs"] if r["part"] == run["part"])
        assert run.keys() == like.keys()
    assert {run["part"] for run in short["runs"]} == {"reviews", "cut", "manual"}
    began = short["runs"]
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == began


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    settings, runs = record["settings"], record["runs"]
    assert settings == bench.SETTINGS
    planned = bench.plan(int(record["command"].split()[-1]))
    assert [{name: run[name] for name in planned[0]} for run in runs] == planned
    for run in runs:
        if run["part"] == "manual":
            assert 0.5 < run["nats"] < np.log(107)
        else:
            assert 110_000 < run["parameters"] < 126_000
            assert sum(run["by_part"]) == pytest.approx(run["excess"], rel=1e-3)
            assert 0 < run["validity"] < 1
    for row in record["reaches"]:
        assert sum(row["best"]) < sum(row["ngram"])
    assert record["ms"].keys() == set(bench.KINDS)
    assert all(ms > 0 for times in record["ms"].values() for ms in times.values())
