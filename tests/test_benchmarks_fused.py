"""The fused run on Shakespeare can be repeated, and its record says what was run."""

import json

import numpy as np
import pytest

from textgen_utils.corpora.types import Corpus

fused = pytest.importorskip("benchmarks.shakespeare_fused")


@pytest.fixture
def small(monkeypatch):
    """A run of seconds, on text that repeats itself."""
    words = np.random.default_rng(0).choice(["a thing", "of the", "in it", "\n", "so"], 600)
    text = " ".join(words) + "\n"
    monkeypatch.setattr(fused.shakespeare, "load", lambda: Corpus("small", text, text[:500], ""))
    sizes = {"held_out": 400, "order": 3, "width": 8, "heads": 2, "depth": 1, "steps": 8}
    sizes |= {"max_context": 16, "context": 8, "tuned_on": 200, "windows": 3, "window": 20}
    sizes |= {"cache": {"shortest": [2, 3], "strength": [1], "discount": [0.8]}}
    for name, value in sizes.items():
        monkeypatch.setitem(fused.SETTINGS, name, value)


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path):
    out = tmp_path / "records" / "short.json"
    fused.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, fused.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    run, other = short["runs"][0], committed["runs"][0]
    assert run.keys() == other.keys()
    assert run["seconds"].keys() == other["seconds"].keys()
    assert run["losses"].keys() == other["losses"].keys()
    for name, losses in run["losses"].items():
        assert losses.keys() == other["losses"][name].keys()
        assert np.isfinite(list(losses.values())).all()
    fused.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(fused.RECORD.read_text())
    assert record["settings"] == fused.SETTINGS
    assert record["published"] == fused.PUBLISHED
    seeds = int(record["command"].split()[-1])
    assert [run["seed"] for run in record["runs"]] == list(range(1, seeds + 1))
    for run in record["runs"]:
        total = sum(run["seconds"].values())
        assert run["seconds of all parts"] == pytest.approx(total, abs=0.1)


def test_what_was_said_is_what_the_model_predicts():
    rng = np.random.default_rng(1)
    counts = fused.NGram(2, 5, 0).fit(rng.integers(5, size=200))
    ids = rng.integers(5, size=60)
    said = fused.Said(counts, ids)
    direct = fused.Cached(counts, shortest=1).score(ids[None])
    np.testing.assert_array_equal(fused.Cached(said, shortest=1).score(ids[None]), direct)


def test_the_cache_chosen_is_the_best_of_those_tried():
    rng = np.random.default_rng(2)
    counts = fused.NGram(2, 5, 0).fit(rng.integers(5, size=200))
    ids = np.tile(rng.integers(5, size=40), 4)
    grid = {"strength": [1e6, 0.5], "discount": [0.9, 0.2]}
    chosen = fused.best_cache(counts, ids, grid)
    assert chosen == {"strength": 0.5, "discount": 0.2}  # a text that repeats itself exactly
