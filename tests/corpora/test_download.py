"""Downloads, tried against a server of our own on the loopback interface."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from textgen_utils.corpora import download

CONTENT = bytes(range(256)) * 4000  # about 1 MB, four chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "folder/data.bin"


class Handler(BaseHTTPRequestHandler):
    """Answers by `server.plan`, a list with one behaviour for each request; the last one stays."""

    def do_GET(self):
        plan = self.server.plan
        how = plan.pop(0) if len(plan) > 1 else plan[0]
        self.server.ranges.append(self.headers.get("Range"))
        if isinstance(how, int):
            self.send_error(how)
            return
        content = b"something else" if how == "wrong" else CONTENT
        start = 0
        if self.headers.get("Range") and how != "ignore range":
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if how == "cut" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.plan, server.ranges = ["serve"], []
        server.url = f"http://127.0.0.1:{server.server_port}/data.bin"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("TEXTGEN_DATA", raising=False)
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def fetch(url, sha256=SHA256):
    return download.fetch(NAME, url, sha256, timeout=10, pause=0)


def test_downloads_once_and_then_reads_the_cache(server, cache):
    path = fetch(server.url)
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert not list(cache.rglob("*.part"))
    assert fetch(server.url) == path
    assert len(server.ranges) == 1


def test_default_cache_is_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("TEXTGEN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".cache" / "textgen_utils"


def test_damaged_file_in_the_cache_is_replaced(server, cache):
    fetch(server.url).write_bytes(b"damaged")
    assert fetch(server.url).read_bytes() == CONTENT


def test_wrong_digest_is_named_and_the_download_deleted(server, cache):
    server.plan = ["wrong"]
    with pytest.raises(OSError, match="is not the expected file") as caught:
        fetch(server.url)
    found = hashlib.sha256(b"something else").hexdigest()
    for part in (NAME, server.url, SHA256, found, "TEXTGEN_DATA"):
        assert part in str(caught.value)
    assert not [p for p in cache.rglob("*") if p.is_file() and not p.name.endswith(".lock")]
    assert len(server.ranges) == 1


def test_truncated_download_goes_on_where_it_stopped(server):
    server.plan = ["cut", "serve"]
    assert fetch(server.url).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_later_run_goes_on_where_the_earlier_stopped(server, cache):
    server.plan = ["cut", 503]
    with pytest.raises(OSError, match="cannot download") as caught:
        fetch(server.url)
    assert "503" in str(caught.value)
    assert (cache / f"{NAME}.part").stat().st_size == len(CONTENT) // 2
    server.plan, server.ranges = ["serve"], []
    assert fetch(server.url).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) // 2}-"]


def test_always_truncated_download_says_how_far_it_came(server, cache):
    server.plan = ["cut"]
    with pytest.raises(OSError, match=r"ended after \d+ of 1024000 bytes"):
        fetch(server.url)
    assert not (cache / NAME).exists()


def test_server_that_cannot_resume_sends_all_again(server):
    server.plan = ["cut", "ignore range"]
    assert fetch(server.url).read_bytes() == CONTENT
    assert len(server.ranges) == 2


@pytest.mark.parametrize("rest", [b"another file", CONTENT + b"too long"])
def test_useless_rest_of_an_earlier_download_is_discarded(server, cache, rest):
    part = cache / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(rest)
    assert fetch(server.url).read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_missing_page_is_not_asked_for_again(server):
    server.plan = [404]
    with pytest.raises(OSError, match="404"):
        fetch(server.url)
    assert len(server.ranges) == 1


def test_without_a_network_the_message_says_what_to_do(server):
    server.plan = ["serve"]
    closed = "http://127.0.0.1:9/data.bin"  # the discard port: nothing listens
    with pytest.raises(OSError, match="cannot download") as caught:
        fetch(closed)
    for part in (NAME, closed, SHA256, "TEXTGEN_DATA", "refused"):
        assert part in str(caught.value)


def test_cache_that_cannot_be_made_names_the_variable(server, tmp_path, monkeypatch):
    (tmp_path / "a_file").write_text("")
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "a_file" / "cache"))
    with pytest.raises(OSError, match=r"a_file/cache/folder.*TEXTGEN_CACHE"):
        fetch(server.url)
    assert not server.ranges


def test_read_only_cache_names_the_variable(server, cache, monkeypatch):
    # Permission bits do not stop a superuser, so the system's answer is replaced.
    monkeypatch.setattr(download.os, "access", lambda path, mode: False)
    with pytest.raises(OSError, match=r"no permission to write in .*TEXTGEN_CACHE"):
        fetch(server.url)
    assert not server.ranges


def test_finished_file_in_a_read_only_cache_is_used(server, cache, monkeypatch):
    path = fetch(server.url)
    monkeypatch.setattr(download.os, "access", lambda path, mode: False)
    assert fetch(server.url) == path
    assert len(server.ranges) == 1


def test_data_folder_comes_first_and_is_verified(server, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("TEXTGEN_DATA", str(tmp_path / "data"))
    with pytest.raises(FileNotFoundError) as caught:
        fetch(server.url)
    for part in (NAME, str(tmp_path / "data"), server.url, SHA256):
        assert part in str(caught.value)

    path = tmp_path / "data" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(server.url) == path

    path.write_bytes(b"other")
    with pytest.raises(OSError, match="is not the expected file") as caught:
        fetch(server.url)
    for part in (str(path), SHA256, hashlib.sha256(b"other").hexdigest()):
        assert part in str(caught.value)
    assert path.read_bytes() == b"other"  # the user's file is left alone
    assert not cache.exists()
    assert not server.ranges


def test_two_at_once_download_once(server, cache):
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch(server.url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / NAME] * 4
    assert len(server.ranges) == 1
