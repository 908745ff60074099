"""Keys, merging and cleaning of notebooks."""

from __future__ import annotations

import base64
import io

import nbformat
import numpy as np
import pytest
from PIL import Image

from tools import notebooks


def make(*cells):
    """A notebook from pairs (id, source); a source that begins with # is prose."""
    notebook = nbformat.v4.new_notebook()
    for name, source in cells:
        prose = source.startswith("#")
        new = nbformat.v4.new_markdown_cell if prose else nbformat.v4.new_code_cell
        notebook.cells.append(new(source, id=name))
    return notebook


def png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=None, dpi=(110, 110))
    return base64.b64encode(buffer.getvalue()).decode()


def test_key_does_not_see_prose():
    before = make(("title", "# A"), ("work", "1 + 1"))
    after = make(("title", "# B"), ("more", "# C"), ("work", "1 + 1"))
    assert notebooks.key(before, "e") == notebooks.key(after, "e")


@pytest.mark.parametrize(
    ("cells", "environment"), [([("work", "1 + 2")], "e"), ([("work", "1 + 1")], "f")]
)
def test_key_sees_code_and_environment(cells, environment):
    assert notebooks.key(make(("work", "1 + 1")), "e") != notebooks.key(make(*cells), environment)


@pytest.mark.parametrize("name", ["textgen_utils/a.py", "requirements.lock", "book/x/record.json"])
def test_environment_sees_every_file_that_cells_may_read(tmp_path, monkeypatch, name):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "BOOK", tmp_path / "book")
    for file in ("textgen_utils/a.py", "requirements.lock", "book/x/record.json", "book/x/a.md"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("one")
    before = notebooks.environment_digest()
    (tmp_path / "book/x/a.md").write_text("other prose")
    assert notebooks.environment_digest() == before
    (tmp_path / name).write_text("two")
    assert notebooks.environment_digest() != before


def test_merge_puts_outputs_under_new_prose():
    executed = make(("title", "# A"), ("work", "1 + 1"))
    executed.cells[1].execution_count = 1
    executed.cells[1].outputs = [nbformat.v4.new_output("stream", text="two")]
    merged = notebooks.merge(make(("title", "# B"), ("work", "1 + 1")), executed)
    assert merged.cells[0].source == "# B"
    assert merged.cells[1].outputs[0].text == "two"
    assert merged.cells[1].execution_count == 1


def test_merge_refuses_other_code():
    with pytest.raises(ValueError, match="code cells of the two notebooks differ"):
        notebooks.merge(make(("work", "1 + 1")), make(("work", "1 + 2")))


def test_normalise_drops_what_differs_between_runs_and_is_idempotent():
    notebook = make(("work", "1 + 1"))
    notebook.metadata = nbformat.from_dict(
        {"widgets": {"a": 1}, "language_info": {"name": "python", "version": "3.11.7"}}
    )
    notebook.cells[0].metadata = nbformat.from_dict(
        {"execution": {"iopub.execute_input": "12:00"}, "tags": ["hide-input"]}
    )
    new = nbformat.v4.new_output
    notebook.cells[0].outputs = [new("stream", text="a"), new("stream", text="b")]
    text = notebooks.dumps(notebooks.normalise(notebook))
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.language_info == {"name": "python"}
    assert notebook.cells[0].metadata == {"tags": ["hide-input"]}
    assert [output.text for output in notebook.cells[0].outputs] == ["ab"]
    assert notebooks.dumps(notebooks.normalise(notebook)) == text


def test_a_small_png_keeps_its_pixels_and_loses_its_metadata():
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:20] = (200, 100, 50)
    image = Image.open(io.BytesIO(base64.b64decode(notebooks.shrink_png(png(pixels)))))
    assert np.array_equal(np.asarray(image.convert("RGB")), pixels)
    assert image.info == {}


def test_a_large_png_becomes_small_and_stays_close():
    ramp = np.linspace(0, 255, 600)[None, :, None] * np.ones((400, 1, 3))
    noise = np.random.default_rng(0).integers(-6, 7, ramp.shape)
    pixels = np.clip(ramp + noise, 0, 255).astype(np.uint8)
    shrunk = notebooks.shrink_png(png(pixels))
    image = Image.open(io.BytesIO(base64.b64decode(shrunk))).convert("RGB")
    assert len(shrunk) < 0.6 * len(png(pixels))
    assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 8
    assert notebooks.shrink_png(shrunk) == shrunk


def test_tracebacks_lose_the_folders_of_the_machine():
    line = f"File {notebooks.ROOT}/textgen_utils/a.py:3, and /home/me/x/site-packages/keras/b.py:7"
    assert notebooks.without_machine(line) == (
        "File textgen_utils/a.py:3, and site-packages/keras/b.py:7"
    )


def test_write_if_changed_keeps_the_time_stamp(tmp_path):
    path = tmp_path / "a" / "b.txt"
    assert notebooks.write_if_changed(path, b"x")
    stamp = path.stat().st_mtime_ns
    assert not notebooks.write_if_changed(path, b"x")
    assert path.stat().st_mtime_ns == stamp
    assert notebooks.write_if_changed(path, b"y")
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]
