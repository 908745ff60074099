"""The meaning of a review: the latent factors that both languages express."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Event(NamedTuple):
    """One choice in the making of a review, e.g. ("aspect", "screen").

    ``tone`` is 0 except for degrees: "very" before a favourable adjective (+1) and "very" before an
    unfavourable one (-1) are two choices.
    """

    factor: str
    value: str
    tone: int = 0


class State(NamedTuple):
    """What has been decided and still matters.

    Attributes:
        stage: the next choice: "product", "opening", "frame", "aspect", "degree", "opinion",
            "link", "verdict"; "end" after the last.
        product: the product, once chosen.
        link: the frame of clause one; the link, while clause two awaits its aspect.
        aspect: the aspect of the clause in progress, or the one that clause two must avoid.
        tone: tone of the adjective to come; 0 if not yet drawn.
        negated: whether that adjective is negated.
        first: polarity of clause one, 0 before it is known.
        second: polarity of clause two, 0 if there is none; set in advance by the link.
    """

    stage: str
    product: str = ""
    link: str = ""
    aspect: str = ""
    tone: int = 0
    negated: bool = False
    first: int = 0
    second: int = 0

    @property
    def polarity(self) -> int:
        """Polarity of the clause in progress, once its degree is chosen."""
        return -self.tone if self.negated else self.tone


START, END = State("product"), State("end")


@dataclass(frozen=True, slots=True)
class Clause:
    """A judgement of one aspect. ``polarity`` is what it comes to: -1 for "not very sharp"."""

    aspect: str
    opinion: str
    intensity: str
    tone: int
    negated: bool

    @property
    def polarity(self) -> int:
        """+1 if the clause praises, -1 if it complains."""
        return -self.tone if self.negated else self.tone


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a review says. ``link`` is "none", "and", "but", "although" or "not only"."""

    product: str
    opening: str
    clauses: tuple[Clause, ...]
    link: str
    verdict: str

    @classmethod
    def from_events(cls, events: tuple[Event, ...]) -> Meaning:
        """Collect the events of one complete path through the grammar."""
        chosen = {event.factor: event.value for event in events}
        frame, link = chosen["frame"], chosen.get("link", "none")
        parts = [event for event in events if event.factor in ("aspect", "degree", "opinion")]
        clauses = tuple(
            Clause(
                aspect.value, opinion.value, degree.value, degree.tone, is_negation(degree.value)
            )
            for aspect, degree, opinion in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        )
        link = link if frame == "plain" else frame
        return cls(chosen["product"], chosen["opening"], clauses, link, chosen["verdict"])

    def events(self) -> tuple[Event, ...]:
        """Return the path through the grammar that has this meaning (there is only one)."""
        first, *second = self.clauses
        plain = self.link not in ("although", "not only")
        events = [Event("product", self.product), Event("opening", self.opening)]
        events += [Event("frame", "plain" if plain else self.link), *_clause_events(first)]
        if plain:
            events.append(Event("link", self.link))
        for clause in second:
            events += _clause_events(clause)
        return (*events, Event("verdict", self.verdict))


@dataclass(frozen=True, slots=True)
class Review:
    """A meaning, its two wordings and its label (1: the customer was content)."""

    meaning: Meaning
    english: str
    chinese: str
    label: int


def is_negation(degree: str) -> bool:
    """Return whether the degree turns an adjective into its opposite ("not", "not very" ...)."""
    return degree.split()[0] == "not"


def _clause_events(clause: Clause) -> list[Event]:
    degree = Event("degree", clause.intensity, clause.tone)
    return [Event("aspect", clause.aspect), degree, Event("opinion", clause.opinion)]
