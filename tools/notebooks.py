"""Notebooks as files: find them, say when their outputs are out of date, clean and merge them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import re
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
SIZE_LIMIT = 600_000  # bytes of one committed notebook
TRUE_COLOUR_LIMIT = 40_000  # bytes of one figure; above, its colours are reduced to 256

# Files beside the notebooks that a cell may read: a change of one is a change of the notebook.
DATA_SUFFIXES = {".json", ".csv", ".txt", ".py"}
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def find() -> list[Path]:
    """All notebooks of the book, in alphabetical order."""
    return sorted(p for p in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook in the current format."""
    return nbformat.read(path, as_version=4)


def dumps(notebook: nbformat.NotebookNode) -> str:
    """The text of a notebook file, the same on every machine."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write a file unless it holds this already, so that its time stamp means something."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return True


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that are executed, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def environment_digest() -> str:
    """What every notebook's outputs depend on: package, data, lock file, scale, Python."""
    digest = hashlib.sha256()
    package = [p for p in (ROOT / "textgen_utils").rglob("*") if p.is_file()]
    data = [p for p in BOOK.rglob("*") if p.suffix in DATA_SUFFIXES]
    for path in sorted([*package, *data, ROOT / "requirements.lock"]):
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name in ("TEXTGEN_SCALE", "TEXTGEN_DATA", "KERAS_BACKEND"):
        digest.update(f"{name}={os.environ.get(name, '')}\0".encode())
    digest.update(platform.python_version().encode())
    return digest.hexdigest()


def key(notebook: nbformat.NotebookNode, environment: str) -> str:
    """Identify the outputs of a notebook: equal keys mean that nothing needs to run again."""
    cells = [
        (cell.source, "raises-exception" in cell.metadata.get("tags", []))
        for cell in code_cells(notebook)
    ]
    return hashlib.sha256(json.dumps([environment, cells]).encode()).hexdigest()


def merge(prose: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put the outputs of an executed notebook into one whose code is the same.

    Raises:
        ValueError: the two have different code cells.
    """
    ours, theirs = code_cells(prose), code_cells(executed)
    if [cell.source for cell in ours] != [cell.source for cell in theirs]:
        raise ValueError("cannot merge: the code cells of the two notebooks differ")
    for cell, done in zip(ours, theirs, strict=True):
        cell.outputs = done.outputs
        cell.execution_count = done.execution_count
    return prose


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs between two identical runs, and make figures small."""
    notebook.metadata = nbformat.from_dict(
        {
            **{k: v for k, v in notebook.metadata.items() if k not in ("widgets", "papermill")},
            "kernelspec": KERNELSPEC,
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        for name in ("execution", "collapsed", "ExecuteTime"):
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            # stderr has progress bars and library noise: never the same twice, and not the book's
            outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.outputs = [_clean_output(output) for output in _joined_streams(outputs)]
    return notebook


def _joined_streams(outputs: list) -> list:
    """Join neighbouring pieces of one stream: where they break depends on timing."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        same = last and output.output_type == last.output_type == "stream"
        if same and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _clean_output(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    if "traceback" in output:
        output.traceback = [without_machine(line) for line in output.traceback]
    data = output.get("data", {})
    data.pop("application/vnd.jupyter.widget-view+json", None)
    if "image/png" in data:
        data["image/png"] = shrink_png(data["image/png"])
    return output


def without_machine(line: str) -> str:
    """A line of a traceback without the folders of the machine that made it."""
    line = line.replace(f"{ROOT}{os.sep}", "")
    return re.sub(r"[^\s'\"<>\x1b]*/(site-packages|lib/python3\.\d+)/", r"\1/", line)


def shrink_png(encoded: str) -> str:
    """Re-encode a base64 PNG: no metadata, and a palette where true colour would be large."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if image.mode == "P" and not image.info:  # reduced already: a second time would change it
        return encoded
    image = image.convert("RGB")
    content = _png(image)
    if len(content) > TRUE_COLOUR_LIMIT:
        content = _png(image.quantize(256, dither=Image.Dither.NONE))
    return base64.b64encode(content).decode()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
