"""The reviews grammar: how a meaning is drawn, choice by choice, from the product to the verdict.

A state remembers only what later choices need. That memory is what makes the language hard: the
product of the first sentence fixes the measure word and the number of the last; the polarities of
both clauses decide the verdict; "although" forces the second clause to disagree with the first.
"""

from __future__ import annotations

from textgen_utils.corpora.reviews.lexicon import Lexicon
from textgen_utils.corpora.reviews.meaning import END, START, Event, State, is_negation

Row = tuple[float, Event, State]


class Grammar:
    """A probabilistic grammar over meanings."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    def successors(self, state: State) -> list[Row]:
        """Return (probability, event, next state) for every choice in ``state``; [] at the end."""
        return [] if state == END else getattr(self, f"_{state.stage}")(state)

    def _product(self, state: State) -> list[Row]:
        return [
            (p, Event("product", name), State("opening", name))
            for name, p in self.lexicon.product_table.items()
        ]

    def _opening(self, state: State) -> list[Row]:
        after = State("frame", state.product)
        return [(p, Event("opening", o), after) for o, p in self.lexicon.opening_table.items()]

    def _frame(self, state: State) -> list[Row]:
        return [
            (p, Event("frame", frame), State("aspect", state.product, link=frame))
            for frame, p in self.lexicon.frame_table.items()
        ]

    def _aspect(self, state: State) -> list[Row]:
        table = self.lexicon.products[state.product].aspects
        after = state._replace(stage="degree")
        if state.first:  # the link is worded together with the aspect and needed no longer
            after = after._replace(link="")
        rows = [
            (p, Event("aspect", aspect), after._replace(aspect=aspect))
            for aspect, p in table.items()
            if aspect != state.aspect
        ]
        return _normalised(rows)

    def _degree(self, state: State) -> list[Row]:
        rows = []
        for tone, p_tone in (
            (+1, self.lexicon.tone_table["+"]),
            (-1, self.lexicon.tone_table["-"]),
        ):
            for degree, p in self.lexicon.degree_tables[tone].items():
                after = state._replace(stage="opinion", tone=tone, negated=is_negation(degree))
                wanted = state.second in (0, after.polarity)
                if wanted and self._opinion_table(after):
                    rows.append((p_tone * p, Event("degree", degree, tone), after))
        return _normalised(rows)

    def _opinion_table(self, state: State) -> dict[str, float]:
        aspect = self.lexicon.aspects[state.aspect]
        table = aspect.opinions[state.tone].items()
        return {o: p for o, p in table if aspect.adjectives[o].negatable or not state.negated}

    def _opinion(self, state: State) -> list[Row]:
        polarity = state.polarity
        if state.first:
            after = State("verdict", state.product, first=state.first, second=polarity)
        elif state.link == "plain":
            after = State("link", state.product, aspect=state.aspect, first=polarity)
        else:
            after = self._second_clause(state, polarity, state.link)
        rows = [(p, Event("opinion", o), after) for o, p in self._opinion_table(state).items()]
        return _normalised(rows)

    def _link(self, state: State) -> list[Row]:
        rows = []
        for link, p in self.lexicon.link_tables[state.first].items():
            after = self._second_clause(state, state.first, link)
            if link == "none":
                after = State("verdict", state.product, first=state.first)
            rows.append((p, Event("link", link), after))
        return rows

    def _second_clause(self, state: State, first: int, link: str) -> State:
        second = -first if link in ("but", "although") else first
        return State("aspect", state.product, link, state.aspect, first=first, second=second)

    def _verdict(self, state: State) -> list[Row]:
        table = self.lexicon.verdict_tables[state.first, state.second]
        return [(p, Event("verdict", verdict), END) for verdict, p in table.items()]

    def states(self) -> list[State]:
        """Return every state that can be reached from the start, each before its successors."""
        order: list[State] = []
        seen: set[State] = set()

        def visit(state: State) -> None:
            seen.add(state)
            for _, _, after in self.successors(state):
                if after not in seen:
                    visit(after)
            order.append(state)

        visit(START)
        return order[::-1]


def _normalised(rows: list[Row]) -> list[Row]:
    total = sum(p for p, _, _ in rows)
    return [(p / total, event, after) for p, event, after in rows]
