r"""Tang poems in traditional characters, one poem a line.

The anthology *Three Hundred Tang Poems* and the first five thousand of the *Complete Tang Poems*.

Many poems are there twice, often with variant characters. In the order of the files, a poem is
dropped if it has a verse of five or more characters in common with a poem that was kept, so no
such verse is in two parts. Dropped as well are poems with a gap (□) or with a character that is
described and not written ({𥫗/戢}); brackets around restored characters are removed. Each poem
goes to one part by its hash; a poem of valid or test with a character that no training poem has
is moved to train.

Source: github.com/chinese-poetry/chinese-poetry, MIT licence; the poems are in the public domain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from textgen_utils.corpora import splits
from textgen_utils.corpora.download import fetch
from textgen_utils.corpora.types import Corpus

_URL = (
    "https://raw.githubusercontent.com/chinese-poetry/chinese-poetry/"
    "99ebbef7e1345c0985c44b9fd96a3f9e776f117b/" + quote("全唐诗") + "/"
)
# name here: (name there, SHA-256)
_FILES = {
    "tang300.json": (
        "唐诗三百首.json",
        "d77a145f7470da2ed2f79515944563c062ffc43fceda07f195a36ead66b7e5c7",
    ),
    "poet.tang.0.json": (
        "poet.tang.0.json",
        "4f88f429938082523cdc72a1612bd7a7c3e3f7a33f8192c61ae51340efc3c92d",
    ),
    "poet.tang.1000.json": (
        "poet.tang.1000.json",
        "6e703b8d8dcedbd6110f6d48d043665ca2131db2035a5bfcef5e59a19aeb6d75",
    ),
    "poet.tang.2000.json": (
        "poet.tang.2000.json",
        "ec28efa7e2ae9cdbbba09f0ed186e32ccae47a325ad1e5816b7ad56071c1665a",
    ),
    "poet.tang.3000.json": (
        "poet.tang.3000.json",
        "9e4ba2323752b6b9fbdba875cdbc6a26636fe0cabc85fd066370d4915952001f",
    ),
    "poet.tang.4000.json": (
        "poet.tang.4000.json",
        "b8a7946c879b9658a6c667a4c55f776fae7e5e00a17789ab06b274c1429afc66",
    ),
}
_LEFT_OUT = re.compile(r"[□{}/]")
_BRACKETS = re.compile(r"[\[\]《》]")
_VERSE = re.compile(r"[^，。？！：；、]{5,}")


class Poem(NamedTuple):
    """A poem: its text is one line, couplets joined, with Chinese punctuation."""

    title: str
    author: str
    text: str


def read_poems(data: bytes) -> list[Poem]:
    """The usable poems of one JSON file of the collection."""
    poems = (
        Poem(p["title"], p["author"], _BRACKETS.sub("", "".join("".join(p["paragraphs"]).split())))
        for p in json.loads(data)
    )
    return [poem for poem in poems if poem.text and not _LEFT_OUT.search(poem.text)]


def without_copies(poems: Iterable[Poem]) -> list[Poem]:
    """Keeps a poem if no verse of it (five or more characters) is in a poem kept before."""
    seen: set[str] = set()
    kept = []
    for poem in poems:
        verses = set(_VERSE.findall(poem.text)) or {poem.text}
        if seen.isdisjoint(verses):
            seen |= verses
            kept.append(poem)
    return kept


def poems() -> list[Poem]:
    """All poems of all files, copies removed.

    Raises:
        OSError: a file can be neither found nor downloaded, or is not the expected one.
    """
    files = (
        fetch(f"tang/{here}", _URL + quote(there), sha256)
        for here, (there, sha256) in _FILES.items()
    )
    return without_copies(poem for path in files for poem in read_poems(path.read_bytes()))


def split() -> tuple[list[Poem], list[Poem], list[Poem]]:
    """The poems of the train, valid and test parts."""
    return splits.partition(poems(), key=lambda p: p.text, symbols=lambda p: set(p.text))


def load() -> Corpus:
    r"""Loads the poems as text, each ended by "\n".

    Raises:
        OSError: a file can be neither found nor downloaded, or is not the expected one.
    """
    return Corpus("tang", *("".join(f"{poem.text}\n" for poem in part) for part in split()))
