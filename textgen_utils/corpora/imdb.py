r"""IMDB: 50,000 film reviews, half of them positive, half negative.

Train and test are the halves that its authors made, which share no film. Ten per cent of the
training films, chosen by the hash of their address, are valid. A review is one line: the HTML line
breaks and all runs of white space become one space. A training review whose text is in test, or
in train before it, is dropped; test is left whole, repeats included, for the published figures.

Source: Maas et al. 2011, "Learning word vectors for sentiment analysis"; for research, no licence
is stated. The digest is the one that TensorFlow Datasets publishes (its `imdb_reviews`), of a file
of 84,125,825 bytes.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from textgen_utils.corpora import splits
from textgen_utils.corpora.download import fetch
from textgen_utils.corpora.types import Example, Labelled

CLASSES = ("negative", "positive")
FRACTIONS = (0.9, 0.1, 0.0)

_PATH = "imdb/aclImdb_v1.tar.gz"
_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
_SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"

_REVIEW = re.compile(r"aclImdb/(train|test)/(neg|pos)/(\d+)_\d+\.txt")
_FILMS = re.compile(r"aclImdb/(train|test)/urls_(neg|pos)\.txt")


class Review(NamedTuple):
    """A review and the address of the film it is about."""

    text: str
    label: int
    film: str


def clean(text: str) -> str:
    """Puts a review on one line."""
    return " ".join(re.sub(r"<br\s*/?>", " ", text).split())


def read_archive(path: Path) -> dict[str, list[Review]]:
    """Reads the labelled reviews of the archive, in memory.

    Args:
        path: the file `aclImdb_v1.tar.gz`.

    Returns:
        "train" and "test", each in the order of class and number.

    Raises:
        ValueError: a review has no film, so the archive is not of the expected form.
    """
    texts: dict[tuple[str, int, int], str] = {}
    films: dict[tuple[str, int], list[str]] = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if found := _REVIEW.fullmatch(member.name):
                number = int(found[3])
                content = archive.extractfile(member).read().decode("utf-8")
                texts[found[1], int(found[2] == "pos"), number] = clean(content)
            elif found := _FILMS.fullmatch(member.name):
                content = archive.extractfile(member).read().decode("utf-8")
                films[found[1], int(found[2] == "pos")] = content.split()
    result: dict[str, list[Review]] = {"train": [], "test": []}
    for (part, label, number), text in sorted(texts.items()):
        # Line n of the list of addresses, from 0, belongs to review n.
        addresses = films.get((part, label), [])
        if number >= len(addresses):
            raise ValueError(f"{path}: no film is listed for {part} review {number}")
        result[part].append(Review(text, label, addresses[number]))
    return result


def split(train: Iterable[Review], test: Iterable[Review]) -> tuple[list[Review], ...]:
    """Takes the valid part from train by film, and drops from both what is in test."""
    test = list(test)
    seen = {review.text for review in test}
    kept = []
    for review in train:
        if review.text not in seen:
            seen.add(review.text)
            kept.append(review)
    rest, valid, _ = splits.partition(kept, key=lambda r: r.film, fractions=FRACTIONS)
    return rest, valid, test


def load() -> Labelled:
    """Loads the reviews with their sentiment, 0 negative and 1 positive.

    Raises:
        OSError: the file can be neither found nor downloaded, or is not the expected one.
    """
    reviews = read_archive(fetch(_PATH, _URL, _SHA256))
    parts = split(reviews["train"], reviews["test"])
    examples = (tuple(Example(r.text, r.label) for r in part) for part in parts)
    return Labelled("imdb", CLASSES, *examples)
