"""The book's own times: rows of the common form, nothing executed twice, a site weighed by hand."""

from __future__ import annotations

import json

import pytest

from benchmarks import house, site
from tests.test_tools_notebooks import make
from tools import execute, notebooks


def test_package_loads_no_backend():
    found = house.imports()
    assert found["modules"] >= 1
    assert not {"tensorflow", "jax", "torch", "keras"} & set(found["libraries"])


def test_a_process_takes_the_time_that_it_sleeps():
    seconds = house.process_seconds(["-c", "import time; time.sleep(0.5)"], 1)
    assert 0.5 < seconds < 10


def test_a_process_that_fails_is_told_with_its_error():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        house.process_seconds(["-c", "1 / 0"], 1)


def test_first_cell_includes_what_the_cell_does():
    assert house.first_cell_seconds("import time; time.sleep(1)", 1) > 1


def test_ratio_is_that_of_the_same_round():
    row = house.row({}, "a", [2.0, 6.0, 4.0], first=9.0, ours=[1.0, 2.0, 4.0])
    assert row["ratio"] == [1.5, 2.0, 2.5]
    assert row["seconds"] == [3.0, 4.0, 5.0]
    assert (row["first"], row["rounds"]) == (9.0, 3)


def test_notebooks_that_are_current_are_not_executed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "BOOK", tmp_path / "book")
    monkeypatch.setattr(execute, "EXECUTED", tmp_path / "_build")
    (tmp_path / "requirements.lock").write_text("")
    (tmp_path / "book").mkdir()
    (tmp_path / "book/a.ipynb").write_text(notebooks.dumps(make(("work", "1 + 1"))))
    assert house.execute_notebooks()[0] == 1
    assert house.execute_notebooks()[0] == 0
    (row,) = house.notebook_rows()
    record = json.loads((tmp_path / "_build/a.json").read_text())
    assert row["task"] == {"part": "notebook", "notebook": "a"}
    assert row["seconds"] == [record["seconds"]] * 3
    assert row["memory"] == record["memory"]


def test_weight_of_a_small_site(tmp_path):
    page = '<link rel="stylesheet" href="_static/a.css?v=1"/><script src="_static/b.js"></script>'
    page += '<img alt="" src="https://elsewhere/x.png"><a href="_static/c.bin">not loaded</a>'
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static/a.css").write_bytes(b"x" * 10)
    (tmp_path / "_static/b.js").write_bytes(b"x" * 100)
    (tmp_path / "_static/c.bin").write_bytes(b"x" * 1000)
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "empty.html").write_text("")
    found = site.weight(tmp_path)
    assert (found["files"], found["pages"]) == (5, 2)
    assert found["bytes"] == 1110 + len(page)
    assert found["kinds"] == {".bin": 1000, ".html": len(page), ".js": 100, ".css": 10}
    assert found["loads"]["largest"] == {"page": "index.html", "bytes": len(page) + 110}
    assert found["loads"]["median"] == (len(page) + 110) / 2
    assert list(found["heaviest"]) == ["index.html", "empty.html"]


def test_site_without_a_page_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no page"):
        site.weight(tmp_path)
