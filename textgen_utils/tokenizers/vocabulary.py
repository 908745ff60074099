r"""What all tokenizers have in common: a numbered list of tokens.

A tokenizer is a way to cut a text in pieces (`pieces`) and a vocabulary that numbers them. The
newline is always token 0: it ends every line and starts every text.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from textgen_utils.files import write_atomically

BOUNDARY = "\n"


class Tokenizer:
    """Base class: subclasses say how a text is cut.

    Attributes:
        tokens: the distinct pieces; `tokens[i]` is the text of id `i`.
        unknown: the token that stands for pieces outside the vocabulary, or None to refuse them.
        boundary: id of the newline.
    """

    _fields = ("tokens", "unknown")  # arguments of the constructor that a saved file holds

    def __init__(self, tokens: Sequence[str], unknown: str | None = None) -> None:
        self.tokens = list(tokens)
        self.unknown = unknown
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise ValueError("the tokens of a vocabulary must be distinct")
        for needed in [BOUNDARY] + ([] if unknown is None else [unknown]):
            if needed not in self._ids:
                raise ValueError(f"the vocabulary must contain the token {needed!r}")
        self.boundary = self._ids[BOUNDARY]

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    def pieces(self, text: str) -> list[str]:
        """Cuts a text; the pieces joined are the text."""
        raise NotImplementedError

    def encode(self, text: str) -> np.ndarray:
        """Turns a text into ids.

        Args:
            text: any text; "" gives no ids.

        Returns:
            int32 array (n,).

        Raises:
            ValueError: a piece is not in the vocabulary and there is no unknown token.
        """
        pieces = self.pieces(check_text(text))
        otherwise = -1 if self.unknown is None else self._ids[self.unknown]
        ids = np.array([self._ids.get(piece, otherwise) for piece in pieces], np.int32)
        if otherwise < 0 and (ids < 0).any():
            first = int(np.argmax(ids < 0))
            raise self._refusal(pieces[first], sum(map(len, pieces[:first])))
        return ids

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Turns ids (n,) back into text.

        Raises:
            ValueError: an id is outside the vocabulary, or `ids` is not one row of integers.
        """
        return "".join([self.tokens[i] for i in check_ids(ids, self.vocab_size)])

    def save(self, path: str | os.PathLike) -> None:
        """Writes the tokenizer to a JSON file, all of it or nothing."""
        state = {field: getattr(self, field) for field in self._fields}
        write_state(path, type(self).__name__, state)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Tokenizer:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds something else.
        """
        state = read_state(path, cls.__name__, cls._fields)
        try:
            return cls(**state)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved tokenizer: {error}") from error

    def _refusal(self, piece: str, position: int) -> ValueError:
        points = " ".join(f"U+{ord(c):04X}" for c in piece)
        return ValueError(
            f"unknown symbol {piece!r} ({points}) at position {position}: it is not among the "
            f"{self.vocab_size} tokens of this vocabulary; fit the tokenizer on text that has it, "
            'or pass unknown="\\ufffd" to `fit`'
        )


def ranked(pieces: Iterable[str], min_count: int, unknown: str | None) -> list[str]:
    """Distinct pieces for a vocabulary: newline, unknown, then by falling frequency.

    Args:
        pieces: the pieces of the text that is fitted.
        min_count: rarer pieces are left out.
        unknown: the token that stands for them.

    Raises:
        ValueError: `min_count` leaves pieces out but no unknown token is given, or that is not a
            text of at least one character.
    """
    if unknown is not None and (not isinstance(unknown, str) or not unknown):
        raise ValueError(f"unknown must be a text of at least one character, got {unknown!r}")
    if min_count < 1:
        raise ValueError(f"min_count must be at least 1, got {min_count}")
    if min_count > 1 and unknown is None:
        raise ValueError(
            f"min_count={min_count} leaves out rare tokens, so a token must stand for them: "
            'pass unknown="\\ufffd"'
        )
    special = [BOUNDARY] + ([] if unknown is None else [unknown])
    counts = Counter(pieces)
    kept = [p for p, n in counts.items() if n >= min_count and p not in special]
    return special + sorted(kept, key=lambda p: (-counts[p], p))


def check_text(text: str, empty_allowed: bool = True) -> str:
    """Returns `text` if it is a string, and not empty where that is asked for.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(text, str):
        raise ValueError(f"expected a text (str), got {type(text).__name__}: {text!r:.60}")
    if not text and not empty_allowed:
        raise ValueError("cannot fit a tokenizer on an empty text: give at least one character")
    return text


def check_ids(ids: Iterable[int] | np.ndarray, vocab_size: int) -> list[int]:
    """Returns ids as a list of Python integers, each a valid index.

    Raises:
        ValueError: not one row of integers from 0 to `vocab_size` - 1.
    """
    array = np.asarray(ids if hasattr(ids, "__array__") else list(ids))
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"expected one row of integer ids, got shape {array.shape} and dtype {array.dtype}"
        )
    wrong = (array < 0) | (array >= vocab_size)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"id {array[first]} at position {first} is outside the vocabulary: "
            f"ids run from 0 to {vocab_size - 1}"
        )
    return array.tolist()


def write_state(path: str | os.PathLike, kind: str, state: dict) -> None:
    """Writes what makes a tokenizer of the class named `kind` again."""
    write_atomically(path, json.dumps({"kind": kind, **state}, ensure_ascii=False) + "\n")


def read_state(path: str | os.PathLike, kind: str, fields: Sequence[str]) -> dict:
    """Reads what `write_state` wrote for the class named `kind`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else.
    """
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
        found = state.pop("kind")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a saved tokenizer: {error!r}") from error
    if found != kind:
        raise ValueError(f"{path} holds a tokenizer of the kind {found!r}, not {kind!r}")
    if sorted(state) != sorted(fields):
        raise ValueError(
            f"{path} is not a saved tokenizer: it has the fields {sorted(state)}, "
            f"expected {sorted(fields)}"
        )
    return state
