"""Render the site from the book's pages and executed notebooks.

python -m tools.render                           _build/executed -> _build/html
python -m tools.render --committed --out DIR     the committed outputs -> DIR/html
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pkgutil
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from tools import execute, notebooks

ROOT = notebooks.ROOT
NOT_PAGES = {".ipynb_checkpoints", "__pycache__"}
API = "reference/api"  # the page, and the folder of its modules' pages
# Of MathJax only what a page with TeX can ask for, its accessibility menu included.
MATHJAX = ("tex-chtml.js", "output/chtml", "input/tex", "a11y", "sre", "ui")


def site_config(config: dict) -> dict:
    """The configuration that is built: everything about the repository follows from its URL.

    With a URL come the links "repository", "edit", "issue" and the launch buttons; without one
    there are none, rather than dead ones.
    """
    config = {**config, "html": dict(config.get("html", {}))}
    repository = config.get("repository", {})
    known = bool(repository.get("url"))
    for button in ("use_repository_button", "use_edit_page_button", "use_issues_button"):
        config["html"][button] = known
    github = known and "://github.com/" in repository["url"]
    config["launch_buttons"] = {
        "notebook_interface": "jupyterlab",
        "colab_url": "https://colab.research.google.com" if github else "",
        "binderhub_url": "https://mybinder.org" if known else "",
    }
    return config


def public_modules(package: str = "textgen_utils") -> list[str]:
    """Names of the package and of all its modules without a leading underscore."""
    top = importlib.util.find_spec(package)
    if top is None or top.submodule_search_locations is None:
        raise ValueError(f"not an importable package: {package!r}")
    names = [package]
    for module in pkgutil.iter_modules(top.submodule_search_locations):
        name = f"{package}.{module.name}"
        if not module.name.startswith("_"):
            names += public_modules(name) if module.ispkg else [name]
    return names


def api_pages(package: str = "textgen_utils") -> dict[str, bytes]:
    """A page for each public module, filled by autodoc from its docstrings; by path.

    Not Markdown with a block in reStructuredText: such a block keeps a reference to all that
    Sphinx knows of the book, which is then written and read again with each of these pages.
    """
    pages = {}
    for name in public_modules(package):
        title = name.removeprefix(f"{package}.")
        text = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {name}\n   :members:\n"
        text += "   :ignore-module-all:\n"  # what a package re-exports is on its own page
        pages[f"{API}/{name}.rst"] = text.encode()
    return pages


def site_toc(toc: dict, api: Iterable[str]) -> dict:
    """The table of contents that is built: the pages of the modules below the package's page."""
    sections = [{"file": path.removesuffix(".rst")} for path in api]
    for part in toc["parts"]:
        part["chapters"] = [
            {**chapter, "sections": sections} if chapter["file"] == API else chapter
            for chapter in part["chapters"]
        ]
    return toc


def page(path: Path, committed: bool) -> bytes:
    """The content of one file of the book as Sphinx shall see it."""
    if path.suffix == ".ipynb":
        notebook = notebooks.read(path)
        if not committed:
            notebook = notebooks.merge(notebook, notebooks.read(execute.cached(path, ".ipynb")))
        return notebooks.dumps(notebook).encode()
    return path.read_bytes()


def as_yaml(path: Path) -> dict:
    """Read a YAML file of the repository."""
    return yaml.safe_load(path.read_text("utf-8"))


def stage(source: Path, committed: bool) -> None:
    """Lay out the book in `source`; files that do not change keep their time stamps."""
    files = api_pages()
    settings = {
        "_config.yml": site_config(as_yaml(ROOT / "_config.yml")),
        "_toc.yml": site_toc(as_yaml(ROOT / "_toc.yml"), files),
    }
    for name, content in settings.items():
        files[name] = yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode()
    for path in sorted(notebooks.BOOK.rglob("*")):
        if path.is_file() and not NOT_PAGES & set(path.parts):
            files[path.relative_to(notebooks.BOOK).as_posix()] = page(path, committed)
    for name, content in files.items():
        notebooks.write_if_changed(source / name, content)
    for path in source.rglob("*"):
        if path.is_file() and path.relative_to(source).as_posix() not in files:
            path.unlink()


def copy_mathjax(html: Path) -> None:
    """Put MathJax into the site, so that it needs no other host."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package sphinx-mathjax-offline is not installed")
    origin = Path(found.origin).parent / "static" / "mathjax"
    for part in MATHJAX:
        target = html / "_static" / "mathjax" / part
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (origin / part).is_dir() else shutil.copyfile
            copy(origin / part, target)


def build(source: Path, out: Path) -> int:
    """Run Sphinx; every warning is an error, also the second time.

    A page that was read with a warning would not be read again while it does not change, so the
    pages read are remembered only after a build without any warning.
    """
    os.environ.setdefault("KERAS_BACKEND", "jax")  # autodoc imports the package: a quiet start
    from jupyter_book.sphinx import build_sphinx

    html, doctrees, clean = out / "html", out / "doctrees", out / "clean"
    if clean.exists():
        clean.unlink()
    else:
        shutil.rmtree(doctrees, ignore_errors=True)
        shutil.rmtree(html, ignore_errors=True)
    copy_mathjax(html)
    status = build_sphinx(
        source,
        html,
        path_config=source / "_config.yml",
        noconfig=True,
        confoverrides={
            "external_toc_path": (source / "_toc.yml").as_posix(),
            "latex_individualpages": False,
        },
        doctreedir=doctrees,
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    if status == 0:
        clean.touch()
    return 0 if status == 0 else 1


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--committed", action="store_true", help="use the committed outputs")
    parser.add_argument("--out", type=Path, default=ROOT / "_build", help="default: _build")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    stage(out / "src", options.committed)
    status = build(out / "src", out)
    print(f"site: {execute.short(out / 'html' / 'index.html')}" if status == 0 else "site: FAILED")
    return status


if __name__ == "__main__":
    sys.exit(main())
