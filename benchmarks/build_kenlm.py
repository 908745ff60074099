"""Build `lmplz`, the program of KenLM that estimates models, for the benchmarks.

    python -m benchmarks.build_kenlm

Downloads the source of KenLM with pip, builds with CMake in a temporary folder (about a minute) and
puts the program beside the running Python. Needed: a C++ compiler, CMake, and the headers and
libraries of Boost (Debian: libboost-program-options-dev, libboost-system-dev, libboost-thread-dev,
libboost-test-dev). Does nothing where there is a `lmplz`, and says what is missing where it cannot
be built: that is no failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

SOURCE = (
    "kenlm==0.3.0 --hash=sha256:c4628bb9fb63c8a6f9240035b8b037385cfc404cb72e933cf48878291edac1e8\n"
)
BIN = Path(sys.executable).parent
Run = Callable[[list[str]], None]


def find_lmplz() -> str | None:
    """Return the path of `lmplz`: in the folder KENLM_BIN, beside this Python, or on PATH."""
    folders = [os.environ.get("KENLM_BIN"), str(BIN), os.environ.get("PATH")]
    return shutil.which("lmplz", path=os.pathsep.join(filter(None, folders)))


def build(target: Path, run: Run) -> Path:
    """Download, configure, compile, and return the program's path in `target`.

    Args:
        target: an existing folder.
        run: executes a command; raises CalledProcessError if it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "source.txt").write_text(SOURCE)
        get = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes"]
        get += ["--no-build-isolation", "-r", str(folder / "source.txt"), "-d", name]
        run([sys.executable, "-m", "pip", *get])
        (archive,) = folder.glob("kenlm-*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        made = folder / "build"
        source = archive.name.removesuffix(".tar.gz")
        configure = ["-S", str(folder / source), "-B", str(made), "-DCMAKE_BUILD_TYPE=Release"]
        run(["cmake", *configure, "-DCMAKE_POLICY_VERSION_MINIMUM=3.5"])
        run(["cmake", "--build", str(made), "--target", "lmplz", "--parallel", str(os.cpu_count())])
        return Path(shutil.copy(made / "bin/lmplz", target))


def main() -> None:
    """Build it if it is not there; say so if that is not possible."""
    if found := find_lmplz():
        print(f"{found} is there")
        return
    try:
        print(f"built {build(BIN, _quietly)}")
    except FileNotFoundError as error:
        print(f"lmplz was not built: there is no {error.filename}")
    except subprocess.CalledProcessError as error:
        why = [line for line in error.stderr.splitlines() if line.strip()]
        print(f"lmplz was not built: {error.cmd[0]} says:", *why[:8], sep="\n  ")


def _quietly(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
