"""Notebooks are really executed: outputs, failures, the cache, the committed file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_tools_notebooks import make
from tools import execute, notebooks


def write(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebooks.dumps(make(*cells)))
    return path


def test_workers_are_as_many_as_cores_up_to_four_and_then_half(monkeypatch):
    for cores, expected in ((1, 1), (2, 2), (3, 3), (4, 4), (6, 4), (16, 8)):
        monkeypatch.setattr(execute, "cores", lambda n=cores: n)
        assert execute.workers() == expected


def test_cells_run_in_the_folder_of_the_notebook(tmp_path):
    (tmp_path / "data.json").write_text("[3]")
    path = write(tmp_path / "a.ipynb", ("read", "import json; json.load(open('data.json'))"))
    done = execute.execute(path, threads=1)
    assert done.error == ""
    assert done.notebook.cells[0].outputs[0].data["text/plain"] == "[3]"
    assert done.notebook.cells[0].execution_count == 1


def test_kernel_gets_its_share_of_threads(tmp_path):
    path = write(tmp_path / "a.ipynb", ("threads", "import os; os.environ['OMP_NUM_THREADS']"))
    done = execute.execute(path, threads=3)
    assert done.notebook.cells[0].outputs[0].data["text/plain"] == "'3'"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_peak_memory_of_the_kernel_is_recorded(tmp_path):
    cells = ("small", "1"), ("large", "b = bytearray(300 * 2**20); del b")
    small = execute.execute(write(tmp_path / "a.ipynb", cells[0]), threads=1)
    large = execute.execute(write(tmp_path / "b.ipynb", *cells), threads=1)
    assert 20 < small.memory < 300
    assert 280 < large.memory - small.memory < 320


def test_no_memory_is_told_of_a_process_that_is_not_there():
    assert execute.peak_memory(2**22 + 1) is None


def test_failing_cell_is_named_with_its_traceback(tmp_path):
    path = write(tmp_path / "a.ipynb", ("fine", "x = 1"), ("divide-by-zero", "x / 0"))
    done = execute.execute(path, threads=1)
    assert "a.ipynb: cell 'divide-by-zero' failed" in done.error
    assert "ZeroDivisionError: division by zero" in done.error


def test_dead_kernel_is_reported(tmp_path):
    path = write(tmp_path / "a.ipynb", ("die", "import os; os._exit(1)"))
    assert "cell 'die' failed" in execute.execute(path, threads=1).error


@pytest.fixture
def book(tmp_path, monkeypatch):
    """An empty book and its cache, in place of the real ones."""
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "BOOK", tmp_path / "book")
    monkeypatch.setattr(execute, "EXECUTED", tmp_path / "_build")
    (tmp_path / "requirements.lock").write_text("")
    return tmp_path / "book"


def test_cache_executes_what_has_changed_and_nothing_else(book, capfd):
    def executed() -> list[str]:
        assert execute.update_cache() == []
        return [line.split()[-1] for line in capfd.readouterr().err.splitlines() if " s " in line]

    write(book / "a.ipynb", ("work", "1 + 1"))
    write(book / "b.ipynb", ("work", "2 + 2"))
    assert sorted(executed()) == ["book/a.ipynb", "book/b.ipynb"]
    assert executed() == []
    write(book / "a.ipynb", ("title", "# New prose"), ("work", "1 + 1"))
    assert executed() == []
    write(book / "b.ipynb", ("work", "2 + 3"))
    assert executed() == ["book/b.ipynb"]


def test_failed_notebook_is_not_cached(book):
    write(book / "a.ipynb", ("fail", "1 / 0"))
    for _ in range(2):
        (error,) = execute.update_cache()
        assert "book/a.ipynb: cell 'fail' failed" in error


def test_the_longest_notebook_is_expected_first(book):
    paths = [write(book / name, ("work", "1")) for name in ("a.ipynb", "b.ipynb")]
    for path, seconds in zip(paths, (1, 2), strict=True):
        record = execute.cached(path, ".json")
        record.parent.mkdir(exist_ok=True)
        record.write_text(json.dumps({"key": "", "seconds": seconds}))
    assert sorted(paths, key=execute.expected_seconds, reverse=True) == paths[::-1]


def test_in_place_writes_outputs_into_the_file(tmp_path):
    path = write(tmp_path / "a.ipynb", ("work", "print(6 * 7)"))
    assert execute.main(["--in-place", str(path)]) == 0
    first = path.read_text()
    assert "42" in first
    assert execute.main(["--in-place", str(path)]) == 0
    assert path.read_text() == first


def test_in_place_refuses_a_large_notebook(tmp_path, capsys):
    path = write(tmp_path / "a.ipynb", ("much", "print('x' * 700_000)"))
    before = path.read_text()
    assert execute.main(["--in-place", str(path)]) == 1
    assert "the limit is 600,000" in capsys.readouterr().err
    assert path.read_text() == before


def test_unknown_notebook_is_refused_before_any_work(tmp_path):
    with pytest.raises(SystemExit):
        execute.main(["--in-place", str(tmp_path / "missing.ipynb")])
