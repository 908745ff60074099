"""Diversity of texts: hand counts, sacreBLEU, and what holds for any texts."""

import re

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils import evaluation

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=9), min_size=1, max_size=4)


def test_distinct_and_repeated_grams_by_hand():
    texts = [["a", "b", "a", "b"], ["a", "b", "c"]]
    # ab ba ab, ab bc: five bigrams, three different; one occurred before in its own text.
    assert evaluation.distinct_n(texts, 2) == 3 / 5
    assert evaluation.repetition(texts, 2) == pytest.approx(1 / 5)
    assert evaluation.distinct_n(texts, 1) == 3 / 7
    assert evaluation.repetition(texts, 1) == pytest.approx(2 / 7)
    assert evaluation.distinct_n(texts, 4) == 1  # the second text has none, and does not matter


def test_ids_in_an_array_are_tokens_too():
    ids = np.array([[1, 2, 1, 2], [1, 2, 3, 0]])
    assert evaluation.distinct_n(ids, 2) == evaluation.distinct_n(ids.tolist(), 2)
    assert evaluation.repetition(list(ids), 2) == pytest.approx(1 / 6)
    assert evaluation.looping(np.ones((2, 6), int)) == 1


@given(TEXTS, st.integers(1, 3))
def test_shares_of_any_texts(texts, n):
    distinct, repeated = evaluation.distinct_n(texts, n), evaluation.repetition(texts, n)
    assert 0 < distinct <= 1
    assert 0 <= repeated < 1
    assert distinct <= 1 - repeated + 1e-12  # what repeats in its text repeats among all
    assert evaluation.distinct_n(texts * 2, n) == pytest.approx(distinct / 2)
    assert evaluation.repetition(texts * 2, n) == pytest.approx(repeated)


@given(TEXTS)
def test_a_loop_is_what_a_regular_expression_finds(texts):
    strings = ["".join(map(str, text)) for text in texts]
    for times, shortest in ((2, 1), (3, 1), (3, 2)):
        pattern = re.compile(rf"(.{{{shortest},}})\1{{{times - 1}}}$")
        found = np.mean([bool(pattern.search(s)) for s in strings])
        share = evaluation.looping(texts, times=times, shortest=shortest)
        assert share == pytest.approx(found)


def test_loops_by_hand():
    assert evaluation.looping([list("xababab"), list("ababa"), list("abababc")]) == 1 / 3
    assert evaluation.looping([list("xaaa")]) == 0  # a phrase has two tokens at least
    assert evaluation.looping([list("aaaaaa")]) == 1


def test_self_bleu_is_the_mean_of_sacrebleus_sentence_scores():
    texts = ["the cat sat on the mat.", "the cat sat on a mat.", "a dog barked", "hello"]
    each = [
        sacrebleu.sentence_bleu(text, [other for other in texts if other != text]).score
        for text in texts
    ]
    result = evaluation.self_bleu(texts)
    assert result.score == pytest.approx(np.mean(each))
    assert 0 < result.score < 100
    for part in ("nrefs:3", "tok:13a", "smooth:exp", "eff:yes"):
        assert part in result.signature


def test_self_bleu_of_copies_and_of_strangers():
    assert evaluation.self_bleu(["a b c d e"] * 2 + ["f g h i j"] * 2).score == pytest.approx(100)
    assert evaluation.self_bleu(["a b c d", "e f g h"]).score == 0
    characters = [
        evaluation.self_bleu(["ab cd", "bad c"], tokenize=t).score for t in ("13a", "char")
    ]
    assert characters[0] == 0 < characters[1]
    assert evaluation.self_bleu(["", "a b"]).score == 0


def test_more_references_make_a_higher_self_bleu():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), 12)) for _ in range(40)]
    assert evaluation.self_bleu(texts).score > evaluation.self_bleu(texts[:5]).score


@pytest.mark.parametrize("texts", [[], ["one"], "one text"])
def test_self_bleu_needs_two_texts(texts):
    with pytest.raises(ValueError, match="two texts or more"):
        evaluation.self_bleu(texts)


@pytest.mark.parametrize("measure", [evaluation.distinct_n, evaluation.repetition])
def test_bad_input(measure):
    with pytest.raises(ValueError, match="no texts"):
        measure([], 1)
    with pytest.raises(ValueError, match="none of 2 texts has 3 tokens"):
        measure([[1, 2], []], 3)
    for n in (0, 1.5):
        with pytest.raises(ValueError, match="n must be an integer of at least 1"):
            measure([[1, 2]], n)
    with pytest.raises(ValueError, match="string 'a b'"):
        measure(["a b"], 1)


def test_bad_loops():
    for settings, message in (({"times": 1}, "times"), ({"shortest": 0}, "shortest")):
        with pytest.raises(ValueError, match=message):
            evaluation.looping([[1, 2]], **settings)
    with pytest.raises(ValueError, match="no texts"):
        evaluation.looping([])
