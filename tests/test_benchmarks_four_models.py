"""The recorded curves of four kinds of model can be repeated, and the records say what was run."""

import json

import numpy as np
import pytest

from textgen_utils.corpora.types import Corpus

bench = pytest.importorskip("benchmarks.four_models")
copying = pytest.importorskip("benchmarks.copying")


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    few = {
        "sizes": [800, 10**9],
        "reviews": {"train": 60, "valid": 8, "test": 12},
        "valid": 300,
        "orders": [2, 3],
        "states": {"states": 3, "alpha": 0.01, "first": 400, "first_steps": 2, "round_steps": 1},
        "round_tokens": 2_000,
        "lstm": {"width": 8},
        "steps": 4,
        "evaluations": 2,
        "batch_size": {"reviews": 4, "manual": 4},
    }
    for name, value in few.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    monkeypatch.setattr(bench, "KINDS", {k: bench.KINDS[k] for k in list(bench.KINDS)[:3]})
    words = np.random.default_rng(0).choice(["a layer", "of the", "input", "\n", "(x)"], 600)
    monkeypatch.setattr(bench.keras_manual, "load", lambda: Corpus("small", *[" ".join(words)] * 3))
    for name, value in {"lines": 200, "hmm_lines": 100, "tested": 3, "steps": 4}.items():
        monkeypatch.setitem(copying.SETTINGS, name, value)
    monkeypatch.setattr(copying, "NAMES", ("n-gram", "hidden Markov", "LSTM 32"))


@pytest.mark.tensorflow
@pytest.mark.parametrize("module", [bench, copying])
def test_a_short_run_writes_a_record_of_the_committed_form(small, module, tmp_path):
    out = tmp_path / "records" / "short.json"
    module.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, module.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    names = list(module.KINDS) * 2 if module is bench else list(module.NAMES)
    key = "kind" if module is bench else "name"
    assert sorted({run[key] for run in short["runs"]}) == sorted(set(names))
    assert all(run.keys() == committed["runs"][0].keys() for run in short["runs"])
    began = short["runs"]
    module.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == began


def test_the_order_is_the_best_on_the_validation_text(small):
    text = bench.make_texts()[0][0]
    model, parameters, choice = bench.counts(text, text.train, seed=1)
    assert parameters == sum(model.sizes_)
    losses = {}
    for order in bench.SETTINGS["orders"]:
        other = bench.NGram(order, text.vocab_size, text.boundary, independent_lines=True)
        losses[order] = text.nats(other.fit(text.train), "valid")
    assert choice["order"] == min(losses, key=losses.get)


def test_the_states_are_never_worse_on_the_validation_text_than_those_of_the_first_fit(small):
    text = bench.make_texts()[0][0]
    s = bench.SETTINGS["states"]
    first = bench.HMM(s["states"], text.vocab_size, text.boundary, alpha=s["alpha"])
    first.fit(text.train[: s["first"]], seed=1, steps=s["first_steps"])
    kept, parameters, choice = bench.hidden(text, text.train, seed=1)
    assert text.nats(kept, "valid") <= text.nats(first, "valid")
    assert (choice["rounds"] == 0) == bool(
        np.array_equal(kept.tables.emission, first.tables.emission)
    )
    assert parameters == s["states"] * (1 + s["states"] + text.vocab_size)


def test_every_line_of_the_copying_language_is_a_copy():
    ids = copying.copy_text(50, seed=1)
    lines = np.split(ids, np.flatnonzero(ids == 0) + 1)[:-1]
    assert len(lines) == 50
    lengths = set()
    for line in lines:
        m = len(line) // 2 - 1
        assert line[m] == copying.SETTINGS["letters"] + 1
        assert np.array_equal(line[:m], line[m + 1 : -1])
        assert line[:m].min() >= 1
        assert line[:m].max() <= copying.SETTINGS["letters"]
        lengths.add(m)
    assert min(lengths) >= 1
    assert max(lengths) <= copying.SETTINGS["longest"]


def test_who_guesses_pays_for_every_letter(small):
    class Guesses:
        vocab_size, boundary, max_context = 10, 0, None

        def score(self, ids):
            return np.full(ids.shape, -np.log(8))

    result = copying.copied(Guesses())
    assert result["nats"] == pytest.approx(np.log(8) * np.arange(1, 4))
    assert result["probability"] == pytest.approx([1 / 8] * 3)


def test_the_committed_record_has_every_kind_at_every_size():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = range(1, int(record["command"].split()[-1]) + 1)
    runs = record["runs"]
    sizes = {t: sorted({r["size"] for r in runs if r["text"] == t}) for t in record["tokens"]}
    assert all(len(s) == len(bench.SETTINGS["sizes"]) for s in sizes.values())
    expected = {
        (text, kind, size, seed)
        for text in sizes
        for kind in bench.KINDS
        for size in sizes[text]
        for seed in seeds
        if seed == 1 or kind not in bench.FIXED
    }
    found = [tuple(run[key] for key in bench.KEYS) for run in runs]
    assert set(found) == expected
    assert len(found) == len(expected)
    for run in runs:
        if run["text"] == "reviews":
            assert run["nats"] > record["floor"]
        assert 0 < run["nats"] < np.log(record["tokens"][run["text"]]["vocab"])


def test_the_committed_record_of_copying_keeps_the_bound_of_the_hidden_states():
    record = json.loads(copying.RECORD.read_text())
    s = record["settings"]
    assert s == copying.SETTINGS
    seeds = range(1, int(record["command"].split()[-1]) + 1)
    found = sorted((run["name"], run["seed"]) for run in record["runs"])
    assert found == sorted((name, seed) for name in copying.NAMES for seed in seeds)
    m = np.arange(1, s["tested"] + 1)
    for run in record["runs"]:
        through = m * np.log(s["letters"]) - run["nats"]
        if run["name"] == "hidden Markov":  # a sample of words: a margin for chance
            assert (through <= np.log(s["states"]) + 0.2).all()
