"""The recorded mixtures on the reviews can be repeated, and the record says what was run."""

import json

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.fusion")


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    sizes = {"reviews": 80, "held_out": 12, "test": 15, "order": 3, "batch_size": 4}
    sizes |= {"steps": {"LSTM": 2, "GPT": 2}, "lstm": {"width": 8}}
    sizes |= {"gpt": {"width": 8, "heads": 2, "depth": 1, "max_context": 48}}
    for name, value in sizes.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path):
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    assert short["entropy"] == pytest.approx(committed["entropy"])
    run, other = short["runs"][0], committed["runs"][0]
    assert run.keys() == other.keys()
    assert run["results"].keys() == other["results"].keys()
    for result in run["results"].values():
        assert result["nats"] == pytest.approx(run["truth"] + result["excess"])
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    assert [run["seed"] for run in record["runs"]] == list(range(1, seeds + 1))
    for run in record["runs"]:
        assert abs(run["truth"] / record["entropy"] - 1) < 0.01  # the draw of the test text
        for name, result in run["results"].items():
            assert result["excess"] > 3 * result["excess_error"]  # nothing is below the truth
            if name.endswith(", linear"):
                assert sum(result["weights"]) == pytest.approx(1, abs=1e-3)


def test_the_best_mixture_is_within_half_a_percent_of_the_truth():
    record = json.loads(bench.RECORD.read_text())
    for run in record["runs"]:
        best = run["results"]["counts + LSTM + GPT, log-linear"]
        assert best["excess"] + 2 * best["excess_error"] < 0.005 * run["truth"]


def test_mixtures_of_counts_are_what_the_package_says(small):
    task = bench.Task()
    size, boundary = task.truth.vocab_size, task.truth.boundary
    models = [
        bench.NGram(order, size, boundary, independent_lines=True).fit(task.train)
        for order in (1, 3)
    ]
    found = bench.mixtures(["unigrams", "trigrams"], models, task)
    assert list(found)[:2] == ["unigrams", "trigrams"]
    rows, mask = task.tested
    for name, mixture in (("linear", bench.Mixture), ("log-linear", bench.LogLinear)):
        weights, log_probs = found[f"unigrams + trigrams, {name}"]
        expected = mixture(models, weights).score(rows)[mask]
        np.testing.assert_allclose(log_probs, expected, atol=1e-9)
