import hashlib
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from textgen_utils.corpora import splits


def test_uniform_is_the_digest_read_as_a_binary_fraction():
    bits = bin(int(hashlib.sha256("猫".encode()).hexdigest(), 16))[2:].zfill(256)[:53]
    expected = sum(int(bit) / 2 ** (i + 1) for i, bit in enumerate(bits))
    assert splits.uniform("猫") == expected


def test_parts_of_known_keys_never_change():
    # Recorded when the split was made: a change would silently leak test items into train.
    found = {part: [] for part in splits.PARTS}
    for k in range(100):
        found[splits.by_hash(f"k{k}")].append(k)
    assert found["valid"] == [37, 39, 41, 42, 67, 81, 85, 88]
    assert found["test"] == [7, 23, 33, 40, 97]


@pytest.mark.parametrize("fractions", [(0.9, 0.05, 0.05), (0.5, 0.25, 0.25), (0.9, 0.1, 0.0)])
def test_shares_are_as_asked_within_five_standard_errors(fractions):
    n = 20_000
    parts = [splits.by_hash(f"item {i}", fractions) for i in range(n)]
    for name, share in zip(splits.PARTS, fractions, strict=True):
        error = (share * (1 - share) / n) ** 0.5
        assert abs(parts.count(name) / n - share) <= 5 * error


@given(st.lists(st.text(max_size=5)))
def test_partition_keeps_every_item_once_and_equal_keys_together(items):
    parts = splits.partition(items, key=str.lower, fractions=(0.4, 0.3, 0.3))
    assert sorted(chain(*parts)) == sorted(items)
    keys = [{item.lower() for item in part} for part in parts]
    assert all(a.isdisjoint(b) for a, b in combinations(keys, 2))


@given(st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True))
def test_closed_vocabulary_moves_only_what_it_must(items):
    fractions = (0.4, 0.3, 0.3)
    plain = splits.partition(items, key=str, fractions=fractions)
    train, valid, test = splits.partition(items, key=str, fractions=fractions, symbols=set)
    assert set("".join(valid + test)) <= set("".join(train))
    known = set("".join(plain[0]))
    assert set(train) - set(plain[0]) == {i for i in plain[1] + plain[2] if set(i) - known}
    assert train == [i for i in items if i in set(train)]  # order kept


@given(st.lists(st.text("aAbBcC", min_size=1, max_size=3), unique=True))
def test_closed_vocabulary_separates_no_keys(items):
    fractions = (0.4, 0.3, 0.3)
    parts = splits.partition(items, key=str.lower, fractions=fractions, symbols=set)
    keys = [{item.lower() for item in part} for part in parts]
    assert all(a.isdisjoint(b) for a, b in combinations(keys, 2))
    assert set("".join(parts[1] + parts[2])) <= set("".join(parts[0]))


@given(st.sets(st.text("abc", max_size=3), min_size=1))
def test_families_are_the_connected_components(items):
    family = splits.families(items, set)  # strings that share a letter belong together
    order = sorted(items)
    linked = np.array([[bool(set(a) & set(b)) for b in order] for a in order])
    _, labels = connected_components(linked)
    for label in set(labels):
        members = [item for item, other in zip(order, labels, strict=True) if other == label]
        assert {family[item] for item in members} == {min(members)}
    assert set(family) == items


def test_shuffled_is_a_permutation_that_ignores_the_given_order():
    items = [f"{i:03}" for i in range(200)]
    order = splits.shuffled(items)
    assert order == splits.shuffled(items[::-1])
    assert sorted(order) == items
    assert order != items
    # independent of the part: the first half of the order has its share of valid and test
    held_out = [splits.by_hash(i, (0.5, 0.25, 0.25)) != "train" for i in order]
    assert 25 <= sum(held_out[:100]) <= 75


@pytest.mark.parametrize("fractions", [(0.9, 0.1), (0.9, 0.2, -0.1), (0.5, 0.1, 0.1)])
def test_bad_fractions_are_refused(fractions):
    with pytest.raises(ValueError, match=r"three shares .* sum to 1, got \(0"):
        splits.by_hash("a", fractions)
    with pytest.raises(ValueError, match="sum to 1"):
        splits.partition(["a"], key=str, fractions=fractions)
