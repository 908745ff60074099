"""How varied texts are, among themselves and each in itself, without asking whether they are right.

None of these numbers has a best value of its own: hold them against those of human texts of the
same kind, number and length.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from numbers import Integral

import numpy as np

from textgen_utils.evaluation.metrics import Bleu

Tokens = Sequence[Hashable]


def self_bleu(texts: Sequence[str], *, tokenize: str = "13a") -> Bleu:
    """Return the mean BLEU of each text with all the others as its references, by sacreBLEU.

    0: no text shares a word with another; 100: every text occurs twice. It rises with the number
    of texts, since a text then has more references: compare equal numbers only. The BLEU is that
    of sentences: exponential smoothing where no 2-, 3- or 4-gram is shared, and for a text of
    fewer than four tokens the orders that it has.

    Args:
        texts: detokenised, at least two.
        tokenize: "13a" for languages with spaces, "zh" for Chinese, "char", and "none" for tokens
            that are separated by spaces; see sacreBLEU.

    Returns:
        The mean, 0 to 100, and sacreBLEU's signature, which tells the number of references.

    Raises:
        ValueError: if there are fewer than two texts, or one string in place of several.

    Source: Y. Zhu et al., "Texygen: a benchmarking platform for text generation models", 2018.
    """
    from sacrebleu.metrics import BLEU

    if isinstance(texts, str) or len(texts) < 2:
        raise ValueError(f"self-BLEU compares a list of two texts or more, got {texts!r:.60}")
    metric = BLEU(tokenize=tokenize, effective_order=True)
    scores = [
        metric.sentence_score(text, [*texts[:i], *texts[i + 1 :]]).score
        for i, text in enumerate(texts)
    ]
    return Bleu(float(np.mean(scores)), str(metric.get_signature()))


def distinct_n(texts: Iterable[Tokens], n: int) -> float:
    """Return the different n-grams of all texts over their number of n-grams, 0 to 1.

    It falls with the amount of text: compare equal numbers of tokens only.

    Args:
        texts: the tokens of each text, words or ids; n-grams do not cross from one to the next.
        n: tokens of a gram, at least 1.

    Raises:
        ValueError: if `n` is below 1, no text has n tokens, or a text is a string.

    Source: J. Li et al., "A diversity-promoting objective function for neural conversation
    models", 2016.
    """
    grams = list(chain.from_iterable(_grams(texts, n)))
    return len(set(grams)) / len(grams)


def repetition(texts: Iterable[Tokens], n: int) -> float:
    """Return the share of n-grams that occurred before in the same text, 0 to 1.

    Args:
        texts, n: see `distinct_n`. Longer texts have more to repeat: compare equal lengths only.

    Raises:
        ValueError: see `distinct_n`.

    Source: S. Welleck et al., "Neural text generation with unlikelihood training", 2020, who take
    the mean of this share over texts; here every n-gram counts the same.
    """
    grams = _grams(texts, n)
    return 1 - sum(len(set(own)) for own in grams) / sum(map(len, grams))


def looping(texts: Iterable[Tokens], *, times: int = 3, shortest: int = 2) -> float:
    """Return the share of texts that end in a loop, 0 to 1.

    A text ends in a loop if its last tokens are one phrase, `times` times or more without a gap.

    Args:
        texts: the tokens of each text, at least one text.
        times: how often the phrase stands there at least, at least 2.
        shortest: the fewest tokens of a phrase, at least 1.

    Raises:
        ValueError: if there is no text, a number is too low, or a text is a string.

    Source: the defaults are those of A. Holtzman et al., "The curious case of neural text
    degeneration", 2020.
    """
    rows = _rows(texts)
    for name, value, least in (("times", times, 2), ("shortest", shortest, 1)):
        _at_least(value, least, name)
    return sum(_ends_in_loop(row, times, shortest) for row in rows) / len(rows)


def _ends_in_loop(row: list, times: int, shortest: int) -> bool:
    """Whether the end of a row equals itself one phrase earlier, over times - 1 phrases."""
    return any(
        row[-(times - 1) * size :] == row[-times * size : -size]
        for size in range(shortest, len(row) // times + 1)
    )


def _grams(texts: Iterable[Tokens], n: int) -> list[list[tuple]]:
    """Return the n-grams of each text; ValueError if there are none at all."""
    _at_least(n, 1, "n")
    rows = _rows(texts)
    grams = [[tuple(row[i : i + n]) for i in range(len(row) - n + 1)] for row in rows]
    if not any(grams):
        raise ValueError(f"none of {len(rows)} texts has {n} tokens")
    return grams


def _rows(texts: Iterable[Tokens]) -> list[list]:
    """Return the texts as lists, at least one; a string is refused: its tokens are not known."""
    texts = list(texts)
    if not texts:
        raise ValueError("there is nothing to measure: no texts")
    if strings := [text for text in texts if isinstance(text, str)]:
        raise ValueError(f"expected the tokens of a text, got the string {strings[0]!r:.40}")
    return [text.tolist() if isinstance(text, np.ndarray) else list(text) for text in texts]


def _at_least(value: int, least: int, name: str) -> None:
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
