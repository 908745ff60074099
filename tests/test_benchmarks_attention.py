"""The comparison with and without attention can be repeated, and its record says what was run."""

import json

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.attention_or_not")
RUN = ("task", "model", "width", "seed")


@pytest.fixture
def small(monkeypatch):
    """A run that takes seconds."""
    for name, value in {"widths": [4], "steps": 2, "evaluations": 1, "valid": 5}.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    few = {"pairs": 60, "test": 12, "batch_size": 4, "bounds": []}
    monkeypatch.setitem(bench.SETTINGS, "tasks", {"reviews": few, "spelling": few})


@pytest.mark.parametrize("name", bench.TASKS)
def test_the_pairs_are_right_and_others_are_not(small, name):
    task = bench.TASKS[name]()
    test = task.test
    assert len(test.sources) == 12
    assert len(task.train.sources) == 60
    assert all(len(target) <= task.length for target in test.targets)
    for i, target in enumerate(test.targets):
        assert target[-1] == task.ends[1]
        assert task.right(i, target[:-1])
        assert not task.right(i, target[:-2])
        assert not task.right(i, np.array([], int))
    for ids, size in zip((test.sources, test.targets), task.sizes, strict=True):
        assert max(map(max, ids)) < size
    lengths = [low <= len(s) <= high for s in test.sources for low, high in bench.GROUPS[name]]
    assert sum(lengths) == len(test.sources)


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "TASKS", {"reviews": bench.reviews_task})
    monkeypatch.setattr(bench, "KINDS", ("dot",))
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    assert short["runs"][0].keys() == committed["runs"][0].keys()
    assert short["step_ms"]["reviews"]["dot 4"] > 0
    assert sum(group["pairs"] for group in short["runs"][0]["by_length"]) == 12
    began = short["runs"]
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == began


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    settings, runs = record["settings"], record["runs"]
    assert settings == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    expected = {
        (task, kind, width, seed)
        for task in bench.TASKS
        for kind in bench.KINDS
        for width in settings["widths"]
        for seed in range(1, seeds + 1)
    }
    assert {tuple(run[name] for name in RUN) for run in runs} == expected
    assert len(runs) == len(expected)
    for run in runs:
        pairs, right = (sum(g[k] for g in run["by_length"]) for k in ("pairs", "right"))
        assert pairs == settings["tasks"][run["task"]]["test"]
        assert run["right"] == pytest.approx(right / pairs)
        assert run["steps"][-1] == settings["steps"]
        assert run["nats"] < run["valid"][0]
    for task, groups in record["groups"].items():
        means = record["mean_length"][task]
        assert all(low <= mean <= high for mean, (low, high) in zip(means, groups, strict=True))
    for times in record["step_ms"].values():
        assert len(times) == len(bench.KINDS) * len(settings["widths"])
