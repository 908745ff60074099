import os

import pytest

from textgen_utils import files


def test_text_and_bytes_arrive_unchanged(tmp_path):
    path = files.write_atomically(tmp_path / "new" / "a.txt", "é\r\n猫\n")
    assert path.read_bytes() == "é\r\n猫\n".encode()
    assert files.write_atomically(str(path), b"\x00\xff").read_bytes() == b"\x00\xff"


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = files.write_atomically(tmp_path / "a.txt", "old")

    def fail(source, target):
        raise OSError("disk trouble")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk trouble"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_permissions_are_those_of_an_ordinary_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    path = files.write_atomically(tmp_path / "a.txt", "x")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
