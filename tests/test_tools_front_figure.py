"""The figure of the front page and the README is the one that the notebook computed."""

from __future__ import annotations

import base64
import io
import re

import nbformat
import pytest
from PIL import Image

from tools import front_figure, notebooks


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), colour).save(buffer, "PNG")
    return buffer.getvalue()


def make(*figures: bytes, cell_id: str = front_figure.CELL) -> nbformat.NotebookNode:
    """A notebook with one code cell that prints, and draws these figures."""
    cell = nbformat.v4.new_code_cell("draw()", id=cell_id)
    cell.outputs = [nbformat.v4.new_output("stream", text="steps\n")]
    for content in figures:
        data = {"image/png": base64.encodebytes(content).decode(), "text/plain": "<Figure>"}
        cell.outputs.append(nbformat.v4.new_output("display_data", data=data))
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"), cell])


@pytest.fixture
def book(tmp_path, monkeypatch):
    """An empty book in a folder of its own."""
    monkeypatch.setattr(notebooks, "BOOK", tmp_path)
    (tmp_path / front_figure.SOURCE).parent.mkdir()
    return tmp_path


def save(book, notebook) -> None:
    (book / front_figure.SOURCE).write_text(notebooks.dumps(notebook), "utf-8")


def test_committed_figure_is_the_output_of_the_notebook():
    source = notebooks.BOOK / front_figure.SOURCE
    computed = front_figure.figure(notebooks.read(source), front_figure.CELL)
    committed = (notebooks.BOOK / front_figure.TARGET).read_bytes()
    assert committed == computed, "run `python -m tools.front_figure`"


@pytest.mark.parametrize(
    ("page", "image"),
    [
        ("index.md", r"\{figure\} _static/best-figure\.png\n:alt: \S"),
        ("../README.md", r"!\[[^]]+\]\(book/_static/best-figure\.png\)"),
    ],
)
def test_pages_show_it_and_say_what_it_shows(page, image):
    assert re.search(image, (notebooks.BOOK / page).read_text("utf-8"))


def test_figure_is_taken_byte_for_byte():
    assert front_figure.figure(make(png("blue")), front_figure.CELL) == png("blue")


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (make(png("blue"), cell_id="other"), "no code cell has the id 'curves-figure'"),
        (make(), "has 0 PNG outputs"),
        (make(png("blue"), png("red")), "has 2 PNG outputs"),
    ],
)
def test_anything_but_one_figure_is_an_error(notebook, message):
    with pytest.raises(ValueError, match=message):
        front_figure.figure(notebook, front_figure.CELL)


def test_written_only_if_changed(book, capsys):
    target = book / front_figure.TARGET
    save(book, make(png("blue")))
    assert front_figure.main() == 0
    assert target.read_bytes() == png("blue")
    before = target.stat().st_mtime_ns
    assert front_figure.main() == 0
    assert target.stat().st_mtime_ns == before
    assert "unchanged" in capsys.readouterr().out
    save(book, make(png("red")))
    assert front_figure.main() == 0
    assert target.read_bytes() == png("red")


def test_without_a_figure_the_old_one_stays_and_the_command_fails(book, capsys):
    save(book, make(png("blue")))
    front_figure.main()
    save(book, make())
    assert front_figure.main() == 1
    assert "nothing was written" in capsys.readouterr().err
    assert (book / front_figure.TARGET).read_bytes() == png("blue")
