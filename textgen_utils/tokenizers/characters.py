"""One token for each character."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgen_utils.tokenizers.vocabulary import BOUNDARY, Tokenizer, check_text


class Characters(Tokenizer):
    """A vocabulary of the characters (Unicode code points) of a text, in the order of their code.

    Encoding looks all characters up in one array indexed by code point, so a million characters
    take some hundredths of a second.
    """

    def __init__(self, tokens: Sequence[str], unknown: str | None = None) -> None:
        super().__init__(tokens, unknown)
        longer = [token for token in self.tokens if len(token) != 1]
        if longer:
            raise ValueError(f"a token of `Characters` is one character, got {longer[0]!r}")
        points = np.array([ord(token) for token in self.tokens])
        # One more place than needed: every higher code point is looked up there.
        self._table = np.full(points.max() + 2, -1, np.int32)
        self._table[points] = np.arange(len(points), dtype=np.int32)

    @classmethod
    def fit(cls, text: str, unknown: str | None = None) -> Characters:
        r"""Takes the distinct characters of `text`, and the newline, as vocabulary.

        Args:
            text: at least one character.
            unknown: a character, e.g. "\ufffd", that will stand for all others; None to refuse
                them.

        Raises:
            ValueError: the text is empty, or `unknown` is not one character.
        """
        check_text(text, empty_allowed=False)
        if unknown is not None and (not isinstance(unknown, str) or len(unknown) != 1):
            raise ValueError(f"unknown must be one character, got {unknown!r}")
        special = [BOUNDARY] + ([] if unknown in (None, BOUNDARY) else [unknown])
        return cls(special + sorted(set(text) - set(special)), unknown)

    def pieces(self, text: str) -> list[str]:
        """Cuts a text in its characters."""
        return list(text)

    def encode(self, text: str) -> np.ndarray:
        """Turns a text of n characters into ids, int32 (n,); see `Tokenizer.encode`."""
        points = np.frombuffer(check_text(text).encode("utf-32-le", "surrogatepass"), np.uint32)
        ids = self._table[np.minimum(points, len(self._table) - 1)]
        missing = ids < 0
        if missing.any():
            if self.unknown is None:
                first = int(np.argmax(missing))
                raise self._refusal(text[first], first)
            ids[missing] = self._ids[self.unknown]
        return ids
