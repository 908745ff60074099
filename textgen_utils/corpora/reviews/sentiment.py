"""The label of a review: whether the customer was content, given what the review means."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cached_property

from textgen_utils.corpora.reviews.grammar import Grammar
from textgen_utils.corpora.reviews.meaning import END, START, Event, Meaning, State

# Chosen so that the best classifier errs on about 8 % of the reviews.
SLOPE = 1.5


class Sentiment:
    """P(label = 1 | meaning) = sigmoid(SLOPE * score).

    The score adds up the clauses and the verdict, but it is not linear in the words: a degree
    multiplies its adjective, a negation turns it round, and a clause that contradicts the first
    one weighs double, because the customer has come to the point.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._lexicon = grammar.lexicon

    def score(self, meaning: Meaning) -> float:
        """Return the score of a meaning; favourable is positive."""
        first = meaning.clauses[0].polarity
        total = self._lexicon.verdicts[meaning.verdict].score
        for clause in meaning.clauses:
            scale = self._lexicon.degrees[clause.intensity].scale
            opinion = self._lexicon.aspects[clause.aspect].adjectives[clause.opinion]
            weight = 1.0 if clause.polarity == first else 2.0
            total += weight * scale * opinion.tone * opinion.strength
        return total

    def positive(self, meaning: Meaning) -> float:
        """Return P(label = 1 | meaning)."""
        return sigmoid(SLOPE * self.score(meaning))

    @cached_property
    def scores(self) -> dict[float, float]:
        """The exact distribution {score: probability}, by dynamic programming over the grammar."""
        # state -> {(score so far, scale of the degree that awaits its adjective): probability}
        reached = {state: defaultdict(float) for state in self._grammar.states()}
        reached[START][0.0, 0.0] = 1.0
        for state, carries in reached.items():
            for p, event, after in self._grammar.successors(state):
                for (score, scale), q in carries.items():
                    reached[after][self._add(event, state, score, scale)] += p * q
        return {score: p for (score, _), p in reached[END].items()}

    def _add(self, event: Event, state: State, score: float, scale: float) -> tuple[float, float]:
        if event.factor == "degree":
            return score, self._lexicon.degrees[event.value].scale
        if event.factor == "opinion":
            opinion = self._lexicon.aspects[state.aspect].adjectives[event.value]
            weight = 1.0 if state.first in (0, state.polarity) else 2.0
            return round(score + weight * scale * opinion.tone * opinion.strength, 9), 0.0
        if event.factor == "verdict":
            return round(score + self._lexicon.verdicts[event.value].score, 9), 0.0
        return score, scale

    def bayes_error(self) -> float:
        """Return the error rate of the best possible classifier."""
        return sum(p * sigmoid(-SLOPE * abs(score)) for score, p in self.scores.items())

    def entropy(self) -> float:
        """Return the entropy of the label given the meaning, nats."""
        return sum(p * _binary_entropy(sigmoid(SLOPE * s)) for s, p in self.scores.items())

    def positive_rate(self) -> float:
        """Return P(label = 1)."""
        return sum(p * sigmoid(SLOPE * score) for score, p in self.scores.items())


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x))


def _binary_entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log1p(-p)
