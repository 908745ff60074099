"""The recorded searches can be repeated, say what was run, and had equal effort."""

import itertools
import json
import math

import keras
import numpy as np
import pytest

from textgen_utils.corpora.types import Corpus

pytest.importorskip("tensorflow")
tuning = pytest.importorskip("benchmarks.tuning")
penalties = pytest.importorskip("benchmarks.penalties")
flatness = pytest.importorskip("benchmarks.flatness")

BENCHES = [tuning, penalties, flatness]


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    size = {"width": 4, "depth": 1, "heads": 1, "max_context": 4}
    few = {"model": size, "steps": 4, "trials": 1, "seeds": 1, "batch_size": 4}
    rules = {rule: tuning.SETTINGS["rules"][rule] for rule in ("Adam", "AdamW")}
    few |= {"rules": rules, "schedules": ["cosine"], "scheduled": ["Adam"]}
    changes = {
        tuning: few | {"train_characters": 300, "other_characters": 100},
        penalties: {"train_characters": 300, "steps": 4, "every": 2, "trials": 1, "seeds": 1},
        flatness: {"rates": [0.1], "steps": 2, "every": 1, "seeds": 1, "windows": 4},
    }
    for bench, settings in changes.items():
        for name, value in settings.items():
            monkeypatch.setitem(bench.SETTINGS, name, value)
    monkeypatch.setattr(tuning, "XLA", False)  # which would take longer than all the rest
    strengths = {name: [0.1, 0.2] for name in ("L2 in the loss", "dropout")}
    monkeypatch.setitem(penalties.SETTINGS, "strengths", strengths)
    monkeypatch.setitem(flatness.SETTINGS, "iterations", 2)
    words = np.random.default_rng(0).choice(["a layer", "of the", "input", "\n"], 300)
    text = " ".join(words)
    monkeypatch.setattr(tuning.keras_manual, "load", lambda: Corpus("small", text, text, text))


@pytest.mark.tensorflow
@pytest.mark.parametrize("bench", BENCHES)
def test_a_short_run_writes_a_record_of_the_committed_form(small, bench, tmp_path):
    out = tmp_path / "short.json"
    bench.main(["--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    assert short["runs"][0].keys() == committed["runs"][0].keys()
    bench.main(["--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


@pytest.mark.parametrize("bench", BENCHES)
def test_the_committed_record_is_of_these_settings(bench):
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS


def test_every_rule_and_schedule_had_the_same_effort():
    record = json.loads(tuning.RECORD.read_text())
    runs, settings = record["runs"], record["settings"]
    wanted = {(rule, "constant") for rule in settings["rules"]}
    wanted |= set(itertools.product(settings["scheduled"], settings["schedules"]))
    assert {(run["rule"], run["schedule"]) for run in runs} == wanted
    for rule, schedule in wanted:
        own = [run for run in runs if (run["rule"], run["schedule"]) == (rule, schedule)]
        tried = [run for run in own if run["kind"] == "search"]
        final = [run for run in own if run["kind"] == "final"]
        assert [run["trial"] for run in tried] == list(range(settings["trials"]))
        assert [run["seed"] for run in final] == list(range(1, settings["seeds"] + 1))
        best = min((run for run in tried if run["valid"]), key=lambda run: run["valid"])
        assert all(run["numbers"] == best["numbers"] for run in final)
        for run in tried:
            limits = settings["rules"][rule].values()
            assert all(a <= n <= b for n, (a, b) in zip(run["numbers"], limits, strict=True))
            assert run["numbers"] == tuning.drawn(rule, settings["rules"][rule], run["trial"])


def test_every_penalty_had_the_same_effort():
    record = json.loads(penalties.RECORD.read_text())
    settings = record["settings"]
    for name in ("none", *settings["strengths"]):
        own = [run for run in record["runs"] if run["penalty"] == name]
        kinds = [run["kind"] for run in own]
        assert kinds.count("search") == (0 if name == "none" else settings["trials"])
        assert kinds.count("final") == settings["seeds"]
        for run in own:
            assert run["curve"]["steps"][-1] == settings["steps"]
            assert all(
                len(values) == len(run["curve"]["steps"]) for values in run["curve"].values()
            )


def test_a_schedule_rises_and_ends_where_it_should():
    constant, cosine, linear, root = (
        tuning.rates(0.5, name, 200) for name in ("constant", "cosine", "linear", "inverse root")
    )
    assert (constant == 0.5).all()
    for schedule in (cosine, linear, root):
        assert schedule.max() == pytest.approx(0.5)
        np.testing.assert_allclose(schedule[:10], 0.05 * np.arange(1, 11))
    decay = keras.optimizers.schedules.CosineDecay(0.5, 190)
    expected = [float(decay(step)) for step in range(190)]
    np.testing.assert_allclose(cosine[10:], expected, atol=1e-6)
    line = keras.optimizers.schedules.PolynomialDecay(0.5, 190, 0.0)
    np.testing.assert_allclose(linear[10:], [float(line(s)) for s in range(190)], atol=1e-6)
    assert root[40] == pytest.approx(0.25)


def test_numbers_are_drawn_log_uniformly():
    numbers = np.array([tuning.drawn("x", {"a": [1e-3, 1]}, trial) for trial in range(2000)])
    exponents = np.log10(numbers[:, 0])
    assert -3 <= exponents.min() < exponents.max() <= 0
    assert exponents.mean() == pytest.approx(-1.5, abs=4 * math.sqrt(9 / 12 / 2000))
    assert exponents.std() == pytest.approx(math.sqrt(9 / 12), abs=0.05)
