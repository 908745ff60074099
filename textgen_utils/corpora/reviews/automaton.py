"""A probabilistic grammar as a deterministic automaton, and what can be computed on it exactly.

The grammar chooses phrases; a language model sees symbols (words or characters). After a prefix,
several phrases may still be possible, so one knows a *distribution* over partly spoken phrases. The
automaton has one state for each such distribution: the subset construction, with weights. Because
the weights are normalised, an arc carries the exact probability of the next symbol given the whole
prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A partly spoken phrase: what is still to be said (str or tuple of words), then the node reached.
Item = tuple[Sequence[str], int]
Emissions = list[list[tuple[float, Sequence[str], int]]]  # node -> (probability, phrase, next node)


@dataclass(frozen=True, eq=False)
class Automaton:
    """Arcs of a deterministic acyclic automaton (but for the boundary, which returns to state 0).

    States are numbered in topological order from 0, the start of a text; the last is the one where
    only the boundary is left to say. Arcs are sorted by source, then by symbol.

    Attributes:
        symbols: the sorted alphabet, boundary included.
        source, symbol, target: (arcs,) int64; ``symbol`` indexes ``symbols``.
        log_prob: (arcs,) float64, nats, log p(symbol | the whole prefix).
        states: how many states there are.
    """

    symbols: list[str]
    source: np.ndarray
    symbol: np.ndarray
    target: np.ndarray
    log_prob: np.ndarray
    states: int

    def _forward(self) -> np.ndarray:
        """Return the probability of visiting each state during one text, (states,) float64."""
        visits = [0.0] * self.states
        visits[0] = 1.0
        arcs = (self.source, self.target, np.exp(self.log_prob))
        for source, target, p in zip(*(array.tolist() for array in arcs), strict=True):
            if target:
                visits[target] += visits[source] * p
        return np.array(visits)

    def entropy(self) -> float:
        """Return the entropy of a text in nats: the chain rule, state by state."""
        weight = self._forward()[self.source] * np.exp(self.log_prob)
        return float(-(weight @ self.log_prob))

    def expected_length(self) -> float:
        """Return the expected number of symbols of a text, its final boundary included."""
        return float(self._forward().sum())

    def count(self) -> int:
        """Return the exact number of different texts."""
        ways = [0] * self.states
        ways[0] = 1
        total = 0
        for source, target in zip(self.source.tolist(), self.target.tolist(), strict=True):
            if target:
                ways[target] += ways[source]
            else:
                total += ways[source]
        return total


def determinise(emissions: Emissions) -> Automaton:
    """Return the deterministic automaton of a network of phrases.

    Args:
        emissions: for each node, its phrases with probabilities and the nodes that follow; node 0
            is the start; no phrase is empty. Acyclic, but for phrases that lead back to node 0.
    """
    nothing = emissions[0][0][1][:0]  # "" or ()
    start: tuple[tuple[Item, float], ...] = (((nothing, 0), 1.0),)
    number = {start: 0}
    arcs: list[tuple[int, str, int, float]] = []
    queue = [start]
    for key in queue:
        source = number[key]
        for symbol, group in _by_symbol(key, emissions).items():
            mass = sum(group.values())
            # Equal distributions may differ in their last bits: rounding makes them equal keys.
            after = tuple(sorted((item, round(w / mass, 12)) for item, w in group.items()))
            if after not in number:
                number[after] = len(number)
                queue.append(after)
            arcs.append((source, symbol, number[after], mass))
    return _assemble(arcs, len(number))


def _by_symbol(key: tuple, emissions: Emissions) -> dict[str, dict[Item, float]]:
    """Group what may be said next by its first symbol; what remains of it becomes the new items."""
    groups: dict[str, dict[Item, float]] = {}
    for (rest, node), weight in key:
        phrases = ((weight, rest, node),) if rest else emissions[node]
        scale = 1.0 if rest else weight
        for p, phrase, following in phrases:
            group = groups.setdefault(phrase[0], {})
            item = (phrase[1:], following)
            group[item] = group.get(item, 0.0) + scale * p
    return groups


def _assemble(arcs: list[tuple[int, str, int, float]], states: int) -> Automaton:
    """Renumber the states topologically and sort the arcs."""
    source, target = (np.array([arc[i] for arc in arcs], dtype=np.int64) for i in (0, 2))
    symbols, symbol = np.unique([arc[1] for arc in arcs], return_inverse=True)
    log_prob = np.minimum(np.log([arc[3] for arc in arcs]), 0.0)
    rank = _topological_rank(source, target, states)
    source, target = rank[source], rank[target]
    order = np.lexsort((symbol, source))
    columns = (column[order] for column in (source, symbol, target, log_prob))
    return Automaton(symbols.tolist(), *columns, states)


def _topological_rank(source: np.ndarray, target: np.ndarray, states: int) -> np.ndarray:
    waiting = np.bincount(target[target > 0], minlength=states).tolist()
    first = np.searchsorted(source, np.arange(states + 1)).tolist()  # arcs come sorted by source
    targets, queue = target.tolist(), [0]
    for state in queue:
        for following in targets[first[state] : first[state + 1]]:
            waiting[following] -= 1
            if waiting[following] == 0 and following:
                queue.append(following)
    rank = np.empty(states, dtype=np.int64)
    rank[queue] = np.arange(states)
    return rank
