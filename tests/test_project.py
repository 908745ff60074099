"""The descriptions of one environment agree: pyproject, lock file, conda, workflows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCKS = {
    name: (ROOT / name).read_text("utf-8")
    for name in ("requirements.lock", "requirements-peers.lock")
}
VERSIONS = ["3.11", "3.12", "3.13"]


def requirements(*extras: str) -> list[Requirement]:
    """What the project asks for directly, without its own name."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found = [Requirement(line) for line in lines]
    return [r for r in found if canonicalize_name(r.name) != canonicalize_name(PROJECT["name"])]


def entries(lock: str) -> list[str]:
    """What a lock file pins: each version with its hashes."""
    return re.split(r"\n(?=\S)", LOCKS[lock].strip())


def locked(lock: str = "requirements.lock") -> dict[str, set[str]]:
    """Versions in a lock file, by name."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCKS[lock], re.MULTILINE):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


def conda() -> dict[str, Requirement]:
    """What environment.yml asks for, conda's part and pip's part together, by name."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    lines = [line for line in content["dependencies"] if isinstance(line, str)]
    for entry in content["dependencies"]:
        lines += entry["pip"] if isinstance(entry, dict) else []
    found = [Requirement(line) for line in lines if not line.startswith("-")]
    return {canonicalize_name(r.name): r for r in found}


def directly_needed() -> list[Requirement]:
    return requirements("book", "dev", "jax")


def test_the_extras_exist():
    assert {"gpu", "jax", "dev", "book", "peers"} <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("wanted", directly_needed(), ids=lambda r: r.name)
def test_lock_file_satisfies(wanted: Requirement):
    versions = locked().get(canonicalize_name(wanted.name), set())
    assert versions, f"{wanted.name} is not in requirements.lock: run `make lock`"
    for version in versions:
        assert wanted.specifier.contains(version, prereleases=True), (wanted, version)


@pytest.mark.parametrize("wanted", requirements("peers"), ids=lambda r: r.name)
def test_lock_file_of_the_peers_satisfies(wanted: Requirement):
    versions = locked("requirements-peers.lock").get(canonicalize_name(wanted.name), set())
    assert versions, f"{wanted.name} is not in requirements-peers.lock: run `make lock`"
    for version in versions:
        assert wanted.specifier.contains(version, prereleases=True), (wanted, version)


def test_benchmarks_run_on_the_versions_of_the_book():
    common, theirs = locked(), locked("requirements-peers.lock")
    assert {name: theirs.get(name) for name in common} == common
    hashed = set(entries("requirements-peers.lock"))
    assert [entry for entry in entries("requirements.lock") if entry not in hashed] == []


@pytest.mark.parametrize("wanted", directly_needed(), ids=lambda r: r.name)
def test_conda_environment_asks_for_the_same(wanted: Requirement):
    asked = conda().get(canonicalize_name(wanted.name))
    assert asked is not None, f"{wanted.name} is not in environment.yml"
    assert asked.specifier == wanted.specifier


def test_conda_environment_asks_for_nothing_else():
    known = {canonicalize_name(r.name) for r in directly_needed()} | {"python", "pip"}
    assert set(conda()) <= known


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_file_has_a_hash_and_no_host(lock: str):
    assert "://" not in LOCKS[lock]
    assert not re.search(r"^\s*(-i|--(extra-)?index-url|--find-links)", LOCKS[lock], re.MULTILINE)
    assert all("--hash=sha256:" in entry for entry in entries(lock))


def test_python_versions_agree():
    declared = SpecifierSet(PROJECT["requires-python"])
    assert conda()["python"].specifier == declared
    assert [v for v in (f"3.{n}" for n in range(30)) if f"{v}.5" in declared] == VERSIONS
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text("utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == VERSIONS


def test_workflows_run_only_the_two_commands():
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
        commands = {step["run"] for job in jobs for step in job["steps"] if "run" in step}
        assert commands <= {"make test", "make book"}, path.name


def test_ci_runs_make_test():
    script = (ROOT / ".ci/run").read_text("utf-8").splitlines()
    assert script[0] == "#!/usr/bin/env bash"
    assert script[-1] == "exec make test"
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
