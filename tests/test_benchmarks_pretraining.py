"""The comparison with and without pretraining can be repeated, and its record says what was run."""

import json

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.pretraining")


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    sizes = {"width": 8, "depth": 1, "reviews": 60, "valid": 8, "test": 12, "min_count": 2000}
    sizes |= {"labels": [10], "labels_gpt": [], "texts": [20]}
    for name, value in sizes.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    for part, values in {
        "pretraining": {"steps": 2, "batch_size": 4},
        "blanks": {"texts": 2, "tried": 2},
        "sentiment": {"steps": 1, "batch_size": 4},
        "generation": {"steps": 6, "batch_size": 4, "written": 2},
    }.items():
        monkeypatch.setitem(bench.SETTINGS, part, bench.SETTINGS[part] | values)
    bench.texts.cache_clear()
    bench.pretrained.cache_clear()
    yield
    bench.texts.cache_clear()
    bench.pretrained.cache_clear()


def test_divergence_is_that_of_scipy():
    from scipy.stats import entropy

    p, q = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 3))
    p[0, 1] = 0
    p[0] /= p[0].sum()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(bench.divergence(np.log(p), np.log(q)), entropy(p, q, axis=1))


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path):
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    forms = {run["part"]: run for run in committed["runs"]}
    for new in short["runs"]:
        old = forms[new["part"]]
        assert new.keys() == old.keys()
        if new.get("runs"):
            assert new["runs"][0].keys() == old["runs"][0].keys()
    began = short["runs"]
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == began


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    settings, runs = record["settings"], record["runs"]
    assert settings == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    assert seeds >= 3
    parts = {(part, seed) for seed in range(1, seeds + 1) for part in bench.PARTS}
    assert {(run["part"], run["seed"]) for run in runs} == parts
    assert len(runs) == len(parts)
    for run in runs:
        if run["part"] == "blanks":
            assert run["floor"] < run["bert"]
            assert run["bert_excess"] > 0
        elif run["part"] == "sentiment":
            assert all(one["error"] >= run["bayes_error"] for one in run["runs"])
            counts = len(bench.CORPORA) * (len(settings["labels"]) + len(settings["labels_gpt"]))
            assert len(run["runs"]) == counts + len(settings["labels"] + settings["labels_gpt"])
        elif run["part"] == "generation":
            assert all(one["nats"] > run["entropy"] for one in run["runs"])
            assert len(run["runs"]) == 2 * len(settings["texts"])
