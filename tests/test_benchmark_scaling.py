"""The scaling study can be repeated and resumed, and its file says what was run."""

import json

import pytest

from benchmarks import scaling

TINY = {
    "train_reviews": 2_000,
    "valid_reviews": 20,
    "grids": [
        {"widths": [4], "steps": [2], "seeds": [1]},
        {"widths": [4], "steps": [2], "seeds": [1], "learning_rates": [0.01]},
    ],
    "depth": 1,
    "heads": 2,
    "batch_size": 2,
}


@pytest.fixture
def tiny(monkeypatch):
    for name, value in TINY.items():
        monkeypatch.setitem(scaling.SETTINGS, name, value)


@pytest.fixture
def committed():
    return json.loads(scaling.RECORD.read_text())


def test_a_tiny_grid_that_was_stopped_goes_on_to_a_record_of_the_committed_form(
    tmp_path, monkeypatch, committed, tiny
):
    out = tmp_path / "records" / "tiny.json"
    plans = scaling.plans()
    assert plans == [scaling.Plan(4, 2, 0.02, 1), scaling.Plan(4, 2, 0.01, 1)]
    run, started = scaling.run, []

    def stopped_at_the_second(plan, data):
        started.append(plan)
        if len(started) == 2:
            raise KeyboardInterrupt
        return run(plan, data)

    monkeypatch.setattr(scaling, "run", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        scaling.main(["--out", str(out)])
    assert not out.exists()
    scaling.main(["--out", str(out)])
    assert started == [plans[0], plans[1], plans[1]]
    record = json.loads(out.read_text())
    assert record.keys() == committed.keys()
    assert record["runs"][0].keys() == committed["runs"][0].keys()
    assert list(out.parent.iterdir()) == [out]


def test_a_grid_with_other_settings_is_not_continued(tmp_path, tiny):
    partial = tmp_path / "other.partial"
    partial.write_text(json.dumps({"settings": {}, "runs": []}))
    with pytest.raises(ValueError, match="other settings"):
        scaling.run_all(partial)


def test_the_committed_record_is_of_the_grid_that_the_command_runs(committed):
    assert committed["settings"] == scaling.SETTINGS
    keys = [tuple(run[name] for name in scaling.Plan._fields) for run in committed["runs"]]
    assert sorted(keys) == sorted(scaling.plans())
    assert committed["seconds"] == pytest.approx(sum(run["seconds"] for run in committed["runs"]))


def test_the_committed_record_agrees_with_itself(committed):
    settings = committed["settings"]
    tokens_a_step = settings["batch_size"] * settings["window"]
    for run in committed["runs"]:
        width = run["width"]
        block = 12 * width**2 + 2 * width  # attention 4, perceptron 8, two norms
        assert run["parameters"] == settings["depth"] * block
        assert run["tokens"] == run["steps"] * tokens_a_step
        assert run["loss"] > committed["truth"]
    assert committed["truth"] == pytest.approx(committed["entropy"], rel=0.02)
