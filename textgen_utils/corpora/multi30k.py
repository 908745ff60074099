"""Multi30k: image captions in English with translations to German and French.

29,000 training, 1,014 validation and 1,000 test sentences (task 1, test set of 2016), the parts
that its authors made. Captions are taken as they are, but for white space at their ends.

Source: github.com/multi30k/dataset, `data/task1/raw`; Elliott et al. 2016, 2017.
"""

from __future__ import annotations

import gzip

from textgen_utils.corpora.download import fetch
from textgen_utils.corpora.types import Pair, Pairs

LANGUAGES = ("en", "de", "fr")

_URL = (
    "https://raw.githubusercontent.com/multi30k/dataset/"
    "a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw/"
)
_SHA256 = {
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.fr.gz": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.fr.gz": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.fr.gz": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
}


def load(source: str = "en", target: str = "de") -> Pairs:
    """Loads the captions in two languages, one translation for each.

    Args:
        source: "en", "de" or "fr".
        target: another of these.

    Raises:
        ValueError: the languages are not two of these three.
        OSError: a file can be neither found nor downloaded, or is not the expected one.
    """
    if {source, target} - set(LANGUAGES) or source == target:
        raise ValueError(
            f"source and target must be two of {', '.join(LANGUAGES)}, "
            f"got {source!r} and {target!r}"
        )
    parts = (
        pair_up(_lines(f"{part}.{source}.gz"), _lines(f"{part}.{target}.gz"))
        for part in ("train", "val", "test_2016_flickr")
    )
    return Pairs(f"multi30k_{source}_{target}", *parts)


def read_lines(data: bytes) -> list[str]:
    r"""The lines of a gzip file, which are ended by "\n", without white space at their ends."""
    # Not `splitlines`: a caption may contain a character that it takes for the end of a line.
    lines = gzip.decompress(data).decode("utf-8").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.strip() for line in lines]


def pair_up(sources: list[str], targets: list[str]) -> tuple[Pair, ...]:
    """Pairs line with line.

    Raises:
        ValueError: the numbers of lines differ.
    """
    if len(sources) != len(targets):
        raise ValueError(
            f"parallel texts need as many lines on both sides, got {len(sources)} and "
            f"{len(targets)}"
        )
    return tuple(Pair(s, (t,)) for s, t in zip(sources, targets, strict=True))


def _lines(name: str) -> list[str]:
    return read_lines(fetch(f"multi30k/{name}", _URL + name, _SHA256[name]).read_bytes())
