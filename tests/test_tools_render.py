"""The site: warnings are errors, and what depends on the repository's URL follows it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from bs4 import BeautifulSoup

from tests.test_tools_notebooks import make
from tools import notebooks, render

URL = "https://github.com/someone/their-book"


def config(url: str) -> dict:
    settings = render.as_yaml(render.ROOT / "_config.yml")
    settings["repository"]["url"] = url
    return render.site_config(settings)


def mini_book(folder, url: str = "", page: str = "# A page\n\nText.\n"):
    """Source of a book of a page, a notebook and the mandatory bibliography."""
    source = folder / "src"
    (source / "part").mkdir(parents=True, exist_ok=True)
    notebook = make(("title", "# A notebook"), ("work", "1 + 1"))
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": "part/notebook"}]}
    files = {
        "_config.yml": yaml.safe_dump(config(url)),
        "_toc.yml": yaml.safe_dump(toc),
        "index.md": page,
        "part/notebook.ipynb": notebooks.dumps(notebooks.normalise(notebook)),
        "references.bib": "",
        "_static/favicon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    for name, content in files.items():
        notebooks.write_if_changed(source / name, content.encode())
    return source


def links(path) -> set[str]:
    soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    return {a["href"] for a in soup.find_all("a", href=True)}


def test_no_url_no_button():
    settings = config("")
    assert not any(v for k, v in settings["html"].items() if k.startswith("use_") and "button" in k)
    assert not any(v for k, v in settings["launch_buttons"].items() if k.endswith("_url"))


def test_colab_only_opens_github():
    assert config("https://gitlab.com/a/b")["launch_buttons"]["colab_url"] == ""
    assert config("https://gitlab.com/a/b")["launch_buttons"]["binderhub_url"]


def test_without_url_the_site_has_no_link_to_a_repository(tmp_path):
    assert render.build(mini_book(tmp_path), tmp_path) == 0
    for page in (tmp_path / "html").rglob("*.html"):
        outside = [link for link in links(page) if link.startswith("http")]
        assert [link for link in outside if "creativecommons.org" not in link] == []


def test_with_url_the_buttons_lead_to_the_page_in_the_repository(tmp_path):
    assert render.build(mini_book(tmp_path, URL), tmp_path) == 0
    found = links(tmp_path / "html/part/notebook.html")
    path = "book/part/notebook.ipynb"
    assert URL in found
    assert f"{URL}/edit/main/{path}" in found
    assert any(link.startswith(f"{URL}/issues/new?") for link in found)
    assert f"https://colab.research.google.com/github/someone/their-book/blob/main/{path}" in found
    binder = f"https://mybinder.org/v2/gh/someone/their-book/main?urlpath=lab/tree/{path}"
    assert binder in found
    assert f"{URL}/edit/main/book/index.md" in links(tmp_path / "html/index.html")


def test_a_warning_fails_the_first_and_the_second_time(tmp_path):
    broken = mini_book(tmp_path, page="# A page\n\n{ref}`nowhere`\n")
    assert [render.build(broken, tmp_path) for _ in range(2)] == [1, 1]
    assert render.build(mini_book(tmp_path), tmp_path) == 0


def test_unchanged_pages_are_not_written_again(tmp_path):
    code = "import pathlib, sys; from tools import render; "
    code += "sys.exit(render.build(*map(pathlib.Path, sys.argv[1:])))"
    command = [sys.executable, "-c", code, str(mini_book(tmp_path)), str(tmp_path)]
    subprocess.run(command, check=True, cwd=render.ROOT)
    page = tmp_path / "html/part/notebook.html"
    os.utime(page, ns=(10**18 * 2, 10**18 * 2))  # newer than any source
    subprocess.run(command, check=True, cwd=render.ROOT)
    assert page.stat().st_mtime_ns == 2 * 10**18


def test_mathjax_and_its_fonts_are_in_the_site(tmp_path):
    render.copy_mathjax(tmp_path)
    folder = tmp_path / "_static/mathjax"
    assert (folder / "tex-chtml.js").stat().st_size > 500_000
    assert len(list((folder / "output/chtml/fonts/woff-v2").glob("*.woff"))) > 20


def test_every_public_module_has_a_page():
    package = render.ROOT / "textgen_utils"
    expected = set()
    for path in package.rglob("*.py"):
        parts = path.relative_to(render.ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            expected.add(f"reference/api/{'.'.join(parts)}.rst")
    assert set(render.api_pages()) == expected


def test_pages_of_modules_are_below_the_package_in_the_contents():
    toc = render.site_toc(render.as_yaml(render.ROOT / "_toc.yml"), ["reference/api/a.rst"])
    (chapter,) = [c for p in toc["parts"] for c in p["chapters"] if c["file"] == "reference/api"]
    assert chapter["sections"] == [{"file": "reference/api/a"}]


def test_an_unknown_package_is_named():
    with pytest.raises(ValueError, match="not an importable package"):
        render.public_modules("json.decoder")
