"""Byte-pair encoding on bytes: pieces of words, learnt from their frequency."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from textgen_utils.tokenizers.vocabulary import (
    BOUNDARY,
    check_ids,
    check_text,
    read_state,
    write_state,
)


class BytePair:
    """Byte-level byte-pair encoding (Sennrich et al. 2016; on bytes: Radford et al. 2019).

    Starts from the 256 bytes and joins the most frequent neighbouring pair again and again. Every
    text can be encoded, so there is no unknown token. The newline is never joined to anything.

    Attributes:
        tokens: text of each id; bytes that are no character of their own appear as `\\xe4`.
        boundary: id of the newline.
        unknown: always None.
    """

    def __init__(self, model: tokenizers.Tokenizer) -> None:
        self._model = model
        to_byte = {symbol: byte for byte, symbol in _byte_symbols().items()}
        vocabulary = model.get_vocab()
        names = sorted(vocabulary, key=vocabulary.__getitem__)
        self._bytes = [bytes(to_byte[symbol] for symbol in name) for name in names]
        self.tokens = [piece.decode("utf-8", "backslashreplace") for piece in self._bytes]
        self.boundary = self._bytes.index(BOUNDARY.encode())
        self.unknown = None

    @classmethod
    def fit(cls, text: str, vocab_size: int) -> BytePair:
        """Learns the pairs to join; the same text always gives the same vocabulary.

        Args:
            text: at least one character.
            vocab_size: number of tokens to reach; fewer where the text has no more pairs.

        Raises:
            ValueError: the text is empty, or `vocab_size` is below the 256 bytes.
        """
        check_text(text, empty_allowed=False)
        if vocab_size < 256:
            raise ValueError(f"vocab_size must be at least 256, the bytes, got {vocab_size}")
        model = tokenizers.Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(BOUNDARY, "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        model.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            initial_alphabet=sorted(_byte_symbols().values()),
            show_progress=False,
        )
        model.train_from_iterator(text.splitlines(keepends=True), trainer)
        return cls(model)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    def pieces(self, text: str) -> list[str]:
        """The tokens of a text, as in `tokens`."""
        return [self.tokens[i] for i in self.encode(text)]

    def encode(self, text: str) -> np.ndarray:
        """Turns a text into ids, int32 (n,); "" gives none.

        Raises:
            ValueError: the text has lone surrogates, which no byte sequence stands for.
        """
        try:
            check_text(text).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{text[error.start]!r} at position {error.start} is not a character"
            ) from error
        return np.array(self._model.encode(text, add_special_tokens=False).ids, np.int32)

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        r"""Turns ids (n,) back into text; bytes that form no character become "\ufffd".

        Raises:
            ValueError: an id is outside the vocabulary, or `ids` is not one row of integers.
        """
        joined = b"".join([self._bytes[i] for i in check_ids(ids, self.vocab_size)])
        return joined.decode("utf-8", "replace")

    def save(self, path: str | os.PathLike) -> None:
        """Writes the tokenizer to a JSON file, all of it or nothing."""
        write_state(path, type(self).__name__, {"model": json.loads(self._model.to_str())})

    @classmethod
    def load(cls, path: str | os.PathLike) -> BytePair:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds something else.
        """
        state = read_state(path, cls.__name__, ["model"])
        try:
            return cls(tokenizers.Tokenizer.from_str(json.dumps(state["model"])))
        except Exception as error:  # the library raises nothing more special
            raise ValueError(f"{path} is not a saved tokenizer: {error}") from error


def _byte_symbols() -> dict[int, str]:
    """The printable character by which byte-level BPE writes each byte.

    Printable Latin-1 bytes stand for themselves; the others get code points from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
