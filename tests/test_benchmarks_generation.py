"""Generation beside the peers: our ways of writing agree, and a record of the promised form."""

import json
import pickle
from functools import partial

import numpy as np
import pytest

from benchmarks import generation, writers
from textgen_utils import decoding

pytestmark = pytest.mark.tensorflow  # as recorded; what is measured is tested on both

TINY = {"tiny": {"vocab_size": 65, "context": 24, "width": 64, "heads": 2, "depth": 3}}


def task(method="greedy", batch=2, prompt=1, new=16):
    return {"size": "tiny", "batch": batch, "method": method, "prompt": prompt, "new": new}


@pytest.fixture(scope="module")
def loop():
    return writers.Loop(TINY)


@pytest.fixture(scope="module", params=["compiled", "recomputed"])
def other(request):
    if request.param == "compiled":
        return writers.Compiled(TINY)
    return writers.Recomputed(TINY, limits={})


@pytest.mark.parametrize(
    "written", [task(m) for m in ("greedy", "nucleus", "beam")] + [task(prompt=12, new=1)], ids=str
)
def test_all_our_ways_write_the_same(loop, other, written):
    expected = loop.write(written, 3)
    assert expected.shape == (2, written["new"])
    np.testing.assert_array_equal(other.write(written, 3), expected)


def test_what_is_written_is_what_the_package_writes(loop):
    model = loop.models["tiny"]
    read = writers.prompt(task(prompt=5))
    assert read.shape == (2, 5)
    assert (read[:, 0] == writers.BOUNDARY).all()
    sampled = decoding.generate(model, read[0, 1:], 16, batch_size=2, nucleus=0.9, seed=8)
    np.testing.assert_array_equal(loop.write(task("nucleus", prompt=5), 8), sampled)
    best = decoding.beam_search(model, 16, width=4, stop=writers.STOP).ids[0, 0]
    np.testing.assert_array_equal(loop.write(task("beam"), 0), [best, best])


def test_facts_tell_the_model(loop):
    facts = loop.facts["tiny"]
    assert facts["parameters"] == 65 * 64 + 24 * 64 + 64 + 3 * (12 * 64**2 + 2 * 64)
    ids = writers.text(TINY["tiny"])
    logits = np.asarray(loop.models["tiny"](ids))
    assert writers.mean_log_p(logits, ids) == pytest.approx(facts["log_p"], abs=1e-5)


def test_models_that_differ_are_refused():
    ours = {"tiny": {"parameters": 5, "zeros": 0, "log_p": -2.0}}
    nearly = {"tiny": {**ours["tiny"], "log_p": -2.00001}}
    generation.check_equal({"a": ours, "b": nearly}, ["tiny"])
    with_zeros = {"tiny": {"parameters": 8, "zeros": 3, "log_p": -2.0}}
    generation.check_equal({"a": ours, "b": with_zeros}, ["tiny"])
    for change in ({"parameters": 6}, {"zeros": 1}, {"log_p": -2.01}):
        with pytest.raises(ValueError, match="b does not compute the same"):
            generation.check_equal({"a": ours, "b": {"tiny": {**ours["tiny"], **change}}}, ["tiny"])


def test_texts_that_ended_are_refused(loop):
    beams = decoding.beam_search(loop.models["tiny"], 4, width=4, stop=15)
    assert beams.finished.any()
    with pytest.raises(RuntimeError, match="differ in length"):
        writers.unfinished(beams)


class Slow:
    """Writes at most 4 tokens, each in half a second of a clock that is not the world's."""

    facts = ()

    def __init__(self, clock):
        self.clock = clock

    def write(self, task, seed):
        self.clock.append(self.clock[-1] + 0.5 * min(4, task["new"]))
        return np.zeros((task["batch"], min(4, task["new"]))) if task["batch"] < 9 else None


def test_the_seconds_of_a_few_tokens_stand_for_all(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(generation.time, "perf_counter", lambda: clock[-1])
    timed = generation.Timed(partial(Slow, clock))
    assert [timed(task(new=2)), timed(task(new=2))] == [1.0, 1.0]
    assert [timed(task(new=16)), timed(task(new=16))] == [2.0, 8.0]  # the first one compiles
    assert timed(task(batch=9)) is None


def test_recomputing_writes_fewer_where_that_is_said(loop):
    recomputed = writers.Recomputed(TINY, limits={("tiny", 2): 3})
    few = recomputed.write(task(), 0)
    np.testing.assert_array_equal(few, loop.write(task(), 0)[:, :3])


def test_tasks_fit_the_models_and_name_known_methods():
    tasks = generation.tasks()
    names = [tuple(sorted(task.items())) for task in tasks]
    assert len(set(names)) == len(names)
    for written in tasks:
        assert written["prompt"] + written["new"] <= generation.SIZES[written["size"]]["context"]
        assert written["method"] in ("greedy", "nucleus", "beam")
        assert written["method"] != "beam" or written["prompt"] == 1  # a search has no prompt
    for size, batch in generation.LIMITS:
        assert any((t["size"], t["batch"]) == (size, batch) for t in tasks)


def test_a_measurement_has_the_promised_form(monkeypatch):
    facts = {
        "version": "1",
        **{s: {"parameters": 5, "zeros": 0, "log_p": -2.0} for s in ("a", "b")},
    }

    def compete(makers, tasks, *, rounds, threads, reference):
        pickle.dumps(makers)
        rows = [{"task": t, "name": name, "seconds": [1, 2, 3]} for t in tasks for name in makers]
        return {"reference": reference, "facts": dict.fromkeys(makers, facts), "results": rows}

    monkeypatch.setattr(generation.turns, "compete", compete)
    monkeypatch.setattr(generation, "SIZES", {"a": {}, "b": {}})
    monkeypatch.setattr(generation, "tasks", lambda: [task(new=6), task(new=1)])
    part = generation.measure(rounds=4)
    assert part["reference"] in part["facts"]
    many, one = part["results"][0], part["results"][-1]
    assert many["tokens_per_second"] == 2 * 6 / 2
    assert "tokens_per_second" not in one
    assert part["settings"]["rounds"] == 4
    json.dumps(part, allow_nan=False)
