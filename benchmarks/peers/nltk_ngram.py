"""Interpolated Kneser-Ney of nltk, as its documentation uses it.

It differs from ours and KenLM's: one discount for all counts (0.1 by default), none for the lowest
order, which is not interpolated with the uniform distribution either. An unknown token therefore
has probability 0, and a text with one an infinite perplexity (recorded as None). It asks each
line's start n - 1 times. Continuations are counted anew for every probability.

Source: S. Bird, E. Klein and E. Loper, "Natural Language Processing with Python", 2009; nltk.lm.
"""

from __future__ import annotations

import math

import nltk
from nltk.lm import KneserNeyInterpolated
from nltk.lm.preprocessing import pad_both_ends, padded_everygram_pipeline

from benchmarks.ngram_texts import Competitor, Text


class Nltk(Competitor):
    """Fits on lists of symbols and scores one token after the other."""

    def __init__(self, texts: list[Text]) -> None:
        super().__init__(texts)
        self.lines = {
            (text.name, part): [line.split() for line in text.lines(part)]
            for text in texts
            for part in ("train", "valid")
        }
        self.models = {name: self.fit(name) for name in self.texts}
        values = {name: self.perplexity(name) for name in self.texts}
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        self.facts = {"version": f"nltk {nltk.__version__}", "perplexity": finite}

    def fit(self, name: str) -> KneserNeyInterpolated:
        """From lists of symbols to a model."""
        order = self.texts[name].order
        model = KneserNeyInterpolated(order)
        model.fit(*padded_everygram_pipeline(order, self.lines[name, "train"]))
        return model

    def score(self, name: str) -> list[float]:
        """Log-probabilities of all tokens of the validation text, ends of lines included, nats."""
        model, order = self.models[name], self.texts[name].order
        scores = []
        for line in self.lines[name, "valid"]:
            padded = list(pad_both_ends(line, n=order))
            for end in range(order - 1, len(line) + order):  # up to the first of the ends
                scores.append(model.logscore(padded[end], padded[end - order + 1 : end]))
        return [score * math.log(2) for score in scores]

    def perplexity(self, name: str) -> float:
        """Of the validation text."""
        scores = self.score(name)
        return math.exp(-sum(scores) / len(scores))
