import math
from collections import Counter

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from textgen_utils.corpora.reviews import Reviews
from textgen_utils.evaluation import bleu, exact_match, phoneme_error_rate, word_error_rate

PHONEMES = ["AA", "B", "CH", "IY"]
SPOKEN = st.lists(st.sampled_from(PHONEMES), max_size=6)
LISTED = st.lists(st.lists(st.sampled_from(PHONEMES), min_size=1, max_size=6), min_size=1)
WORDS = st.lists(st.tuples(SPOKEN, LISTED.map(lambda listed: listed[:3])), min_size=1, max_size=5)


def distance(a, b):
    """Levenshtein's: row by row of the table of prefixes."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, last = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


def columns(words):
    return [hypothesis for hypothesis, _ in words], [listed for _, listed in words]


# Error rates


@given(WORDS)
def test_phonemes_are_counted_as_by_a_table_of_prefixes(words):
    edits = phonemes = 0
    for hypothesis, listed in words:
        distances = [distance(reference, hypothesis) for reference in listed]
        edits += min(distances)
        phonemes += len(listed[distances.index(min(distances))])
    assert phoneme_error_rate(*columns(words)) == pytest.approx(edits / phonemes)


@given(WORDS)
def test_one_reference_each_is_jiwer_on_the_whole_corpus(words):
    hypotheses, listed = columns(words)
    expected = jiwer.wer([" ".join(right[0]) for right in listed], list(map(" ".join, hypotheses)))
    found = phoneme_error_rate(hypotheses, [right[:1] for right in listed])
    assert found == pytest.approx(expected)


@given(WORDS)
def test_a_word_is_right_if_it_is_listed_and_more_references_never_hurt(words):
    hypotheses, listed = columns(words)
    wrong = sum(hypothesis not in right for hypothesis, right in words)
    assert word_error_rate(hypotheses, listed) == pytest.approx(wrong / len(words))
    assert word_error_rate(hypotheses, listed) <= word_error_rate(
        hypotheses, [right[:1] for right in listed]
    )
    added = [[*right, hypothesis] for hypothesis, right in words if hypothesis]
    said = [hypothesis for hypothesis in hypotheses if hypothesis]
    if said:
        assert word_error_rate(said, added) == phoneme_error_rate(said, added) == 0


def test_error_rates_of_a_small_corpus_by_hand():
    hypotheses = [["K", "AE", "T"], ["D", "AO"], [], ["T", "AH", "M", "EY", "T", "OW"]]
    listed = [
        [["K", "AE", "T"]],
        [["D", "AO", "G"], ["D", "AA", "G"]],  # one deletion in three
        [["AH"], ["EY", "IY"]],  # nearest: one deletion in one
        [["T", "AH", "M", "AA", "T", "OW"], ["T", "AH", "M", "EY", "T", "OW"]],
    ]
    assert word_error_rate(hypotheses, listed) == 2 / 4
    assert phoneme_error_rate(hypotheses, listed) == pytest.approx(2 / (3 + 3 + 1 + 6))


def test_of_equally_near_references_the_first_gives_the_length():
    assert phoneme_error_rate([["B"]], [[["B", "IY"], ["AA"]]]) == 1 / 2
    assert phoneme_error_rate([["B"]], [[["AA"], ["B", "IY"]]]) == 1


def test_insertions_may_make_more_errors_than_phonemes():
    assert phoneme_error_rate([["AA", "B", "CH", "IY"]], [[["AA"]]]) == 3


# Exact match


def test_exact_match_is_a_share():
    assert exact_match(["a", "b", "c", "d"], [{"a"}, ["x", "b"], ("y",), {"d": 1}]) == 3 / 4


def test_exact_match_takes_a_set_that_is_not_written_out():
    reviews = Reviews()
    sample = reviews.sample(20, seed=4)
    right = [reviews.translations(review.english, "en") for review in sample]
    assert exact_match([review.chinese for review in sample], right) == 1
    assert exact_match([review.chinese[1:] for review in sample], right) == 0


# BLEU


def bleu_by_hand(hypotheses, references):
    """Papineni's formula on lists of tokens: clipped precisions and the nearest length."""
    matches, totals = [0] * 4, [0] * 4
    length = nearest = 0
    for hypothesis, right in zip(hypotheses, references, strict=True):
        length += len(hypothesis)
        nearest += min((abs(len(r) - len(hypothesis)), len(r)) for r in right)[1]
        for n in range(4):
            most = Counter()
            for reference in right:
                most |= _grams(reference, n + 1)
            seen = _grams(hypothesis, n + 1)
            matches[n] += (seen & most).total()
            totals[n] += seen.total()
    brevity = min(0.0, 1 - nearest / length)
    return 100 * math.exp(
        brevity + sum(math.log(m / t) for m, t in zip(matches, totals, strict=True)) / 4
    )


