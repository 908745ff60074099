"""The built site: links lead somewhere, nothing is fetched from elsewhere, pages are accessible.

`SITE` names the folder to check; `make test-site` builds it from the committed outputs.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(os.environ.get("SITE", ROOT / "_build/test/html")).resolve()
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts
)
TEXTS = [page for page in PAGES if page != "search.html"]
# What a browser fetches by itself, as opposed to what a reader may follow.
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
LINK_LOADS = {"stylesheet", "preload", "prefetch", "preconnect", "dns-prefetch", "icon"}

pytestmark = pytest.mark.skipif(
    not PAGES and "SITE" not in os.environ, reason="no site: `make test-site` builds one"
)


@functools.cache
def soup(page: str) -> BeautifulSoup:
    return BeautifulSoup((SITE / page).read_text("utf-8"), "html.parser")


@functools.cache
def anchors(page: str) -> frozenset[str]:
    tags = soup(page).find_all(True)
    return frozenset(t.get("id") or t.get("name") for t in tags if t.get("id") or t.get("name"))


def broken(page: str, address: str) -> bool:
    """Whether a relative address leads nowhere in the site."""
    url = urlsplit(address)
    if url.scheme or url.netloc:
        return False
    target = (SITE / page).parent / unquote(url.path) if url.path else SITE / page
    target = target.resolve()
    if not target.is_file():
        return True
    if not url.fragment or target.suffix != ".html":
        return False
    return unquote(url.fragment) not in anchors(target.relative_to(SITE).as_posix())


def elsewhere(address: str) -> bool:
    return bool(re.match(r"(https?:)?//", address.strip()))


def test_there_is_a_site():
    assert "index.html" in PAGES
    assert len(PAGES) > 5


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_lead_somewhere(page):
    found = [t[name] for t in soup(page).find_all(True) for name in ("href", "src") if t.get(name)]
    found = [a for a in found if a not in ("#", "") and not a.startswith(("data:", "javascript:"))]
    assert [address for address in found if broken(page, address)] == []


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_fetched_from_elsewhere(page):
    fetched = [t[LOADS[t.name]] for t in soup(page).find_all(list(LOADS)) if t.get(LOADS[t.name])]
    for link in soup(page).find_all("link", href=True):
        if LINK_LOADS & set(link.get("rel", [])):
            fetched.append(link["href"])
    for style in soup(page).find_all("style"):
        fetched += re.findall(r"url\(['\"]?([^'\")]+)|@import ['\"]([^'\"]+)", style.text)
    for tag in soup(page).find_all(style=True):
        fetched += re.findall(r"url\(['\"]?([^'\")]+)", tag["style"])
    for image in soup(page).find_all(srcset=True):
        fetched += [part.split()[0] for part in image["srcset"].split(",")]
    assert [a for a in fetched if elsewhere(a if isinstance(a, str) else "".join(a))] == []
    refresh = soup(page).find("meta", attrs={"http-equiv": re.compile("refresh", re.IGNORECASE)})
    assert refresh is None


def test_style_sheets_fetch_nothing_from_elsewhere():
    for path in SITE.rglob("*.css"):
        text = path.read_text("utf-8", errors="replace")
        found = re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")\s;]+)", text)
        assert [a for a in found if elsewhere(a)] == [], path.name


def test_scripts_of_pages_name_no_network_of_libraries():
    hosts = re.compile(r"(unpkg\.com|jsdelivr\.net|cdnjs\.|googleapis\.com|gstatic\.com)")
    for page in PAGES:
        for script in soup(page).find_all("script"):
            assert not hosts.search(script.text), page


@pytest.mark.parametrize("page", PAGES)
def test_images_say_what_they_show(page):
    assert [i["src"] for i in soup(page).find_all("img") if not (i.get("alt") or "").strip()] == []


@pytest.mark.parametrize("page", PAGES)
def test_language_and_title(page):
    assert soup(page).html["lang"] == "en"
    assert soup(page).title.text.strip()
    assert soup(page).find(class_="skip-link") is not None


@pytest.mark.parametrize("page", TEXTS)
def test_headings_go_down_by_single_steps(page):
    article = soup(page).find("article")
    levels = [int(h.name[1]) for h in article.find_all(re.compile(r"^h[1-6]$"))]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("page", TEXTS)
def test_ids_are_unique_in_the_text(page):
    article = soup(page).find("article")
    ids = [tag["id"] for tag in article.find_all(id=True)]
    # sphinx-exercise gives every exercise the same inner id, to which nothing links
    repeated = {i for i in ids if ids.count(i) > 1} - {"exercise-content", "solution-content"}
    assert sorted(repeated) == []


@pytest.mark.parametrize("page", TEXTS)
def test_no_markup_is_left_over(page):
    article = BeautifulSoup((SITE / page).read_text("utf-8"), "html.parser").find("article")
    for code in article.find_all(["pre", "code", "script", "style"]):
        code.clear()
    markup = r"\{(glue|ref|doc|eq|cite|numref)[:}]|:::|\[\^|\$\$"
    assert re.search(markup, article.get_text()) is None


@pytest.mark.parametrize("page", PAGES)
def test_no_folder_of_this_machine_is_named(page):
    assert f"{ROOT}/" not in (SITE / page).read_text("utf-8")
