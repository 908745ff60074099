"""Seconds to a loss: the evaluation, the clock, the recipe's run, the form of the record."""

import functools
import itertools
import json

import numpy as np
import pytest

from benchmarks import clocked, seconds_to_loss
from textgen_utils import evaluation
from textgen_utils.corpora.types import Corpus
from textgen_utils.models.ngram import NGram

TEXT = "to be or not to be, that is the question\n" * 60
TINY = {"context": 64, "width": 16, "heads": 2, "depth": 1, "past": 2}
TINY |= {"batch": 8, "steps": 20, "rate": 1e-2, "warmup": 4}


as_recorded = pytest.mark.tensorflow  # the models themselves are tested on both


@pytest.fixture
def ids():
    return np.random.default_rng(0).integers(9, size=1500)


@as_recorded
def test_windows_of_a_gpt_cost_what_the_package_says(ids):
    from benchmarks.quick_gpt import token_scores
    from textgen_utils.models.transformer import GPT

    model = GPT(9, max_context=64, width=16, heads=2, depth=1, boundary=0, seed=1)
    rows = seconds_to_loss.windows(ids, n=20, seed=3)
    scores = token_scores(model)(rows[:, :-1].astype("int32"), rows[:, 1:].astype("int32"))
    expected = evaluation.random_window_loss(model, ids, 64, 20, seed=3, batch_size=20)
    assert -np.mean(scores) == pytest.approx(expected.nats_per_token, abs=1e-5)


def test_windows_of_counts_cost_what_the_package_says(ids):
    run = seconds_to_loss.Counts(ids, 9, order=3)
    assert len(list(run.steps())) == run.planned
    model = NGram(3, 9, boundary=0).fit(ids)
    expected = evaluation.random_window_loss(model, ids, 64, 20, seed=3)
    rows = seconds_to_loss.windows(ids, n=20, seed=3)
    assert run.loss(rows) == pytest.approx(expected.nats_per_token, abs=1e-12)


def test_a_position_is_told_the_characters_before_it_and_no_later_one():
    from benchmarks.quick_gpt import QuickGPT

    sizes = {"max_context": 8, "width": 16, "heads": 2, "depth": 1}
    model = QuickGPT(9, past=3, seed=1, **sizes)
    ids = np.arange(8)[None]
    expected = np.array(model.tokens(ids) + model.positions(np.arange(8)))[0]
    table = np.asarray(model.past.embeddings)
    for t, distance in itertools.product(range(8), (1, 2, 3)):
        character = ids[0, t - distance] if t >= distance else 9  # 9: nothing
        expected[t] += table[(distance - 1) * 10 + character]
    np.testing.assert_allclose(np.asarray(model.embed(ids))[0], expected, atol=1e-6)
    changed = ids.copy()
    changed[0, 5] = 8
    difference = np.asarray(model(ids) - model(changed))[0]
    assert abs(difference[:5]).max() == 0
    assert abs(difference[5:]).max(axis=1).min() > 0
    with pytest.raises(NotImplementedError, match="whole windows"):
        model.step(ids[:, 0], None)
    with pytest.raises(NotImplementedError, match="whole windows"):
        model.begin(2, 8)


@as_recorded
def test_the_recipe_learns_a_text_and_is_the_same_for_a_seed():
    from benchmarks.quick_gpt import QuickRun

    ids = np.array([ord(c) % 32 for c in TEXT])
    begin = seconds_to_loss.quick(ids, 32, 1, recipe=TINY)
    run, again = begin(), QuickRun(ids, 32, seed=1, settings=TINY)
    rows = seconds_to_loss.windows(ids, n=30)
    before = run.loss(rows)
    assert again.loss(rows) == pytest.approx(before, abs=1e-6)
    list(itertools.islice(run.steps(), 20))
    assert run.loss(rows) < 0.8 * before
    assert run.facts["parameters"] == run.model.count_params()


