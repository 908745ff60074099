"""The recorded runs of sequence-to-sequence models can be repeated, and say what was run."""

import json

import numpy as np
import pytest

from benchmarks import cmudict_g2p, multi30k, seq2seq_run
from textgen_utils.corpora.types import Pair, Pairs

SMALL = {
    "recurrent": {"width": 8, "attention": "dot"},
    "transformer": {"width": 8, "heads": 2, "depth": 1, "max_context": 64},
}


def few_words() -> Pairs:
    pairs = tuple(Pair(w, (" ".join(w.upper()),)) for w in ("ab", "abba", "bab", "aab", "ba", "b"))
    return Pairs("few", pairs, pairs, (*pairs, Pair("abab", ("A B A B", "B"))))


def few_captions(source: str, target: str) -> Pairs:
    pairs = tuple(Pair(f"a dog {n}", (f"ein Hund {n}",)) for n in range(8))
    return Pairs("few", pairs, pairs, pairs)


@pytest.fixture
def small(monkeypatch):
    """Tiny data and models, and a scale each for the two kinds of model."""
    monkeypatch.setattr(cmudict_g2p.cmudict, "load", few_words)
    monkeypatch.setattr(multi30k.multi30k, "load", few_captions)
    for benchmark in (cmudict_g2p, multi30k):
        for settings in benchmark.SETTINGS.values():
            changes = {"sizes": SMALL[settings["model"]], "batch_size": 4, "bounds": []}
            for name, value in {**changes, "evaluations": 2, "jit_compile": False}.items():
                monkeypatch.setitem(settings, name, value)
            if "vocab_size" in settings:
                monkeypatch.setitem(settings, "vocab_size", 260)


@pytest.mark.parametrize(
    ("benchmark", "scale"), [(cmudict_g2p, "cpu"), (cmudict_g2p, "gpu"), (multi30k, "cpu")]
)
def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path, benchmark, scale):
    out = tmp_path / "records" / "short.json"
    benchmark.main(["--scale", scale, "--steps", "4", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, benchmark.RECORD))
    assert short.keys() == committed.keys()
    assert short["test"].keys() == committed["test"].keys()
    assert short["beam"].keys() == committed["beam"].keys()
    assert short["curve"]["steps"] == [2, 4]
    assert list(out.parent.iterdir()) == [out]  # no checkpoint is left


@pytest.mark.parametrize("benchmark", [cmudict_g2p, multi30k])
def test_the_committed_record_is_of_the_committed_settings(benchmark):
    record = json.loads(benchmark.RECORD.read_text())
    assert record["settings"] == benchmark.SETTINGS["cpu"]
    assert record["published"] == benchmark.PUBLISHED
    assert record["curve"]["steps"][-1] == record["settings"]["steps"]
    assert np.all(np.diff(record["curve"]["seconds"]) > 0)


def test_the_recorded_pronunciations_reach_what_was_asked():
    record = json.loads(cmudict_g2p.RECORD.read_text())
    assert record["test"]["wer"] < 0.35
    assert record["curve"]["seconds"][-1] < 30 * 60
    assert record["test"]["words"] == len(cmudict_g2p.cmudict.load().test)


@pytest.mark.parametrize("benchmark", [cmudict_g2p, multi30k])
@pytest.mark.parametrize("scale", ["cpu", "gpu"])
def test_the_settings_of_both_scales_make_a_model(small, benchmark, scale):
    settings = benchmark.SETTINGS[scale]
    task = benchmark.load(settings)
    model = seq2seq_run.make_model(task, settings)
    assert model.vocab_size == task.target.vocab_size
    assert not any(np.isnan(weight).any() for weight in model.get_weights())
