"""Every committed notebook keeps the book's conventions: outputs, ids, alt texts, size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import notebooks

PATHS = notebooks.find()
ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
HASH = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){0,3}(-?[0-9a-f]{12})?")
# Tags with a meaning here. `nbval-skip` has none: every cell runs in the tests.
TAGS = {
    "raises-exception",
    "nbval-ignore-output",
    "hide-input",
    "hide-output",
    "hide-cell",
    "remove-input",
    "remove-output",
    "remove-cell",
    "scroll-output",
}


@pytest.fixture(params=PATHS, ids=lambda p: p.relative_to(notebooks.BOOK).as_posix())
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return notebooks.read(path)


def test_file_is_small(path):
    assert path.stat().st_size <= notebooks.SIZE_LIMIT


def test_file_is_as_make_execute_writes_it(path, notebook):
    clean = notebooks.dumps(notebooks.normalise(notebook))
    assert path.read_text("utf-8") == clean, f"run `make execute NB={path}`"


def test_outputs_are_those_of_one_run_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in notebooks.code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_error_but_where_one_is_meant(notebook):
    for cell in notebooks.code_cells(notebook):
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == ("raises-exception" in cell.metadata.get("tags", [])), cell.id


def test_cells_have_meaningful_ids(notebook):
    ids = [cell.id for cell in notebook.cells]
    assert [i for i in ids if not ID.fullmatch(i) or HASH.fullmatch(i)] == []
    assert len(set(ids)) == len(ids)


def test_first_code_cell_sets_the_run_up(notebook):
    assert "runtime.setup(" in notebooks.code_cells(notebook)[0].source


def test_begins_with_a_title(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.search(r"^# \S", first.source, re.MULTILINE)


def test_tags_are_known(notebook):
    for cell in notebook.cells:
        assert set(cell.metadata.get("tags", [])) <= TAGS, cell.id


def test_figures_have_alt_text(notebook):
    for cell in notebooks.code_cells(notebook):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert alt.strip(), f"cell '{cell.id}' draws a figure: say in words what it shows"


def test_outputs_name_no_folder_of_a_machine(notebook):
    for cell in notebooks.code_cells(notebook):
        for output in cell.outputs:
            text = str({k: v for k, v in output.items() if k != "data"})
            text += str({k: v for k, v in output.get("data", {}).items() if k.startswith("text")})
            assert str(notebooks.ROOT) not in text, cell.id
            assert str(Path.home()) + "/" not in text, cell.id
