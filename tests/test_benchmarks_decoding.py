"""The recorded curves of decoding can be repeated, and the records say what was run."""

import json

import numpy as np
import pytest

from textgen_utils.corpora.types import Corpus

curves = pytest.importorskip("benchmarks.decoding_curves")
repetition = pytest.importorskip("benchmarks.decoding_repetition")


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    for name, value in {"reviews": 300, "texts": 60, "expanded": 20}.items():
        monkeypatch.setitem(curves.SETTINGS, name, value)
    monkeypatch.setitem(curves.SETTINGS, "models", {"short": {"steps": 20}})
    monkeypatch.setitem(curves.SETTINGS, "families", {"top_k": [1, 5]})
    for name, value in {"texts": 4, "continuation": 8, "models": ["6-gram"]}.items():
        monkeypatch.setitem(repetition.SETTINGS, name, value)
    monkeypatch.setitem(repetition.SETTINGS, "families", {"greedy": [True], "top_k": [5]})
    words = np.random.default_rng(0).choice(["a layer", "of the", "input", "\n", "(x)"], 600)
    monkeypatch.setattr(
        repetition.keras_manual, "load", lambda: Corpus("small", *[" ".join(words)] * 3)
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("bench", [curves, repetition])
def test_a_short_run_writes_a_record_of_the_committed_form(small, bench, tmp_path):
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    run, other = short["runs"][0], committed["runs"][0]
    assert run.keys() == other.keys()
    for name in {"filtered", "kept", "points", "by_probability"} & run.keys():
        assert run[name][0].keys() == other[name][0].keys()
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


@pytest.mark.parametrize("bench", [curves, repetition])
def test_the_committed_record_agrees_with_itself(bench):
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    models = record["settings"]["models"]
    found = {(run["model"], run["seed"]) for run in record["runs"]}
    assert found == {(model, seed) for model in models for seed in range(1, seeds + 1)}
    assert len(record["runs"]) == len(found)
    asked = [(f, v) for f, values in record["settings"]["families"].items() for v in values]
    for run in record["runs"]:
        points = run["filtered"] if bench is curves else run["points"]
        assert [(p["family"], p["value"]) for p in points] == asked


def test_the_figures_of_the_curves_are_possible():
    record = json.loads(curves.RECORD.read_text())
    for run in record["runs"]:
        for point in (run["pure"], *run["filtered"]):
            assert 0 <= point["coverage"] <= 1
            assert 0 <= point["validity"] <= 1
            if point["different"] < 1 / record["settings"]["texts"] + 1e-9:  # always one text
                assert point["validity"] in (0, 1)
        assert [p["share"] for p in run["kept"]] == record["settings"]["kept"]
        nats = [group["nats"] for group in run["by_probability"]]
        assert nats == sorted(nats)
        assert np.isfinite(nats).all()
        assert run["mode"]["nats"] < nats[0]


def test_prompts_and_human_texts_are_cut_from_one_text(small):
    task = repetition.Task()
    test = repetition.keras_manual.load().test
    for prompt, human in zip(task.prompts, task.human, strict=True):
        assert len(human) == repetition.SETTINGS["continuation"]
        assert task.tokens.decode(np.concatenate([prompt, human])) in test
