"""Copy the figure of the front page out of the notebook that computes it.

python -m tools.front_figure     what_a_network_adds.ipynb -> book/_static/best-figure.png
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import nbformat

from tools import notebooks

SOURCE = Path("cross_entropy/what_a_network_adds.ipynb")  # below book/, as is TARGET
CELL = "curves-figure"
TARGET = Path("_static/best-figure.png")


def figure(notebook: nbformat.NotebookNode, cell_id: str) -> bytes:
    """The bytes of the one PNG among the outputs of a cell.

    Raises:
        ValueError: there is no such code cell, or it has no figure or several.
    """
    cells = [cell for cell in notebooks.code_cells(notebook) if cell.id == cell_id]
    if not cells:
        raise ValueError(f"no code cell has the id {cell_id!r}")
    found = [output.get("data", {}).get("image/png") for output in cells[0].outputs]
    found = [encoded for encoded in found if encoded]
    if len(found) != 1:
        raise ValueError(f"cell {cell_id!r} has {len(found)} PNG outputs, and one is expected")
    return base64.b64decode(found[0])


def main() -> int:
    """Command line; without arguments."""
    source, target = notebooks.BOOK / SOURCE, notebooks.BOOK / TARGET
    try:
        content = figure(notebooks.read(source), CELL)
    except ValueError as problem:
        print(f"book/{SOURCE.as_posix()}: {problem}; nothing was written", file=sys.stderr)
        return 1
    changed = notebooks.write_if_changed(target, content)
    print(f"book/{TARGET.as_posix()}: {'written' if changed else 'unchanged'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
