"""Between strings and the grammar: derivations of a string, its words, the network of phrases."""

from __future__ import annotations

from collections.abc import Iterator

from textgen_utils.corpora.reviews.automaton import Emissions
from textgen_utils.corpora.reviews.grammar import Grammar
from textgen_utils.corpora.reviews.meaning import END, START, Event, State
from textgen_utils.corpora.reviews.realisation import Realiser


class Parser:
    """Finds how the grammar makes a string, by trying every choice whose words fit."""

    def __init__(self, grammar: Grammar, realiser: Realiser, language: str) -> None:
        self._phrases = {
            state: [
                (p * q, "".join(tokens), event, after)
                for p, event, after in grammar.successors(state)
                for q, tokens in realiser.realise(event, state, language)
            ]
            for state in grammar.states()
        }

    def derivations(self, string: str) -> Iterator[tuple[float, tuple[Event, ...]]]:
        """Yield (probability, events) of every way to derive ``string``."""
        stack: list[tuple[float, State, int, tuple[Event, ...]]] = [(1.0, START, 0, ())]
        while stack:
            p, state, position, events = stack.pop()
            if state == END and position == len(string):
                yield p, events
            for q, text, event, after in self._phrases[state]:
                if string.startswith(text, position):
                    stack.append((p * q, after, position + len(text), (*events, event)))


def longest_match(string: str, vocabulary: set[str]) -> list[str]:
    """Split a string, left to right, always taking the longest word of the vocabulary.

    Raises:
        ValueError: no word of the vocabulary fits somewhere.
    """
    longest = max(map(len, vocabulary))
    words, start = [], 0
    while start < len(string):
        ends = range(min(len(string), start + longest), start, -1)
        end = next((end for end in ends if string[start:end] in vocabulary), None)
        if end is None:
            raise ValueError(f"no known word at position {start} of {string!r}")
        words.append(string[start:end])
        start = end
    return words


def emissions(grammar: Grammar, realiser: Realiser, language: str, unit: str) -> Emissions:
    """Return the grammar as a network of phrases, skipping the choices that say nothing yet.

    Nodes are the grammar's states in the order of ``grammar.states()``; a phrase is a str for the
    unit "characters", a tuple of words for "words".
    """
    states = grammar.states()
    number = {state: i for i, state in enumerate(states)}
    join = "".join if unit == "characters" else tuple
    network: Emissions = [[] for _ in states]
    network[number[END]] = [(1.0, join(["\n"]), 0)]

    def fill(state: State, node: int, scale: float) -> None:
        for p, event, after in grammar.successors(state):
            for q, tokens in realiser.realise(event, state, language):
                if tokens:
                    network[node].append((scale * p * q, join(tokens), number[after]))
                else:
                    fill(after, node, scale * p * q)

    for state in states:
        fill(state, number[state], 1.0)
    return network
