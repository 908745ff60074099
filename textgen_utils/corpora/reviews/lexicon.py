"""What the reviews language can talk about, and how often: types, checks and shrinking.

A *table* is a dict from a value to its probability; every table sums to 1. The words themselves
are in ``vocabulary.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

LANGUAGES = ("en", "zh")

Table = Mapping[str, float]
Wording = Mapping[str, Table]  # language -> {phrase: probability}, the synonyms


def zipf(values: Iterable[str], exponent: float = 1.0) -> dict[str, float]:
    """Give the r-th value (r = 1, 2, ...) a probability proportional to r ** -exponent."""
    values = list(values)
    weights = [rank**-exponent for rank in range(1, len(values) + 1)]
    return {value: weight / sum(weights) for value, weight in zip(values, weights, strict=True)}


@dataclass(frozen=True)
class Product:
    """A thing that is reviewed. ``verb`` is what one does with it: {"en": "using", "zh": "用"}."""

    nouns: Wording
    plural: bool
    measure_word: str
    verb: Mapping[str, str]
    aspects: Table


@dataclass(frozen=True)
class Opinion:
    """An adjective: tone +1 or -1, strength > 0; ``negatable``: "not heavy" is a thing to say.

    Any opinion of tone +1 can be negated.
    """

    tone: int
    words: Wording
    strength: float = 1.0
    negatable: bool = False


@dataclass(frozen=True)
class Aspect:
    """A part or property. ``owned``: one may say "its screen"; nobody says "its delivery"."""

    nouns: Wording
    plural: bool
    opinions: Mapping[int, Table]  # tone -> {opinion: probability}
    adjectives: Mapping[str, Opinion]
    owned: bool = True


@dataclass(frozen=True)
class Degree:
    """An adverb. ``scale`` multiplies the strength of the opinion.

    A negation has scale < 0 and a name that begins with "not"; no other degree has either.
    """

    words: Wording
    scale: float


@dataclass(frozen=True)
class Verdict:
    """A closing sentence: its sign (+1, 0, -1), what it adds to the score, its templates."""

    sign: int
    score: float
    words: Wording


@dataclass(frozen=True)
class Lexicon:
    """Everything the grammar needs: values, their probabilities and their wordings.

    Attributes:
        product_table, opening_table: probabilities of the first two choices.
        frame_table: how the first clause begins: "plain", "although" or "not only".
        tone_table: {"+": p, "-": 1 - p}, the adjective's tone before its degree is chosen.
        degree_tables: tone -> {degree: probability}.
        link_tables: polarity of the first clause -> {"none" | "and" | "but": probability}.
        verdict_tables: (polarity of first clause, of second or 0) -> {verdict: probability}.
        connectives: "along" or "against" (the last clause) -> wording of the closing's first words.
        markers: wording of " Although" / " Not only" / ", but" ... by name, with {} for the aspect.

    Raises:
        ValueError: a table does not sum to 1, or names a value that has no entry; a product has
            fewer than two aspects; a degree's name and scale disagree about negation.
    """

    products: Mapping[str, Product]
    aspects: Mapping[str, Aspect]
    openings: Mapping[str, Wording]
    degrees: Mapping[str, Degree]
    verdicts: Mapping[str, Verdict]
    connectives: Mapping[str, Wording]
    markers: Mapping[str, Wording]
    product_table: Table
    opening_table: Table
    frame_table: Table
    tone_table: Table
    degree_tables: Mapping[int, Table]
    link_tables: Mapping[int, Table]
    verdict_tables: Mapping[tuple[int, int], Table]

    def __post_init__(self) -> None:
        for name, table, known in _tables(self):
            check_table(name, table, known)
        for name, product in self.products.items():
            if len(product.aspects) < 2:
                raise ValueError(f"{name}: two clauses need two aspects, has {[*product.aspects]}")
        for name, degree in self.degrees.items():
            if (degree.scale < 0) != (name.split()[0] == "not"):
                raise ValueError(f"{name}: 'not ...' goes with scale < 0, received {degree.scale}")

    def shrink(self, keep: int, synonyms: int) -> Lexicon:
        """Return a small language: the first ``keep`` values of every table, renormalised.

        Frames, links and tones are kept whole, so that the small language has every construction.
        """
        if keep < 1 or synonyms < 1:
            raise ValueError(f"keep and synonyms must be at least 1, received {keep}, {synonyms}")

        def words(wording: Wording) -> Wording:
            return {language: _first(table, synonyms) for language, table in wording.items()}

        return replace(
            self,
            products={
                name: replace(p, nouns=words(p.nouns), aspects=_first(p.aspects, max(keep, 2)))
                for name, p in self.products.items()
            },
            aspects={name: _shrink_aspect(a, keep, words) for name, a in self.aspects.items()},
            openings={name: words(w) for name, w in self.openings.items()},
            degrees={name: replace(d, words=words(d.words)) for name, d in self.degrees.items()},
            verdicts={name: replace(v, words=words(v.words)) for name, v in self.verdicts.items()},
            connectives={name: words(w) for name, w in self.connectives.items()},
            markers={name: words(w) for name, w in self.markers.items()},
            product_table=_first(self.product_table, keep),
            opening_table=_first(self.opening_table, keep),
            degree_tables={tone: _first(t, keep) for tone, t in self.degree_tables.items()},
            verdict_tables={key: _first(t, keep) for key, t in self.verdict_tables.items()},
        )


def check_table(name: str, table: Table, known: Iterable[str] | None = None) -> None:
    """Raise ValueError unless the table is a probability distribution over known values."""
    if not table or min(table.values()) <= 0 or not math.isclose(sum(table.values()), 1.0):
        total = sum(table.values())
        raise ValueError(f"{name}: probabilities must be > 0 and sum to 1, received sum {total}")
    if known is not None and (unknown := set(table) - set(known)):
        raise ValueError(f"{name}: no entry for {sorted(unknown)}; known: {sorted(known)}")


def _first(table: Table, keep: int) -> dict[str, float]:
    kept = dict(list(table.items())[:keep])
    return {value: p / sum(kept.values()) for value, p in kept.items()}


def _shrink_aspect(aspect: Aspect, keep: int, words: Callable[[Wording], Wording]) -> Aspect:
    opinions = {tone: _first(table, keep) for tone, table in aspect.opinions.items()}
    adjectives = {name: replace(o, words=words(o.words)) for name, o in aspect.adjectives.items()}
    return replace(aspect, nouns=words(aspect.nouns), opinions=opinions, adjectives=adjectives)


def _tables(lexicon: Lexicon) -> Iterable[tuple[str, Table, Iterable[str] | None]]:
    yield "product_table", lexicon.product_table, lexicon.products
    yield "opening_table", lexicon.opening_table, lexicon.openings
    yield "frame_table", lexicon.frame_table, ("plain", "although", "not only")
    yield "tone_table", lexicon.tone_table, ("+", "-")
    for tone, table in lexicon.degree_tables.items():
        yield f"degree_tables[{tone}]", table, lexicon.degrees
    for polarity, table in lexicon.link_tables.items():
        yield f"link_tables[{polarity}]", table, ("none", "and", "but")
    for key, table in lexicon.verdict_tables.items():
        yield f"verdict_tables[{key}]", table, lexicon.verdicts
    for name, product in lexicon.products.items():
        yield f"aspects of {name}", product.aspects, lexicon.aspects
    for name, aspect in lexicon.aspects.items():
        for tone, table in aspect.opinions.items():
            yield f"opinions on {name} of tone {tone}", table, aspect.adjectives
    for name, wording in _wordings(lexicon):
        for language in LANGUAGES:
            yield f"wording of {name} in {language}", wording[language], None


def _wordings(lexicon: Lexicon) -> Iterable[tuple[str, Wording]]:
    yield from lexicon.openings.items()
    yield from lexicon.connectives.items()
    yield from lexicon.markers.items()
    for name, entry in (*lexicon.products.items(), *lexicon.aspects.items()):
        yield name, entry.nouns
    for name, entry in (*lexicon.degrees.items(), *lexicon.verdicts.items()):
        yield name, entry.words
    for aspect in lexicon.aspects.values():
        yield from ((name, opinion.words) for name, opinion in aspect.adjectives.items())
