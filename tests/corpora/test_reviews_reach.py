import itertools
from collections import Counter

import numpy as np
import pytest

from textgen_utils import batches
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.corpora.reviews.automaton import determinise
from textgen_utils.corpora.reviews.reach import best_of_reach

REVIEWS = Reviews()


def test_two_texts_by_hand():
    """ "a x a" or "b x b": the last letter is the first, two tokens back."""
    texts = [(0.75, ("a", "x", "a"), 1), (0.25, ("b", "x", "b"), 1)]
    automaton = determinise([texts, [(1.0, ("\n",), 0)]])
    assert automaton.symbols == ["\n", "a", "b", "x"]
    rows = np.array([[1, 3, 1, 0], [2, 3, 2, 0]])
    expected = {
        # After "a" alone, "x" and the end are equally frequent.
        1: [[0.75, 0.5, 0.75, 0.5], [0.25, 0.5, 0.25, 0.5]],
        2: [[0.75, 1, 1, 1], [0.25, 1, 1, 1]],
        3: [[0.75, 1, 1, 1], [0.25, 1, 1, 1]],
    }
    for reach, p in expected.items():
        np.testing.assert_allclose(np.exp(best_of_reach(automaton, rows, reach)), p, atol=1e-12)


@pytest.fixture(scope="module")
def rows():
    truth = REVIEWS.oracle("en", "words")
    ids = {token: i for i, token in enumerate(truth.tokens)}
    texts = [
        [*(ids[w] for w in REVIEWS.words(r.english, "en")), truth.boundary]
        for r in REVIEWS.sample(200, seed=3)
    ]
    return batches.pad(texts, truth.boundary)


def test_who_sees_everything_knows_the_truth(rows):
    ids, mask = rows
    truth = REVIEWS.oracle("en", "words").score(ids)
    best = best_of_reach(REVIEWS.automaton("en", "words"), ids, ids.shape[1])
    np.testing.assert_allclose(best[mask], truth[mask])
    long = best_of_reach(REVIEWS.automaton("en", "words"), ids, 30)
    np.testing.assert_allclose(long[mask], truth[mask], atol=1e-9)


def test_a_longer_reach_is_worth_something(rows):
    ids, mask = rows
    means = [
        best_of_reach(REVIEWS.automaton("en", "words"), ids, r)[mask].mean() for r in (1, 2, 4, 8)
    ]
    assert np.all(np.diff(means) > 0.05)


def test_shares_are_the_frequencies_of_a_large_sample(rows):
    """What follows a pair of tokens, by the formula and by counting."""
    automaton = REVIEWS.automaton("en", "words")
    ids, _ = rows
    best = best_of_reach(automaton, ids, 2)
    code = {symbol: i for i, symbol in enumerate(automaton.symbols)}
    pairs, triples = Counter(), Counter()
    for review in REVIEWS.sample(20_000, seed=1):
        text = [code[w] for w in REVIEWS.words(review.english, "en")] + [code["\n"]]
        triples.update(zip(text, text[1:], text[2:], strict=False))
        pairs.update(itertools.pairwise(text[:-1]))
    compared = 0
    for text, log_p in zip(ids[:40], best, strict=False):
        for t in range(2, 20):
            n = pairs[tuple(text[t - 2 : t])]
            if n > 500:
                p, found = np.exp(log_p[t]), triples[tuple(text[t - 2 : t + 1])] / n
                assert abs(p - found) < 5 * np.sqrt(p * (1 - p) / n) + 1e-9
                compared += 1
    assert compared > 200


def test_a_reach_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 token, got 0"):
        best_of_reach(REVIEWS.automaton("en", "words"), np.zeros((1, 3), int), 0)
