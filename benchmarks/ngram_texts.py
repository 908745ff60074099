"""Texts for n-gram models, in the form that each library takes: ids, or lines of symbols.

A line is a text of its own, in all libraries: nothing to the left of its start is used, and its
end is predicted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textgen_utils.corpora import Corpus, keras_manual, shakespeare
from textgen_utils.tokenizers.characters import Characters
from textgen_utils.tokenizers.words import Words

TOKENIZERS = {"characters": Characters, "words": Words}
ORDERS = {"characters": 6, "words": 5}
UNKNOWN = "\ufffd"

# A symbol must not contain what separates symbols.
VISIBLE = {code: 0x2400 + code for code in range(33)}


@dataclass(frozen=True)
class Text:
    """A corpus cut in tokens, kept in files.

    Attributes:
        corpus, unit: its name, and "characters" or "words".
        order: of the models of it.
        vocab_size: V, with the boundary (the end of a line) and the unknown token.
        boundary: id of the newline.
        tokens: number of tokens of "train" and of "valid".
        folder: where its files are.
    """

    corpus: str
    unit: str
    order: int
    vocab_size: int
    boundary: int
    tokens: dict[str, int]
    folder: str

    @property
    def name(self) -> str:
        """Corpus and unit."""
        return f"{self.corpus}, {self.unit}"

    def task(self, do: str) -> dict[str, Any]:
        """What `turns.compete` hands to each."""
        return {"do": do, "corpus": self.corpus, "unit": self.unit, "order": self.order}

    def ids(self, part: str) -> np.ndarray:
        """The tokens of a part, int32, (time,); each line ends with the boundary."""
        return np.load(Path(self.folder) / f"{part}.npy")

    def path(self, part: str) -> Path:
        """The file of a part's lines: symbols with spaces between them."""
        return Path(self.folder) / f"{part}.txt"

    def lines(self, part: str) -> list[str]:
        """The lines of a part without their ends."""
        return self.path(part).read_text(encoding="utf-8").split("\n")[:-1]

    def running(self) -> str:
        """The training part before it was cut in tokens."""
        return (Path(self.folder) / "running.txt").read_bytes().decode("utf-8")

    def tokenizer(self) -> Characters | Words:
        """What cut the text."""
        return TOKENIZERS[self.unit].fit(self.running(), unknown=UNKNOWN)

    def symbols(self) -> list[str]:
        """The symbol of each id; that of the boundary is never in a line."""
        path = Path(self.folder) / "symbols.txt"
        return path.read_text(encoding="utf-8").split("\n")[:-1]


class Competitor:
    """Times the method that a task names: `fit`, `score` or `perplexity` of a text's name."""

    facts: dict[str, Any]

    def __init__(self, texts: list[Text]) -> None:
        self.texts = {text.name: text for text in texts}

    def __call__(self, task: dict[str, Any]) -> float | None:
        """Return the seconds; None for a text or a method that this one has not."""
        name = f"{task['corpus']}, {task['unit']}"
        method = getattr(self, task["do"], None)
        if name not in self.texts or method is None:
            return None
        start = time.perf_counter()
        method(name)
        return time.perf_counter() - start


def corpora(names: list[str]) -> Iterator[Corpus | tuple[str, str]]:
    """Load corpora; one that cannot be had comes as its name and the reason."""
    loaders = {"Keras manual": keras_manual.load, "Tiny Shakespeare": shakespeare.load}
    for name in names:
        try:
            corpus = loaders[name]()
        except OSError as error:
            yield name, f"{type(error).__name__}: {error}"
        else:
            yield Corpus(name, corpus.train, corpus.valid, "")


def beginning(corpus: Corpus, train: int, valid: int) -> Corpus:
    """Cut a corpus after the line that reaches so many characters."""
    parts = ((corpus.train, train), (corpus.valid, valid))
    cut = [text[: text.index("\n", size) + 1] for text, size in parts]
    return Corpus(f"{corpus.name}, beginning", *cut, "")


def prepare(corpus: Corpus, unit: str, folder: Path) -> Text:
    """Cut a corpus in tokens of a unit and write its files into a new folder."""
    tokenizer = TOKENIZERS[unit].fit(whole_lines(corpus.train), unknown=UNKNOWN)
    symbols = [token.translate(VISIBLE) for token in tokenizer.tokens]
    if len(set(symbols)) < len(symbols) or {"<s>", "</s>", "<unk>"} & set(symbols):
        raise ValueError(f"two tokens of {corpus.name} would be written alike")
    folder.mkdir(parents=True)
    (folder / "running.txt").write_bytes(whole_lines(corpus.train).encode("utf-8"))
    _write(folder / "symbols.txt", symbols)
    tokens = {}
    for part in ("train", "valid"):
        ids = tokenizer.encode(whole_lines(getattr(corpus, part)))
        np.save(folder / f"{part}.npy", ids)
        _write(folder / f"{part}.txt", lines(ids, tokenizer.boundary, symbols))
        tokens[part] = len(ids)
    size = (len(tokenizer.tokens), tokenizer.boundary)
    return Text(corpus.name, unit, ORDERS[unit], *size, tokens, str(folder))


def lines(ids: np.ndarray, boundary: int, symbols: list[str]) -> list[str]:
    """Write lines of ids, each ended by the boundary, as symbols with spaces between them."""
    ends = np.flatnonzero(ids == boundary)
    return [" ".join(symbols[i] for i in line[:-1]) for line in np.split(ids, ends + 1)[:-1]]


def whole_lines(text: str) -> str:
    """End the last line, if it is not."""
    return text if text.endswith("\n") else text + "\n"


def described(text: Text) -> dict[str, Any]:
    """Return what a record keeps of a text."""
    return {key: value for key, value in asdict(text).items() if key != "folder"}


def _write(path: Path, rows: list[str]) -> None:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", newline="\n")
