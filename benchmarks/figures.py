"""The figures of a run: those of the page *Benchmarks*, drawn from its record instead."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

PAGE = Path(__file__).resolve().parent.parent / "book/reference/benchmarks.ipynb"
VARIABLE = "TEXTGEN_BENCHMARKS"


def draw(record: Path, page: Path = PAGE) -> tuple[list[Path], list[str]]:
    """Execute the page with a record, and write its figures beside the record.

    Args:
        record: what `benchmarks.suite` has written.
        page: the notebook; it reads the record that the variable `TEXTGEN_BENCHMARKS` names.

    Returns:
        The figures' files, and for each cell that failed its id and its error. An assertion that
        fails is a sentence of the page that does not hold for this record.
    """
    notebook = nbformat.read(page, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=600,
        allow_errors=True,
        resources={"metadata": {"path": str(page.parent)}},
    )
    client.execute(env={**os.environ, VARIABLE: str(record.resolve())})
    pictures, errors = [], []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        errors += [
            f"{cell.id}: {output.ename} {output.evalue}"
            for output in outputs
            if output.output_type == "error"
        ]
        for output in outputs:
            picture = output.get("data", {}).get("image/png")
            if picture:
                name = re.sub(r"\W+", "-", cell.id)
                pictures.append(record.parent / f"{name}.png")
                pictures[-1].write_bytes(base64.b64decode(picture))
    return pictures, errors
