"""Competitors in turns: the order, what is kept apart, what is missing, what fails."""

import functools
import json
import os
import time

import numpy as np
import pytest

from benchmarks import turns
from benchmarks.machine import machine as describe


class Sleeper:
    """Takes the given time, and writes its name into a file at each turn."""

    def __init__(self, name, seconds, diary):
        self.name, self.seconds, self.diary = name, seconds, diary
        self.facts = {"threads": os.environ["OMP_NUM_THREADS"], "process": os.getpid()}

    def __call__(self, task):
        with open(self.diary, "a") as diary:
            diary.write(self.name)
        if task.get("only") not in (None, self.name):
            return None
        start = time.perf_counter()
        time.sleep(self.seconds * task["size"])
        return time.perf_counter() - start


def absent():
    raise ImportError("No module named 'absent'")


class Failing(Sleeper):
    def __call__(self, task):
        raise ZeroDivisionError("in the middle")


def makers(diary, **classes):
    return {
        name: functools.partial(classes.get(name, Sleeper), name, seconds, str(diary))
        for name, seconds in (("a", 0.02), ("b", 0.04))
    }


def test_turns_alternate_and_ratios_are_those_of_the_waits(tmp_path):
    diary = tmp_path / "diary"
    tasks = [{"size": 1}, {"size": 2, "rounds": 2}]
    part = turns.compete({**makers(diary), "c": absent}, tasks, rounds=3, threads=1, reference="a")
    assert diary.read_text() == "ab" * 4 + "ab" * 3
    assert part["missing"] == {"c": "ImportError: No module named 'absent'"}
    assert {fact["threads"] for fact in part["facts"].values()} == {"1"}
    assert len({fact["process"] for fact in part["facts"].values()} | {os.getpid()}) == 3
    rows = {(row["task"]["size"], row["name"]): row for row in part["results"]}
    assert [row["rounds"] for row in rows.values()] == [3, 3, 2, 2]
    assert rows[1, "a"]["ratio"] == [1, 1, 1]
    assert 0.04 <= rows[1, "b"]["seconds"][1] < 0.2
    assert rows[2, "a"]["first"] >= 0.04
    assert 1.2 < rows[2, "b"]["ratio"][1] < 2.5
    assert all(1 < row["memory"] < 10_000 for row in rows.values())
    json.dumps(part)


def test_a_task_that_one_cannot_do_has_no_row_of_it(tmp_path):
    tasks = [{"size": 1, "only": "a"}]
    part = turns.compete(makers(tmp_path / "diary"), tasks, rounds=2, threads=1, reference="a")
    assert [row["name"] for row in part["results"]] == ["a"]
    assert (tmp_path / "diary").read_text() == "abaa"  # asked once


def test_a_failure_is_told_with_its_traceback(tmp_path):
    failing = makers(tmp_path / "diary", b=Failing)
    with pytest.raises(RuntimeError, match=r"'b' failed(.|\n)*in the middle"):
        turns.compete(failing, [{"size": 1}], rounds=1, threads=1, reference="a")
    with pytest.raises(ValueError, match="'z'"):
        turns.compete(failing, [], rounds=1, threads=1, reference="z")


def test_without_the_reference_there_is_nothing_to_compare_with(tmp_path):
    with pytest.raises(RuntimeError, match="'c' is missing: ImportError: No module named 'absent'"):
        turns.compete(
            {**makers(tmp_path / "diary"), "c": absent}, [], rounds=1, threads=1, reference="c"
        )


def test_the_environment_is_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    turns.compete({"c": absent}, [], rounds=1, threads=1, reference="c")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_quartiles_are_numpys():
    assert turns.quartiles([3, 1, 2, 5, 4]) == [2, 3, 4]


def test_the_machine_is_described():
    machine = describe()
    assert machine["versions"]["numpy"] == np.__version__
    assert machine["cores"] >= 1
    assert machine["memory"] > 0.1
    json.dumps(machine)


def test_a_part_can_be_run_alone(tmp_path, capsys):
    row = {"task": {"size": 1}, "name": "a", "seconds": [1, 2, 3], "ratio": [1, 1, 1]}

    def measure(threads, rounds=5):
        return {"settings": {"threads": threads, "rounds": rounds}, "results": [row], "missing": {}}

    out = tmp_path / "new" / "part.json"
    turns.command("One line.", measure, ["--threads", "1", "--out", str(out)])
    assert json.loads(out.read_text())["settings"] == {"threads": 1, "rounds": 5}
    assert "2000.000 ms" in capsys.readouterr().out
