"""Words of a language that puts spaces between them."""

from __future__ import annotations

import re

from textgen_utils.tokenizers.vocabulary import Tokenizer, check_text, ranked

# A word or a number takes the one space before it along, so that joining needs no rule;
# every other character is a token of its own.
_PIECE = re.compile(r" ?(?:[^\W\d_]|')+| ?\d+|[\s\S]")


class Words(Tokenizer):
    """Words, numbers, and single characters for everything else.

    A word keeps the space before it (" camera"), so " camera" and "camera" are two tokens, the
    second for the start of a line. Tokens are numbered by falling frequency.
    """

    @classmethod
    def fit(cls, text: str, min_count: int = 1, unknown: str | None = None) -> Words:
        r"""Takes the words of `text` as vocabulary.

        Args:
            text: at least one character.
            min_count: words that are rarer are left out; more than 1 needs `unknown`.
            unknown: a token, e.g. "\ufffd", that will stand for all others; None to refuse them.

        Raises:
            ValueError: the text is empty, or `min_count` needs an unknown token.
        """
        pieces = _PIECE.findall(check_text(text, empty_allowed=False))
        return cls(ranked(pieces, min_count, unknown), unknown)

    def pieces(self, text: str) -> list[str]:
        """Cuts a text in words; the pieces joined are the text."""
        return _PIECE.findall(text)
