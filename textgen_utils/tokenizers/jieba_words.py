"""Chinese words, cut by the dictionary and the unigram model of `jieba`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

from textgen_utils.tokenizers.vocabulary import Tokenizer, check_text, ranked


class Jieba(Tokenizer):
    """Words as jieba's dictionary cuts them: the most probable path through the words that fit.

    jieba's hidden Markov model for words outside the dictionary is off, so that the result depends
    on the dictionary alone. Tokens are numbered by falling frequency. The first use takes about a
    second, to read the dictionary; nothing is written to disk.
    """

    def __init__(self, tokens: Sequence[str], unknown: str | None = None) -> None:
        super().__init__(tokens, unknown)
        self._cutter = None

    @classmethod
    def fit(cls, text: str, min_count: int = 1, unknown: str | None = None) -> Jieba:
        r"""Takes the words of `text` as vocabulary.

        Args:
            text: at least one character.
            min_count: words that are rarer are left out; more than 1 needs `unknown`.
            unknown: a token, e.g. "\ufffd", that will stand for all others; None to refuse them.

        Raises:
            ValueError: the text is empty, or `min_count` needs an unknown token.
        """
        check_text(text, empty_allowed=False)
        cutter = _cutter()
        fitted = cls(ranked(_cut(cutter, text), min_count, unknown), unknown)
        fitted._cutter = cutter
        return fitted

    def pieces(self, text: str) -> list[str]:
        """Cuts a text in words; the pieces joined are the text."""
        if self._cutter is None:
            self._cutter = _cutter()
        return _cut(self._cutter, text)


def _cut(cutter, text: str) -> list[str]:  # noqa: ANN001 (jieba is not imported here)
    # jieba takes "\r\n" as one piece, which would hide a boundary; so lines are cut one by one.
    pieces: list[str] = []
    for i, line in enumerate(text.split("\n")):
        if i:
            pieces.append("\n")
        pieces += cutter.lcut(line, cut_all=False, HMM=False)
    return pieces


def _cutter():
    """A jieba tokenizer with its dictionary in memory, made without output and without a cache."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old string escapes, pkg_resources
        import jieba
    jieba.setLogLevel(logging.WARNING)
    cutter = jieba.Tokenizer()
    # What `initialize` does, but for the cache file in the shared temporary folder.
    cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
    cutter.initialized = True
    return cutter
