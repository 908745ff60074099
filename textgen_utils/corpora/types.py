"""What a loader returns: texts, or pairs, already split in three."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Corpus:
    r"""Running text in three parts that share no document.

    Attributes:
        name: short name, for titles and messages.
        train: text to learn from, made of lines that each end in "\n".
        valid: text to choose settings by.
        test: text to report on, once; empty where the source defines no test part.
    """

    name: str
    train: str
    valid: str
    test: str


class Pair(NamedTuple):
    """A source and every target that counts as right for it.

    Attributes:
        source: a sentence, word or phrase.
        targets: one or more acceptable results; the first is the preferred one.
    """

    source: str
    targets: tuple[str, ...]

    @property
    def target(self) -> str:
        """The preferred target."""
        return self.targets[0]


@dataclass(frozen=True)
class Pairs:
    """Sources with their targets in three parts that share no source.

    Attributes:
        name: short name, for titles and messages.
        train: pairs to learn from.
        valid: pairs to choose settings by.
        test: pairs to report on, once.
    """

    name: str
    train: tuple[Pair, ...]
    valid: tuple[Pair, ...]
    test: tuple[Pair, ...]


class Example(NamedTuple):
    """A text and the class it belongs to.

    Attributes:
        text: one line, without its newline.
        label: number of the class.
    """

    text: str
    label: int


@dataclass(frozen=True)
class Labelled:
    """Texts with their class in three parts that share no text.

    Attributes:
        name: short name, for titles and messages.
        classes: names of the classes; a label is an index of this.
        train: examples to learn from.
        valid: examples to choose settings by.
        test: examples to report on, once.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]
