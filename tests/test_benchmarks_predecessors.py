"""The record of the predecessors can be repeated, and says what was run."""

import json

import pytest

bench = pytest.importorskip("benchmarks.predecessors")
RUN = ("family", "size", "seed")


@pytest.fixture
def small(monkeypatch):
    """A run that takes seconds."""
    few = {"reviews": 40, "test": 10, "written": 10, "orders": [2], "states": [3], "steps": 2}
    for name, value in {**few, "first_reviews": 20, "first_steps": 2}.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)


def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path):
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "2", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    assert short["runs"][0].keys() == committed["runs"][0].keys()
    assert [[run[name] for name in RUN] for run in short["runs"]] == [
        ["n-gram", 2, 1],
        ["n-gram", 2, 2],
        ["HMM", 3, 1],
        ["HMM", 3, 2],
    ]
    assert short["runs"][2]["nats"] != short["runs"][3]["nats"]
    bench.main(["--seeds", "2", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    settings, runs = record["settings"], record["runs"]
    assert settings == bench.SETTINGS
    seeds = range(1, int(record["command"].split()[-1]) + 1)
    sizes = [("n-gram", order) for order in settings["orders"]]
    sizes += [("HMM", states) for states in settings["states"]]
    assert {tuple(run[name] for name in RUN) for run in runs} == {
        (*size, seed) for size in sizes for seed in seeds
    }
    assert len(runs) == len(sizes) * len(seeds)
    for run in runs:
        # On one test text the truth needs the same for all.
        assert run["nats"] - run["excess"] == pytest.approx(runs[0]["nats"] - runs[0]["excess"])
        assert 0 <= run["coverage"] <= 1
        assert run["excess"] > 0
        if run["family"] == "HMM":
            assert run["parameters"] == run["size"] * (1 + run["size"] + 191)
