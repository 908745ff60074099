"""The record of collapsed and cured autoencoders can be repeated, and says what was run."""

import json

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.vae_collapse")
RUN = ("task", "way", "seed")


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(monkeypatch, tmp_path):
    small = {"evaluations": 1, "texts": 6, "draws": 2, "informed": 20, "latent": 2, "width": 4}
    for name, value in small.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    few = {"steps": 1, "batch_size": 4, "window": 40, "lstm": 4}
    monkeypatch.setitem(bench.SETTINGS, "tasks", {"reviews": few})
    monkeypatch.setattr(bench, "TASKS", {"reviews": bench.reviews_task})
    monkeypatch.setattr(bench, "RUNS", {"reviews": ("plain", bench.LSTM)})
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    written = out.read_text()
    short, committed = json.loads(written), json.loads(bench.RECORD.read_text())
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    of_reviews = {r["way"]: r for r in committed["runs"] if r["task"] == "reviews"}
    for run in short["runs"]:
        assert run.keys() == of_reviews[run["way"]].keys()
        assert run["excess"] > 50  # hardly trained: the stated floor is 19 nats
    bench.main(["--seeds", "1", "--out", str(out)])  # nothing is missing
    assert out.read_text() == written


def test_the_record_is_complete_and_of_these_settings():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    assert seeds >= 3
    expected = {
        (task, way, seed)
        for task, ways in bench.RUNS.items()
        for way in ways
        for seed in range(1, seeds + 1)
    }
    assert {tuple(run[name] for name in RUN) for run in record["runs"]} == expected
    assert len(record["runs"]) == len(expected)


def test_the_figures_of_a_run_fit_together():
    settings, runs = bench.SETTINGS, json.loads(bench.RECORD.read_text())["runs"]
    for run in runs:
        if "kl" not in run:
            continue
        assert run["elbo"] < run["weighted"] < 0
        assert 0 <= run["information"] < min(run["kl"] + 0.2, np.log(settings["informed"]))
        assert 0 <= run["active"] <= settings["latent"]
    for run in runs:
        if "excess" in run:
            assert run["excess"] > 0
            assert 0 < run["coverage"] < 1


def test_idioms_are_texts_of_four_characters():
    task = bench.idioms_task()
    for part in (task.train, task.valid, task.test):
        assert (part.reshape(-1, 5)[:, -1] == task.boundary).all()
    assert {len(text) for text in task.listed} == {5}
    assert tuple(task.test[:5].tolist()) in task.listed
    assert max(map(max, task.listed)) < task.vocab_size
