"""The adversarial runs can be repeated, and their record says what was run."""

import json

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.adversarial")


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(monkeypatch, tmp_path):
    small = {"texts": 1000, "test": 20, "width": 4, "pretraining": 2, "steps": 2, "batch_size": 4}
    small |= {"observe_every": 2, "rollouts": 1, "prefixes": 1, "temperatures": [1.0]}
    for name, value in (small | {"critic_steps": [1], "judged": 20}).items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    monkeypatch.setattr(bench, "WAYS", ("likelihood", "perfect", "hasty"))
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    one, other = short["runs"][0], committed["runs"][0]
    assert one.keys() == other.keys()
    assert one["critic"].keys() == other["critic"].keys()
    assert one["temperature"][0].keys() == other["temperature"][0].keys()
    for way, result in one["ways"].items():
        assert result.keys() == other["ways"][way].keys()
        assert [step for step, _ in result["observed"]] == [0, 2]
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    settings, runs = record["settings"], record["runs"]
    assert settings == bench.SETTINGS
    assert [run["seed"] for run in runs] == list(range(1, int(record["command"].split()[-1]) + 1))
    for run in runs:
        assert set(run["ways"]) == set(bench.WAYS)
        assert len(run["temperature"]) == len(settings["temperatures"])
        at_one = run["temperature"][settings["temperatures"].index(1.0)]
        starts = [way["observed"][0][1] for way in run["ways"].values()]
        for start in starts:  # all began with one model, which at temperature 1 is itself
            assert start["nats"] == pytest.approx(at_one["nats"], abs=1e-3)
            assert start["coverage"] == pytest.approx(at_one["coverage"], abs=1e-3)
        for way in run["ways"].values():
            steps = [step for step, _ in way["observed"]]
            assert steps == list(range(0, settings["steps"] + 1, settings["observe_every"]))
            for _, seen in way["observed"]:
                assert sum(seen["products"].values()) == round(1000 * seen["validity"])
                assert seen["meanings"] <= min(seen["texts"], sum(seen["products"].values()))
                assert 0 <= seen["to_mixture"] <= np.log(2)
        judged = run["critic"]
        assert 0.5 <= judged["bound"] <= 1
        assert judged["perfect"] == pytest.approx(judged["bound"], abs=0.03)
        assert max(judged["accuracy"]) < judged["perfect"]
