"""The reviews language: exact probabilities, samples, meanings, translations and labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

from textgen_utils.corpora.reviews.automaton import Automaton, determinise
from textgen_utils.corpora.reviews.grammar import Grammar
from textgen_utils.corpora.reviews.lexicon import LANGUAGES, Lexicon
from textgen_utils.corpora.reviews.meaning import START, Event, Meaning, Review, State
from textgen_utils.corpora.reviews.oracle import Oracle
from textgen_utils.corpora.reviews.parsing import Parser, emissions, longest_match
from textgen_utils.corpora.reviews.realisation import Realiser, Wordings
from textgen_utils.corpora.reviews.sampling import Sampler
from textgen_utils.corpora.reviews.sentiment import Sentiment
from textgen_utils.corpora.reviews.translations import Translations
from textgen_utils.corpora.reviews.vocabulary import default_lexicon

UNITS = ("characters", "words")


class Reviews:
    """Short product reviews, in English ("en") and Chinese ("zh"), of which everything is known.

    A review is one line. Its probability is that of its meaning times that of its wording; every
    string has one meaning. All information is in nats; a stream of reviews ends each with a
    newline, which counts as one symbol.

    Args:
        lexicon: what can be said and how often; the book's by default.

    Raises:
        ValueError: a language that is not "en" or "zh", or a unit that is not "characters" or
            "words" (every method).
    """

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self.lexicon = default_lexicon() if lexicon is None else lexicon
        self.grammar = Grammar(self.lexicon)
        self._realiser = Realiser(self.lexicon)
        self._automata: dict[tuple[str, str], Automaton] = {}

    # Strings and meanings

    def parse(self, string: str, language: str) -> Meaning:
        """Return what a review says.

        Raises:
            ValueError: the string is not a review in this language.
        """
        for _, events in self._derivations(string, language):
            return Meaning.from_events(events)
        raise ValueError(f"not a review in {language!r}: {string!r}")

    def log_prob(self, string: str, language: str) -> float:
        """Return log p(string) in nats, -inf for what is not a review."""
        total = sum(p for p, _ in self._derivations(string, language))
        return math.log(total) if total else -math.inf

    def translations(self, string: str, source: str) -> Translations:
        """Return every right translation of a review into the other language.

        Raises:
            ValueError: the string is not a review in the source language.
        """
        meaning = self.parse(string, source)
        return Translations(self, meaning, "zh" if source == "en" else "en")

    def wordings(self, meaning: Meaning, language: str) -> list[Wordings]:
        """Return, for each choice behind ``meaning``, its (probability, tokens) wordings.

        Raises:
            ValueError: the grammar cannot produce this meaning.
        """
        check_language(language)
        return [
            self._realiser.realise(event, state, language)
            for _, event, state in self._path(meaning)
        ]

    def meaning_log_prob(self, meaning: Meaning) -> float:
        """Return log p(meaning) in nats.

        Raises:
            ValueError: the grammar cannot produce this meaning.
        """
        return sum(math.log(p) for p, _, _ in self._path(meaning))

    def _path(self, meaning: Meaning) -> Iterator[tuple[float, Event, State]]:
        """Yield (probability, event, the state it was chosen in)."""
        state = START
        for event in meaning.events():
            choice = [(p, after) for p, e, after in self.grammar.successors(state) if e == event]
            if not choice:
                raise ValueError(f"not a meaning of this grammar: {event} in {state}")
            yield choice[0][0], event, state
            state = choice[0][1]

    def words(self, string: str, language: str) -> list[str]:
        """Split a review into the grammar's own words; joining them gives the string back.

        The longest word that fits is always the right one, as for a dictionary-based segmenter.

        Raises:
            ValueError: the string cannot be spelled with the words of this language.
        """
        return longest_match(string, set(self.automaton(language, "words").symbols))

    def _derivations(self, string: str, language: str) -> Iterator[tuple[float, tuple[Event, ...]]]:
        return self._parsers[check_language(language)].derivations(string)

    @cached_property
    def _parsers(self) -> dict[str, Parser]:
        return {language: Parser(self.grammar, self._realiser, language) for language in LANGUAGES}

    # Exact information

    def automaton(self, language: str, unit: str = "characters") -> Automaton:
        """Return the deterministic automaton of the language (built once, then kept)."""
        key = (check_language(language), check_unit(unit))
        if key not in self._automata:
            self._automata[key] = determinise(emissions(self.grammar, self._realiser, *key))
        return self._automata[key]

    def entropy(self, language: str) -> float:
        """Return the entropy of a review, nats."""
        return self.automaton(language, "words").entropy()

    def entropy_per_token(self, language: str) -> float:
        """Return the entropy rate of a stream of reviews, nats per word (newlines count)."""
        automaton = self.automaton(language, "words")
        return automaton.entropy() / automaton.expected_length()

    def entropy_per_character(self, language: str) -> float:
        """Return the entropy rate of a stream of reviews, nats per character (newlines count)."""
        automaton = self.automaton(language, "characters")
        return automaton.entropy() / automaton.expected_length()

    def expected_length(self, language: str, unit: str = "characters") -> float:
        """Return the expected number of symbols of a review, its newline included."""
        return self.automaton(language, unit).expected_length()

    def count(self, language: str) -> int:
        """Return the exact number of different reviews."""
        return self.automaton(language, "words").count()

    def meaning_entropy(self) -> float:
        """Return the entropy of the meaning, nats: what both languages must say."""
        visits, total = {START: 1.0}, 0.0
        for state in self.grammar.states():
            for p, _, after in self.grammar.successors(state):
                visits[after] = visits.get(after, 0.0) + visits[state] * p
                total -= visits[state] * p * math.log(p)
        return total

    def translation_entropy(self, target: str) -> float:
        """Return H(review in ``target`` | its translation), nats: the floor of any translator."""
        return self.entropy(target) - self.meaning_entropy()

    # Sentiment

    @cached_property
    def sentiment(self) -> Sentiment:
        """The label's distribution given the meaning."""
        return Sentiment(self.grammar)

    def posterior(self, string: str, language: str) -> float:
        """Return P(label = 1 | string), exact.

        Raises:
            ValueError: the string is not a review in this language.
        """
        return self.sentiment.positive(self.parse(string, language))

    def bayes_error(self) -> float:
        """Return the error rate of the best possible classifier."""
        return self.sentiment.bayes_error()

    def label_entropy(self) -> float:
        """Return H(label | string), nats: the floor of the cross-entropy of any classifier."""
        return self.sentiment.entropy()

    # Samples and the oracle

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(self.grammar, self._realiser)

    def sample(self, n: int, seed: int) -> list[Review]:
        """Return ``n`` independent reviews; the first k are the same for every n >= k.

        Raises:
            ValueError: n < 0.
        """
        return self._sampler.sample(n, seed, self.sentiment)

    def text(self, n: int, seed: int, language: str) -> str:
        """Return the reviews of ``sample(n, seed)`` in one language, each ending in a newline."""
        lines = self._sampler.lines(n, seed, check_language(language))
        return "".join(line + "\n" for line in lines)

    def oracle(
        self, language: str, unit: str = "characters", tokens: list[str] | None = None
    ) -> Oracle:
        """Return the truth as a language model over ``tokens`` (default: its own sorted alphabet).

        Raises:
            ValueError: ``tokens`` lacks the newline.
        """
        return Oracle(self.automaton(language, unit), tokens)


def check_language(language: str) -> str:
    """Return ``language`` if it is one of ours, else raise ValueError."""
    if language not in LANGUAGES:
        raise ValueError(f"unknown language {language!r}; accepted: {', '.join(LANGUAGES)}")
    return language


def check_unit(unit: str) -> str:
    """Return ``unit`` if the oracle has it, else raise ValueError."""
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; accepted: {', '.join(UNITS)}")
    return unit
