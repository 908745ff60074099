"""Words of a language without spaces, cut with a lexicon that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from textgen_utils.tokenizers.vocabulary import Tokenizer, check_text, ranked


class Lexicon(Tokenizer):
    """Greedy longest match: from left to right, the longest word of the lexicon that fits.

    Where no word fits, one character is taken. Greedy cutting is fast and needs no statistics; it
    is wrong where a long word overlaps the right two short ones.
    """

    _fields = ("tokens", "words", "unknown")

    def __init__(
        self, tokens: Sequence[str], words: Sequence[str], unknown: str | None = None
    ) -> None:
        super().__init__(tokens, unknown)
        self.words = list(words)
        self._matcher = _Matcher(self.words)

    @classmethod
    def fit(cls, text: str, words: Iterable[str], unknown: str | None = None) -> Lexicon:
        """Takes the lexicon, and the characters of `text` it leaves over, as vocabulary.

        Args:
            text: at least one character.
            words: the lexicon; all of it enters the vocabulary.
            unknown: a token that will stand for all others; None to refuse them.

        Raises:
            ValueError: the text or a word is empty.
        """
        check_text(text, empty_allowed=False)
        words = sorted(set(words))
        if "" in words:
            raise ValueError("a lexicon cannot contain the empty word")
        if any("\n" in word for word in words if word != "\n"):
            raise ValueError("a word of the lexicon cannot contain a newline: it is the boundary")
        counts = Counter(_Matcher(words).cut(text))
        counts.update(words)  # one more for each: the whole lexicon is in the vocabulary
        return cls(ranked(counts.elements(), 1, unknown), words, unknown)

    def pieces(self, text: str) -> list[str]:
        """Cuts a text; the pieces joined are the text."""
        return self._matcher.cut(text)


class _Matcher:
    def __init__(self, words: Sequence[str]) -> None:
        self._words = set(words)
        self._longest: dict[str, int] = {}  # by first character
        for word in words:
            self._longest[word[0]] = max(len(word), self._longest.get(word[0], 1))

    def cut(self, text: str) -> list[str]:
        pieces = []
        start = 0
        while start < len(text):
            length = self._longest.get(text[start], 1)
            while length > 1 and text[start : start + length] not in self._words:
                length -= 1
            # A slice may be shorter than `length` at the end of the text.
            pieces.append(text[start : start + length])
            start += len(pieces[-1])
        return pieces
