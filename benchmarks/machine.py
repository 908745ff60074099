"""What a benchmark ran on: hardware, and versions of what is compared."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from textgen_utils.runtime import cores

LIBRARIES = ("numpy", "tensorflow", "keras", "torch", "transformers", "keras-hub", "nltk", "kenlm")
LIBRARIES += ("jax", "scipy", "jupyter-book", "sphinx")


def machine() -> dict[str, Any]:
    """Return the hardware and the versions of what is compared, as JSON can hold it."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    """Return the machine's memory, GiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return None
