"""Texts and pairs to learn from, each loaded by a module of its own.

- `reviews` (known): product reviews from a grammar of our own, in English and Chinese;
- `keras_manual` (real): the docstrings of the installed Keras;
- `cmudict` (real): English words and their pronunciations;
- `chinese` (real): Chinese words and idioms, with pinyin;
- `shakespeare` (large): Tiny Shakespeare;
- `multi30k` (large): image captions in English, German and French;
- `tang` (large): Tang poems;
- `imdb` (large): film reviews with their sentiment.

The real ones are read from installed packages, without a network. The large ones are downloaded
when asked for and verified (see `download`), or read from the folder that `TEXTGEN_DATA` names.

`cleaning` normalises texts and finds copies and leaks in them, `spelling` corrects words, and
`noise` spoils texts and pairs on purpose, to measure what that does.
"""

from textgen_utils.corpora.types import Corpus, Example, Labelled, Pair, Pairs

__all__ = ["Corpus", "Example", "Labelled", "Pair", "Pairs"]