class Falling:
    """Falls from 3 nats by 1/100 a step, each step a second of a clock of its own."""

    planned, facts = 100, {"version": "1"}

    def __init__(self, clock):
        self.clock, self.done = clock, 0

    def steps(self):
        while True:
            self.clock.now += 1
            self.done += 1
            yield

    def loss(self, windows):
        self.clock.now += 50  # must not count
        return 3 - self.done / 100


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


def test_the_clock_stands_still_during_evaluations(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(clocked, "time", clock)

    def begin():
        clock.now += 5  # must count
        return Falling(clock)

    curve = clocked.learn(begin, np.zeros((1, 2)))["curve"]
    assert curve["seconds"] == [step + 5 for step in curve["steps"]]
    assert curve["steps"][:6] == [1, 3, 5, 8, 12, 17]  # 5.7, 7.4, 9.7, 12.5, 16.3, 21.2 s
    assert curve["steps"][-1] == 100
    assert clocked.seconds_to(curve, 2.5) == pytest.approx(55)
    assert clocked.seconds_to(curve, 2.0) == pytest.approx(105)
    assert clocked.seconds_to(curve, 1.9) is None


def test_a_curve_that_begins_below_a_loss_reached_it_at_once():
    curve = {"steps": [1, 2], "seconds": [0.5, 4.0], "loss": [1.8, 1.7]}
    assert clocked.seconds_to(curve, 1.88) == 0.5
    assert clocked.seconds_to(curve, 1.75) == pytest.approx(2.25)


def test_a_short_run_of_the_part_has_the_form_of_all_parts(monkeypatch):
    corpus = Corpus("small", train=TEXT, valid=TEXT[:400], test="")
    monkeypatch.setattr(seconds_to_loss.shakespeare, "load", lambda: corpus)
    more = functools.partial(seconds_to_loss.counts, order=5)
    few = functools.partial(seconds_to_loss.counts, order=3)
    makers = {seconds_to_loss.OURS: (more, 2, 1), "counts": (few, 1, 5), "absent": (absent, 1, 1)}
    monkeypatch.setattr(seconds_to_loss, "MAKERS", makers)
    part = seconds_to_loss.measure(threads=1, rounds=2)
    json.dumps(part, allow_nan=False)
    assert list(part["missing"]) == ["absent"]
    assert [(c["name"], c["seed"]) for c in part["curves"]] == [
        (seconds_to_loss.OURS, 1),
        (seconds_to_loss.OURS, 2),
        ("counts", 5),
    ]
    rows = {(r["task"]["loss"], r["name"]): r for r in part["results"]}
    assert len(rows) == 2 * len(seconds_to_loss.LOSSES)
    for (loss, _), row in rows.items():
        assert row["seconds"] == sorted(row["seconds"])
        assert row["reached"] == row["rounds"]
        assert loss in seconds_to_loss.LOSSES
    assert rows[1.88, seconds_to_loss.OURS]["ratio"] == [1, 1, 1]
    assert part["facts"]["counts"]["order"] == 3


def absent(ids, vocab_size, seed):
    raise ImportError("No module named 'absent'")


def test_a_run_that_never_arrives_counts_with_all_its_seconds():
    def run(losses):
        curve = {"steps": [1, 2, 3], "seconds": [1.0, 2.0, 4.0], "loss": losses}
        return {"curve": curve, "memory": 1.0, "import": 0.1}

    ours = [run([3.0, 2.0, 1.0]), run([3.0, 1.5, 1.0])]
    row = seconds_to_loss.row("other", 1.5, [run([3.0, 2.0, 1.9])], ours)
    assert (row["reached"], row["rounds"]) == (0, 1)
    assert row["seconds"] == [4, 4, 4]
    assert row["ratio"] == pytest.approx([4 / 3] * 3)


def test_without_the_text_all_are_missing(monkeypatch):
    def load():
        raise FileNotFoundError("no file")

    monkeypatch.setattr(seconds_to_loss.shakespeare, "load", load)
    part = seconds_to_loss.measure(threads=1)
    assert part["missing"].keys() == seconds_to_loss.MAKERS.keys()
    assert "Tiny Shakespeare is not there: no file" in part["missing"][seconds_to_loss.OURS]
    assert part["results"] == []
