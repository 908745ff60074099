"""From choices to words: every wording of a choice, in English or in Chinese."""

from __future__ import annotations

import re

from textgen_utils.corpora.reviews.lexicon import Lexicon, Product, Table
from textgen_utils.corpora.reviews.meaning import Event, State

Tokens = tuple[str, ...]
Wordings = list[tuple[float, Tokens]]
Templates = list[tuple[float, str]]

_ENGLISH_WORD = re.compile(r" ?[A-Za-z']+| ?[0-9]+|[^\sA-Za-z0-9]|\s")


class Realiser:
    """Words for the grammar's choices.

    English tokens carry their leading space and Chinese has none, so that joining tokens gives the
    text in both languages.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self._known: dict[tuple[Event, State, str], Wordings] = {}

    def realise(self, event: Event, state: State, language: str) -> Wordings:
        """Return (probability, tokens) for every wording of ``event`` when chosen in ``state``."""
        key = (event, state, language)
        if key not in self._known:
            self._known[key] = self._realise(event, state, language)
        return self._known[key]

    def _realise(self, event: Event, state: State, language: str) -> Wordings:
        if event.factor in ("product", "frame", "link"):
            return [(1.0, ())]  # shows later: in the opening, and together with the aspect
        product = self.lexicon.products[state.product]
        totals: dict[Tokens, float] = {}
        for p, text in getattr(self, f"_{event.factor}")(event, state, language):
            for q, tokens in _fill(text, product, language):
                totals[tokens] = totals.get(tokens, 0.0) + p * q
        return [(p, tokens) for tokens, p in totals.items()]

    def _opening(self, event: Event, state: State, language: str) -> Templates:
        return _pairs(self.lexicon.openings[event.value][language])

    def _degree(self, event: Event, state: State, language: str) -> Templates:
        table = self.lexicon.degrees[event.value].words[language]
        return [(p, f" {text}" if text else "") for p, text in _pairs(table)]

    def _opinion(self, event: Event, state: State, language: str) -> Templates:
        words = self.lexicon.aspects[state.aspect].adjectives[event.value].words
        return [(p, f" {text}") for p, text in _pairs(words[language])]

    def _aspect(self, event: Event, state: State, language: str) -> Templates:
        aspect = self.lexicon.aspects[event.value]
        marker = state.link
        if state.first and marker in ("although", "not only"):
            marker = f"after {marker}"
        determiners = self.lexicon.markers["determiner"][language]
        determiners = determiners if aspect.owned else dict.fromkeys(list(determiners)[:1], 1.0)
        inverted = marker == "not only"  # "Not only is the screen sharp"
        rows = []
        for p, template in _pairs(self.lexicon.markers[marker][language]):
            for q, determiner in _pairs(determiners):
                for r, noun in _pairs(aspect.nouns[language]):
                    subject = f"{determiner} {noun}"
                    if language == "en":
                        copula = "are" if aspect.plural else "is"
                        subject = f"{copula} {subject}" if inverted else f"{subject} {copula}"
                    text = template.replace("{}", subject)
                    starts_sentence = language == "en" and not state.first
                    rows.append((p * q * r, f" ^{text}" if starts_sentence else text))
        return rows

    def _verdict(self, event: Event, state: State, language: str) -> Templates:
        verdict = self.lexicon.verdicts[event.value]
        against = verdict.sign * (state.second or state.first) < 0
        connectives = self.lexicon.connectives["against" if against else "along"][language]
        template = {"en": ". ^{first}{rest}.", "zh": "。 {first}{rest} 。"}[language]
        return [
            (
                p * q,
                template.replace("{first}", f"{first} " if first else "").replace("{rest}", rest),
            )
            for p, first in _pairs(connectives)
            for q, rest in _pairs(verdict.words[language])
        ]


def _pairs(table: Table) -> Templates:
    return [(p, text) for text, p in table.items()]


def _fill(text: str, product: Product, language: str) -> Wordings:
    """Put the product, in every wording, into a template and split the result into tokens."""
    nouns = product.nouns[language] if "{this}" in text else {"": 1.0}
    return [
        (p, split(text.format(**_fields(product, noun, language)), language))
        for noun, p in nouns.items()
    ]


def _fields(product: Product, noun: str, language: str) -> dict[str, str]:
    if language == "zh":
        measure = product.measure_word
        return {"this": f"这 {measure} {noun}", "one": f"一 {measure}", "use": product.verb["zh"]}
    number = ("these", "they", "them", "their", "are", "were") if product.plural else (
        "this", "it", "it", "its", "is", "was")  # fmt: skip
    fields = dict(zip(("this", "they", "it", "its", "is", "was"), number, strict=True))
    fields["this"] += f" {noun}"
    return fields | {"using": product.verb["en"]}


def split(text: str, language: str) -> Tokens:
    """Split a filled template into tokens; ``^`` capitalises the English letter after it."""
    if language == "zh":
        return tuple(text.split())
    text = re.sub(r"\^(.)", lambda match: match[1].upper(), text)
    return tuple(_ENGLISH_WORD.findall(text))
