"""What a site weighs, and what a browser loads for one of its pages."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

NOT_PAGES = {"_static", "_sources", "_downloads"}


def weight(html: Path) -> dict[str, Any]:
    """Weigh a site's files as they lie, uncompressed.

    Args:
        html: the folder of the site.

    Returns:
        "files" and "bytes" in all, "kinds": bytes by suffix, "pages": their number, "heaviest":
        the five largest pages by bytes of HTML, and "loads", bytes of a page with the scripts,
        styles and images that it names (not the fonts, which its styles name): the "median" page
        and the "largest".

    Raises:
        ValueError: if there is no page.
    """
    files = [path for path in html.rglob("*") if path.is_file()]
    kinds: Counter[str] = Counter()
    for path in files:
        kinds[path.suffix.lower() or path.name] += path.stat().st_size
    pages = [
        path
        for path in files
        if path.suffix == ".html" and not NOT_PAGES & set(path.relative_to(html).parts)
    ]
    if not pages:
        raise ValueError(f"no page in {html}")
    sizes = {path.relative_to(html).as_posix(): path.stat().st_size for path in pages}
    loads = {path.relative_to(html).as_posix(): loaded(path) for path in pages}
    largest = max(loads, key=loads.__getitem__)
    return {
        "files": len(files),
        "bytes": kinds.total(),
        "kinds": dict(kinds.most_common()),
        "pages": len(pages),
        "heaviest": dict(sorted(sizes.items(), key=lambda item: -item[1])[:5]),
        "loads": {
            "median": statistics.median(loads.values()),
            "largest": {"page": largest, "bytes": loads[largest]},
        },
    }


def loaded(page: Path) -> int:
    """Return the bytes of a page and of the local files that it makes a browser load."""
    text = page.read_text("utf-8")
    names = re.findall(r"<(?:script|img)\b[^>]*?\bsrc=\"([^\"]+)\"", text)
    for tag in re.findall(r"<link\b[^>]*>", text):
        if re.search(r"rel=\"(?:stylesheet|icon|preload)\"", tag):
            names += re.findall(r"href=\"([^\"]+)\"", tag)
    local = {
        (page.parent / unquote(re.split(r"[?#]", name)[0])).resolve()
        for name in names
        if not re.match(r"[a-z]+:|//", name)
    }
    return page.stat().st_size + sum(path.stat().st_size for path in local if path.is_file())
