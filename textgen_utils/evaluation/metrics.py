"""How right is what a model wrote: exact match, BLEU, and error rates of pronunciations."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

Symbols = Sequence[str]


def exact_match(hypotheses: Sequence[str], accepted: Sequence[Container[str]]) -> float:
    """Return the share of hypotheses that are right, from 0 to 1.

    Args:
        hypotheses: what was written.
        accepted: for each, everything that counts as right; not a string, since every part of a
            string is in it.

    Raises:
        ValueError: if there is no hypothesis, the numbers differ, or `accepted` holds a string.
    """
    _check(hypotheses, accepted)
    if any(isinstance(right, str) for right in accepted):
        raise ValueError("accepted must hold collections of texts, got a text: put it in a list")
    right = [text in texts for text, texts in zip(hypotheses, accepted, strict=True)]
    return sum(right) / len(right)


@dataclass(frozen=True)
class Bleu:
    """The result of `bleu`.

    Attributes:
        score: from 0 to 100.
        signature: the convention: references, tokenizer, smoothing, version.
    """

    score: float
    signature: str


def bleu(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, tokenize: str = "13a"
) -> Bleu:
    """Return BLEU of a corpus, by sacreBLEU.

    Args:
        hypotheses: detokenised texts.
        references: for each, one or more right texts.
        tokenize: "13a" for languages with spaces, "zh" for Chinese, "char"; see sacreBLEU.

    Raises:
        ValueError: if there is no hypothesis, the numbers differ, or a text has no reference.

    Source: K. Papineni et al., "BLEU: a method for automatic evaluation of machine translation",
    2002; M. Post, "A call for clarity in reporting BLEU scores", 2018.
    """
    from sacrebleu.metrics import BLEU

    _check(hypotheses, references)
    if any(isinstance(right, str) for right in references):
        raise ValueError("references must hold lists of texts, got a text: put it in a list")
    most = max(map(len, references))
    # sacreBLEU takes one list for each rank of reference, None where a text has fewer.
    ranks = [[r[k] if k < len(r) else None for r in references] for k in range(most)]
    metric = BLEU(tokenize=tokenize)
    score = metric.corpus_score(list(hypotheses), ranks).score
    return Bleu(score, str(metric.get_signature()))


def word_error_rate(
    hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]
) -> float:
    """Return the share of words whose pronunciation equals none of the listed ones, 0 to 1.

    This is what the literature on spelling to sound calls the WER; no word counts as partly right.

    Args:
        hypotheses: the phonemes of each word.
        references: for each word, the phonemes of each listed pronunciation.

    Raises:
        ValueError: if there is no hypothesis, the numbers differ, or a word has no reference.
    """
    _check(hypotheses, references)
    _check_symbols(hypotheses, references)
    listed = [{tuple(reference) for reference in right} for right in references]
    return 1 - exact_match([tuple(h) for h in hypotheses], listed)


def phoneme_error_rate(
    hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]
) -> float:
    """Return edits per phoneme: each hypothesis against the nearest of its references, by jiwer.

    Args:
        hypotheses, references: see `word_error_rate`; no reference may be empty.

    Returns:
        substitutions, deletions and insertions of all words over the phonemes of their nearest
        references (of equally near ones the first); may exceed 1.

    Raises:
        ValueError: see `word_error_rate`; or if a reference is empty.
    """
    _check(hypotheses, references)
    _check_symbols(hypotheses, references)
    if not all(len(reference) for right in references for reference in right):
        raise ValueError("a reference pronunciation is empty")
    edits = phonemes = 0
    for hypothesis, right in zip(hypotheses, references, strict=True):
        nearest, length = min(
            ((_edits(reference, hypothesis), len(reference)) for reference in right),
            key=lambda pair: pair[0],
        )
        edits += nearest
        phonemes += length
    return edits / phonemes


def _edits(reference: Symbols, hypothesis: Symbols) -> int:
    """Substitutions, deletions and insertions between two sequences of symbols."""
    import jiwer

    if list(reference) == list(hypothesis):
        return 0
    found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return found.substitutions + found.deletions + found.insertions


def _check_symbols(hypotheses: Sequence[Symbols], references: Sequence[Sequence[Symbols]]) -> None:
    """Refuse texts, whose symbols would be taken to be their characters."""
    for sequence in (*hypotheses, *(r for right in references for r in right)):
        if isinstance(sequence, str):
            raise ValueError(f"expected a list of phonemes, got the text {sequence!r:.40}")


def _check(hypotheses: Sequence, references: Sequence) -> None:
    if not len(hypotheses):
        raise ValueError("there is nothing to measure: no hypotheses")
    if len(hypotheses) != len(references):
        raise ValueError(f"got {len(hypotheses)} hypotheses but references for {len(references)}")
    # What only supports `in` cannot be asked for its length.
    empty = [i for i, r in enumerate(references) if hasattr(r, "__len__") and not len(r)]
    if empty:
        raise ValueError(f"hypothesis {empty[0]} has no reference")
