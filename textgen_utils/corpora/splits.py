"""Splitting by a hash: the same item is in the same part on every machine, for ever.

A part is decided from the item alone, not from its position or from a random number, so adding
or removing other items moves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Fractions = tuple[float, float, float]

PARTS = ("train", "valid", "test")
FRACTIONS: Fractions = (0.90, 0.05, 0.05)


def uniform(key: str) -> float:
    """Maps a string to [0, 1), evenly and always in the same way (first 53 bits of SHA-256)."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def by_hash(key: str, fractions: Fractions = FRACTIONS) -> str:
    """The part that `key` belongs to.

    Args:
        key: what identifies the item; equal keys are never separated.
        fractions: expected shares of train, valid and test.

    Returns:
        "train", "valid" or "test".

    Raises:
        ValueError: the fractions are not three shares that sum to 1.
    """
    _check(fractions)
    place = uniform(key)
    if place < fractions[0]:
        return PARTS[0]
    return PARTS[1] if place < fractions[0] + fractions[1] else PARTS[2]


def partition(
    items: Sequence[Item],
    key: Callable[[Item], str],
    fractions: Fractions = FRACTIONS,
    symbols: Callable[[Item], Iterable[str]] | None = None,
) -> tuple[list[Item], list[Item], list[Item]]:
    """Splits items in three by the hash of their key, keeping their order.

    Args:
        items: what is to be split, hashable.
        key: gives the string that decides; equal keys are never separated.
        fractions: expected shares of train, valid and test.
        symbols: where given, an item of valid or test that has a symbol which no item hashed to
            train has is moved to train with all items of its key, so that a model of the
            training symbols can score the other parts. What is moved is rare: the parts become
            slightly easier.

    Returns:
        The train, valid and test items.

    Raises:
        ValueError: the fractions are not three shares that sum to 1.
    """
    _check(fractions)
    keys = {item: key(item) for item in items}
    part = {k: by_hash(k, fractions) for k in set(keys.values())}
    if symbols is not None:
        known = {s for item, k in keys.items() if part[k] == "train" for s in symbols(item)}
        for item, k in keys.items():
            if not known.issuperset(symbols(item)):
                part[k] = "train"
    return tuple([item for item in items if part[keys[item]] == name] for name in PARTS)


def families(items: Iterable[str], signs: Callable[[str], Iterable[Hashable]]) -> dict[str, str]:
    """Groups items that must not be separated, to split by group and not by item.

    Args:
        items: distinct strings.
        signs: gives the signs of an item; items with a common sign are of one family, and so are
            all that are linked through others.

    Returns:
        item -> the first of its family, in the order of code points.
    """
    parent: dict[str, str] = {}

    def root(item: str) -> str:
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    owner: dict[Hashable, str] = {}
    for item in sorted(items):
        parent[item] = item
        for sign in signs(item):
            a, b = root(owner.setdefault(sign, item)), root(item)
            parent[max(a, b)] = min(a, b)
    return {item: root(item) for item in parent}


def shuffled(items: Sequence[str]) -> list[str]:
    """The items in an order that depends on nothing but their text (and not on their part)."""
    return sorted(items, key=lambda item: (uniform(f"order:{item}"), item))


def _check(fractions: Fractions) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(
            f"fractions must be three shares (train, valid, test) that sum to 1, got {fractions!r}"
        )
