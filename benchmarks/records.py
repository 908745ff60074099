"""A recorded run: what of it is there already, its figures, and when and where they were made."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from textgen_utils import runtime
from textgen_utils.files import write_atomically


def options(doc: str, record: Path, arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what most recorded runs are asked with: `seeds`, 3 unless told, and `out`, a file.

    Args:
        doc: the command's docstring; its first line is the help.
        record: where the record goes unless told.
        arguments: None: those of the command line.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=record)
    return parser.parse_args(arguments)


def finished(path: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs that a record holds already; none if it is not there or of other settings."""
    if not path.exists():
        return []
    old = json.loads(path.read_text())
    return old["runs"] if old["settings"] == settings else []


def save(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, whole or not at all, with date, machine, Python and threads.

    Args:
        path: the file; its folder is made when missing.
        record: what JSON can hold; the four entries are set in it. An infinite number or NaN,
            for which JSON has no form, is written as null.

    Raises:
        OSError: if the file cannot be written.
    """
    record["date"] = datetime.date.today().isoformat()
    record["machine"] = runtime.device_report()
    record["python"] = sys.version.split()[0]
    record["threads"] = os.environ.get("TF_NUM_INTRAOP_THREADS", "as many as cores")
    write_atomically(path, json.dumps(_finite(record), indent=1, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
