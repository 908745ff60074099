"""Files from the network: fetched when wanted, verified always.

Every file is named by its digest (SHA-256), so it does not matter where it comes from:

1. the folder in the environment variable `TEXTGEN_DATA`, if that is set: nothing is downloaded;
2. the cache folder, `TEXTGEN_CACHE` or else `~/.cache/textgen_utils`;
3. its URL, through a `.part` file in the cache that an interrupted download goes on from.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

_CHUNK = 1 << 18
_ATTEMPTS = 3
_PERMANENT = (400, 401, 403, 404, 410)
_PASSING = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


def fetch(
    relative_path: str, url: str, sha256: str, *, timeout: float = 30.0, pause: float = 1.0
) -> Path:
    """Returns the path of a local copy of a file, downloading it if there is none.

    Args:
        relative_path: where the file lies inside the data folder and the cache, with "/".
        url: where to download it from.
        sha256: its digest, 64 hexadecimal digits.
        timeout: seconds to wait for an answer of the server.
        pause: seconds before the second attempt, doubled for each further one.

    Returns:
        Path of the file; its digest has been checked.

    Raises:
        FileNotFoundError: `TEXTGEN_DATA` is set and the file is not in it.
        OSError: the digest is wrong, the file cannot be downloaded, or the cache cannot be
            written to. The message says what to do.
        ValueError: `sha256` is no digest.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"sha256 must be 64 lower-case hexadecimal digits, got {sha256!r}")
    folder = os.environ.get("TEXTGEN_DATA")
    if folder:
        return _from_data_folder(Path(folder), relative_path, url, sha256)
    target = cache_folder() / relative_path
    if not target.exists():
        _make_writable(target.parent)
    with _locked(target):
        if target.exists():
            if digest(target) == sha256:
                return target
            _make_writable(target.parent)
            target.unlink()  # damaged since it was verified
        _download(target, relative_path, url, sha256, timeout, pause)
    return target


def cache_folder() -> Path:
    """The folder that downloads are kept in: `TEXTGEN_CACHE`, or `~/.cache/textgen_utils`."""
    folder = os.environ.get("TEXTGEN_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "textgen_utils"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_data_folder(folder: Path, relative_path: str, url: str, sha256: str) -> Path:
    path = folder / relative_path
    if not path.is_file():
        raise FileNotFoundError(
            f"TEXTGEN_DATA={folder} has no file {relative_path!r}. Put it there (from {url}, "
            f"SHA-256 {sha256}), or unset TEXTGEN_DATA to let it be downloaded."
        )
    found = digest(path)
    if found != sha256:
        raise OSError(
            f"{path} is not the expected file: its SHA-256 is {found}, expected {sha256}. "
            f"Replace it by the one from {url}, or unset TEXTGEN_DATA."
        )
    return path


def _download(
    target: Path, relative_path: str, url: str, sha256: str, timeout: float, pause: float
) -> None:
    part = target.with_name(target.name + ".part")
    problem: Exception | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        resumed = part.exists() and part.stat().st_size > 0
        try:
            _transfer(url, part, relative_path, timeout)
        except urllib.error.HTTPError as error:
            problem = error
            if error.code == 416:  # the server has nothing beyond what we have: check that
                part.unlink()
            elif error.code in _PERMANENT:
                break
            continue
        except _PASSING as error:
            problem = error
            continue
        found = digest(part)
        if found == sha256:
            os.replace(part, target)
            return
        part.unlink()
        problem = OSError(f"SHA-256 is {found}, expected {sha256}")
        if not resumed:
            raise OSError(
                f"{url} is not the expected file: SHA-256 of {relative_path!r} is {found}, "
                f"expected {sha256}. The download was deleted. Get the file elsewhere and put it "
                f"in a folder as {relative_path!r}, then set TEXTGEN_DATA to that folder."
            )
    raise OSError(
        f"cannot download {relative_path!r} from {url}: {problem}. Try again where there is a "
        f"network (what has arrived is kept), or put the file (SHA-256 {sha256}) in a folder as "
        f"{relative_path!r} and set TEXTGEN_DATA to that folder."
    ) from problem


def _transfer(url: str, part: Path, name: str, timeout: float) -> None:
    """Appends to `part` what the server still has to give."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "textgen_utils"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=timeout) as response:
        if start and response.status != 206:
            start = 0  # the server sends the whole file
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = tqdm(
            desc=name, total=total, initial=start, unit="B", unit_scale=True,
            ascii=True, leave=False, mininterval=0.5,
        )  # fmt: skip
        with open(part, "ab" if start else "wb") as file, bar:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    arrived = part.stat().st_size
    if total is not None and arrived < total:
        raise ConnectionError(f"the connection ended after {arrived} of {total} bytes")


def _make_writable(folder: Path) -> None:
    """Makes a folder of the cache, and explains a refusal to write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"no permission to write in {folder}")
    except OSError as error:
        raise OSError(
            f"cannot write to the cache folder {folder}: {error}. Set TEXTGEN_CACHE to a "
            "folder that can be written to, or TEXTGEN_DATA to one that has the data."
        ) from error


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Lets one process at a time work on `target` (where the system has such locks)."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    if not os.access(target.parent, os.W_OK):  # a finished file in a read-only cache
        yield
        return
    lock = target.with_name(f".{target.name}.lock")
    with open(lock, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