def _grams(tokens, n):
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


ENGLISH = (
    ["the cat sat on the mat today", "a dog ran to the old house", "we like green tea very much"],
    [
        ["the cat sat on a mat today", "the cat was on the mat"],
        ["a dog ran to the old barn quickly"],
        ["we all like green tea very much", "we like tea", "green tea is what we like"],
    ],
)
CHINESE = (
    ["这个手机的电池很好用", "我不喜欢这台电脑"],
    [["这个手机的电池非常好用", "手机电池很好"], ["我不太喜欢这台电脑"]],
)


def test_bleu_of_words_is_papinenis():
    hypotheses, references = ENGLISH
    expected = bleu_by_hand(
        [h.split() for h in hypotheses], [[r.split() for r in right] for right in references]
    )
    assert bleu(hypotheses, references).score == pytest.approx(expected)
    one = [right[:1] for right in references]
    expected = bleu_by_hand(
        [h.split() for h in hypotheses], [[right[0].split()] for right in references]
    )
    assert bleu(hypotheses, one).score == pytest.approx(expected)


@pytest.mark.parametrize("tokenize", ["zh", "char"])
def test_bleu_of_chinese_is_that_of_its_characters(tokenize):
    hypotheses, references = CHINESE
    expected = bleu_by_hand(
        list(map(list, hypotheses)), [list(map(list, right)) for right in references]
    )
    assert bleu(hypotheses, references, tokenize=tokenize).score == pytest.approx(expected)


def test_bleu_is_sacrebleus_and_says_by_which_convention():
    hypotheses, references = ENGLISH
    ranks = [[right[k % len(right)] for right in references] for k in range(2)]
    full = [list(pair) for pair in zip(*ranks, strict=True)]
    metric = BLEU()
    assert bleu(hypotheses, full).score == metric.corpus_score(hypotheses, ranks).score
    signature = bleu(hypotheses, full).signature
    assert "nrefs:2" in signature
    assert "tok:13a" in signature
    assert "tok:zh" in bleu(*CHINESE, tokenize="zh").signature


def test_a_perfect_text_has_100_and_an_empty_one_nothing():
    _, references = ENGLISH
    assert bleu([right[-1] for right in references], references).score == pytest.approx(100)
    assert bleu(["", "", ""], references).score == 0


# Bad input


@pytest.mark.parametrize("metric", [exact_match, bleu, word_error_rate, phoneme_error_rate])
def test_nothing_to_measure_and_unequal_numbers_are_refused(metric):
    with pytest.raises(ValueError, match="nothing to measure"):
        metric([], [])
    with pytest.raises(ValueError, match="got 1 hypotheses but references for 2"):
        metric([["a"]], [[["a"]], [["a"]]])
    with pytest.raises(ValueError, match="hypothesis 1 has no reference"):
        metric([["a"], ["b"]], [[["a"]], []])


def test_a_text_in_the_place_of_a_list_is_refused():
    with pytest.raises(ValueError, match="put it in a list"):
        exact_match(["a"], ["abc"])
    with pytest.raises(ValueError, match="put it in a list"):
        bleu(["a b c d"], ["a b c d"])
    for metric in (word_error_rate, phoneme_error_rate):
        with pytest.raises(ValueError, match="list of phonemes, got the text 'K AE T'"):
            metric(["K AE T"], [[["K", "AE", "T"]]])
        with pytest.raises(ValueError, match="list of phonemes, got the text 'K'"):
            metric([["K", "AE", "T"]], [["K", "AE", "T"]])


def test_an_empty_reference_has_no_rate():
    with pytest.raises(ValueError, match="reference pronunciation is empty"):
        phoneme_error_rate([["AA"]], [[["AA"], []]])
    assert word_error_rate([[]], [[[]]]) == 0
