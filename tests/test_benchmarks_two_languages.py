"""The recorded run of two languages in one network can be repeated, and its record says so."""

import json
from collections import Counter

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.two_languages")


@pytest.fixture
def small(monkeypatch):
    """Runs that take seconds."""
    sizes = {"english": [30], "chinese": 60, "valid": 10, "test": 12}
    sizes |= {"width": {"one": 8, "both": 12}, "evaluations": 2}
    sizes |= {"steps": {"one": 4, "both": 8, "control": 8}}
    sizes |= {"batch_size": {"one": 4, "both": 4, "control": 2}}
    for name, value in sizes.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(small, tmp_path):
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    kinds = [(run["kind"], *run["languages"]) for run in short["runs"]]
    alone, control = ([(kind, "zh"), (kind, "en")] for kind in ("one", "control"))
    assert kinds == [*alone, ("both", "en", "zh"), *control]
    assert all(run.keys() == committed["runs"][0].keys() for run in short["runs"])
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = range(1, int(record["command"].split()[-1]) + 1)
    found = [(r["kind"], tuple(r["languages"]), r["english"], r["seed"]) for r in record["runs"]]
    assert sorted(found) == sorted((*run, seed) for seed in seeds for run in bench.asked())
    for run in record["runs"]:
        assert run["nats"].keys() == run["truth"].keys() == set(run["languages"])
        assert all(run["nats"][name] > run["truth"][name] for name in run["nats"])
    parameters = {tuple(run["languages"]): run["parameters"] for run in record["runs"]}
    alone = parameters["en",] + parameters["zh",]
    assert parameters["en", "zh"] == pytest.approx(alone, rel=0.01)
    steps, sizes = bench.SETTINGS["steps"], bench.SETTINGS["batch_size"]
    assert steps["both"] == steps["control"] == 2 * steps["one"]
    assert steps["control"] * sizes["control"] == steps["one"] * sizes["one"]


class Halves:
    """Says each token of the vocabulary with the same probability, and nothing else."""

    boundary, max_context = 0, None

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def initial_state(self, batch_size: int) -> None:
        """Return nothing."""

    def step(self, tokens, state):
        return np.full((len(tokens), self.vocab_size), -np.log(self.vocab_size)), None

    def score(self, ids):
        return np.full(np.shape(ids), -np.log(self.vocab_size))


def test_to_name_the_language_is_not_counted():
    task = bench.Task(("en", "zh"))
    text = task.text(20, 1, "en")
    size, english = len(task.tokens), len(task.oracles["en"].tokens)
    tokens = np.mean([len(row) for row in text])
    expected = (tokens - 1) * np.log(size) + np.log(english)  # the first of English words only
    assert task.nats(Halves(size), text, "en") == pytest.approx(expected)


def test_texts_are_those_of_the_language_and_mixed_as_much_of_each():
    task = bench.Task(("en", "zh"))
    few, many = task.text(3, 1, "en"), task.text(30, 1, "zh")
    words = "".join(task.tokens[i] for i in np.concatenate(few))
    assert words == task.reviews.text(3, seed=1, language="en")
    text = bench.mixed([few, many], seed=0)
    rows = [tuple(row) for row in np.split(text, np.flatnonzero(text == 0) + 1) if len(row)]
    counts = Counter(rows)
    assert sum(counts.values()) == 60
    assert [counts[tuple(row)] for row in few] == [10, 10, 10]
    assert all(counts[tuple(row)] >= 1 for row in many)


def test_the_truth_of_a_text_is_near_the_entropy():
    task = bench.Task(("zh",))
    assert task.truth(400, 3, "zh") == pytest.approx(task.reviews.entropy("zh"), rel=0.05)
