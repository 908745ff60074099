"""Cleaning: one spelling, no copies, no leaks; and the noise it is measured with."""

import difflib
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from textgen_utils.corpora import cleaning, noise, spelling

# Characters that normalising treats in different ways, and any others.
tricky = st.sampled_from('好啊中 　,.!?:;()，。！？：；（）．0123ab/ＡＢ３\u200b\u0301\t\n｡“"é')
strings = st.text(st.one_of(tricky, st.characters(exclude_categories=["Cs"])), max_size=12)
languages = st.sampled_from(cleaning.LANGUAGES)
short = st.lists(st.text("abc", max_size=7), max_size=12)


# Normalising


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("zh", "我用Keras 3.0 , 很好!　价格（３.５元)。", "我用Keras 3.0，很好！价格（3.5元）。"),
        ("zh", "时间10：30, 见http://a.b/c ...好", "时间10:30，见http://a.b/c ...好"),
        ("zh", "很 好.\n ＯＫ， good. ", "很好。\nOK, good."),
        ("zh", "你好(hello)\u200b.", "你好（hello）。"),
        ("en", "ＯＫ，  good。\tCafe\u0301", "OK, good. Café"),
        ("en", "“quoted”", "“quoted”"),
    ],
)
def test_normalising_by_example(language, text, expected):
    assert cleaning.normalise(text, language) == expected


@given(strings, languages)
def test_normalising_again_changes_nothing(text, language):
    once = cleaning.normalise(text, language)
    assert cleaning.normalise(once, language) == once
    assert unicodedata.is_normalized("NFC", once)


@given(strings, languages)
def test_normalising_goes_line_by_line_and_leaves_no_stray_space(text, language):
    lines = cleaning.normalise(text, language).split("\n")
    assert lines == [cleaning.normalise(line, language) for line in text.split("\n")]
    assert all(line == " ".join(line.split()) for line in lines)


@given(st.text("好中，。！？（）：；", max_size=20), st.floats(0, 1), st.integers(0, 99))
def test_normalising_undoes_mixed_widths(text, share, seed):
    text = "好" + text
    [mixed] = noise.mix_width([text], share, seed)
    # Two half-width stops in a row are an ellipsis.
    if ".." not in mixed:
        assert cleaning.normalise(mixed, "zh") == text


def test_bad_texts_and_languages_are_refused():
    with pytest.raises(ValueError, match="'fr'; accepted: en, zh"):
        cleaning.normalise("bon", "fr")
    with pytest.raises(ValueError, match="expected a text"):
        cleaning.normalise(b"bon", "en")


# Copies


@given(short)
def test_distinct_keeps_the_first_of_each_in_order(texts):
    kept = cleaning.distinct(texts, cleaning.exact_copies(texts))
    assert kept == list(dict.fromkeys(texts))


@given(short)
def test_copies_are_compared_by_key(texts):
    copies = cleaning.exact_copies(texts, len)
    assert [len(texts[i]) for i in copies] == [len(text) for text in texts]
    assert all(i <= place and copies[i] == i for place, i in enumerate(copies))


@given(short, st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.8, 1.0]), st.integers(1, 4))
def test_near_copies_are_those_of_all_comparisons(texts, threshold, n):
    def grams(text):
        return {text[i : i + n] for i in range(max(1, len(text) - n + 1))}

    expected = []
    for i, text in enumerate(texts):
        new = [j for j in range(i) if expected[j] == j]
        a = grams(text)
        like = [j for j in new if len(a & grams(texts[j])) / len(a | grams(texts[j])) >= threshold]
        expected.append(like[0] if like else i)
    assert cleaning.near_copies(texts, threshold, n) == expected


@given(short, short)
def test_near_leaks_of_threshold_one_share_all_ngrams(texts, references):
    leaks = cleaning.near_leaks(texts, references, threshold=1.0, n=2)
    sets = [cleaning.ngrams(text, 2) for text in references]
    assert leaks == [cleaning.ngrams(text, 2) in sets for text in texts]


@given(st.frozensets(st.integers(0, 9)), st.frozensets(st.integers(0, 9)))
def test_jaccard_is_that_of_scipy(a, b):
    from scipy.spatial.distance import jaccard

    members = [[i in s for i in range(10)] for s in (a, b)]
    assert cleaning.jaccard(a, b) == pytest.approx(1 - jaccard(*members))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cleaning.near_copies(["a"], threshold=0), "threshold must be above 0"),
        (lambda: cleaning.near_leaks(["a"], ["b"], threshold=1.1), "at most 1, got 1.1"),
        (lambda: cleaning.ngrams("abc", 0), "n must be at least 1, got 0"),
        (lambda: cleaning.distinct(["a"], []), "1 items but the copies of 0"),
        (lambda: cleaning.leakage([("a", "b")], []), "no held-out pairs"),
    ],
)
def test_bad_cleaning_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Leaks


def test_leakage_counts_sources_and_pairs():
    train = [("a", 1), ("b", 2), ("c", 3)]
    held_out = [("a", 1), ("b", 5), ("d", 4), ("d", 4)]
    assert cleaning.leakage(train, held_out) == (0.5, 0.25)


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12)


@given(pairs, pairs)
def test_without_leaks_nothing_leaks_and_nothing_else_is_lost(train, held_out):
    kept = cleaning.without_leaks(train, held_out, key=lambda pair: pair[0])
    assert cleaning.leakage(kept, held_out) == (0, 0)
    assert kept == [pair for pair in train if pair[0] not in {source for source, _ in held_out}]


# Noise

shares = st.floats(0, 1)
seeds = st.integers(0, 2**32)
LETTERS = "the camera takes sharp pictures" * 60


@given(st.integers(2, 60), shares, seeds)
def test_the_share_of_targets_asked_for_is_exchanged(n, share, seed):
    if round(share * n) == 1:
        with pytest.raises(ValueError, match="one alone cannot be exchanged"):
            noise.exchange_targets(range(n), share, seed)
        return
    noisy = noise.exchange_targets(range(n), share, seed)
    assert sorted(noisy) == list(range(n))
    assert sum(a != b for a, b in enumerate(noisy)) == round(share * n)


def within_binomial_bounds(count, trials, share):
    """Whether so many are to be expected: p above one in a million, so as not to fail by chance."""
    return stats.binomtest(int(count), trials, share).pvalue > 1e-6


@given(st.floats(0.01, 0.99), seeds)
def test_the_share_of_letters_asked_for_is_misspelt(share, seed):
    letters = sum(c.isalpha() for c in LETTERS)
    [replaced] = noise.misspell([LETTERS], share, seed, edits=["replace"])
    wrong = [(a, b) for a, b in zip(LETTERS, replaced, strict=True) if a != b]
    assert all(a.isalpha() and b.isalpha() for a, b in wrong)
    assert within_binomial_bounds(len(wrong), letters, share)
    [shorter] = noise.misspell([LETTERS], share, seed, edits=["drop"])
    assert within_binomial_bounds(len(LETTERS) - len(shorter), letters, share)
    [longer] = noise.misspell([LETTERS], share, seed, edits=["double"])
    assert within_binomial_bounds(len(longer) - len(LETTERS), letters, share)
    assert longer.count(" ") == shorter.count(" ") == LETTERS.count(" ")


def test_edits_are_drawn_evenly():
    # Doubled letters less dropped ones: zero in the mean, with variance 2/3 an edit.
    [noisy] = noise.misspell([LETTERS], 1.0, 5)
    letters = sum(c.isalpha() for c in LETTERS)
    assert abs(len(noisy) - len(LETTERS)) < 5 * (2 / 3 * letters) ** 0.5


@given(st.floats(0.01, 0.99), seeds, st.sampled_from(noise.WIDTHS))
def test_the_share_of_marks_asked_for_changes_width(share, seed, to):
    text = "好，中。" * 300 if to == "half" else "a,b." * 300
    [mixed] = noise.mix_width([text], share, seed, to)
    changed = sum(a != b for a, b in zip(text, mixed, strict=True))
    assert within_binomial_bounds(changed, 600, share)
    assert cleaning.normalise(mixed, "zh" if to == "half" else "en") == text


@given(st.lists(st.lists(st.integers(0, 9), min_size=1), max_size=5), shares, seeds)
def test_what_is_left_of_tokens_is_in_order_and_not_empty(sequences, share, seed):
    for before, after in zip(sequences, noise.drop_tokens(sequences, share, seed), strict=True):
        rest = iter(before)
        assert all(token in rest for token in after.tolist())
        assert len(after) >= 1


def test_the_share_of_tokens_asked_for_is_dropped():
    dropped = noise.drop_tokens([np.arange(10_000)], 0.1, 3)
    assert within_binomial_bounds(10_000 - len(dropped[0]), 10_000, 0.1)


NOISES = [
    lambda share, seed: noise.exchange_targets(list(range(50)), share, seed),
    lambda share, seed: noise.misspell([LETTERS], share, seed),
    lambda share, seed: noise.mix_width(["好，中。" * 50], share, seed),
    lambda share, seed: [x.tolist() for x in noise.drop_tokens([np.arange(200)], share, seed)],
]


@pytest.mark.parametrize("draw", NOISES)
def test_a_seed_decides_the_noise(draw):
    assert draw(0.3, 7) == draw(0.3, 7)
    assert draw(0.3, 7) != draw(0.3, 8)
    assert draw(0.0, 7) == draw(0, 8)


@pytest.mark.parametrize("draw", NOISES)
@pytest.mark.parametrize(
    ("share", "seed", "message"),
    [
        (1.5, 0, "share must be a number from 0 to 1, got 1.5"),
        (float("nan"), 0, "share must be"),
        ("half", 0, "share must be"),
        (0.5, -1, "seed must be an integer of at least 0"),
        (0.5, 0.5, "seed must be"),
    ],
)
def test_bad_noise_is_refused(draw, share, seed, message):
    with pytest.raises(ValueError, match=message):
        draw(share, seed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise.misspell(["a"], 0.5, 0, edits=["swap"]), "edits must be some of"),
        (lambda: noise.misspell(["a"], 0.5, 0, edits=[]), "edits must be some of"),
        (lambda: noise.mix_width(["a"], 0.5, 0, to="wide"), "half, full, got 'wide'"),
        (lambda: noise.drop_tokens([[1], []], 0.5, 0), "sequence 1 must be"),
        (lambda: spelling.correct(["a"], []), "no words"),
    ],
)
def test_other_bad_noise_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Spelling

WORDS = ["the", "battery", "camera", "jacket", "headphones", "shoes"]


@given(st.sampled_from([w for w in WORDS if len(w) > 4]), seeds)
def test_one_wrong_letter_is_corrected(word, seed):
    rng = np.random.default_rng(seed)
    place = rng.integers(len(word))
    [wrong] = noise.misspell([word[place]], 1.0, seed)
    assert spelling.correct([word[:place] + wrong + word[place + 1 :]], WORDS) == [word]


def test_words_are_corrected_and_the_rest_stays():
    assert spelling.correct(["the camra, thee 2 jackett!"], WORDS) == ["the camera, the 2 jacket!"]


@given(st.text("abcdef", min_size=1, max_size=8))
def test_the_most_similar_word_is_that_of_difflib(word):
    [corrected] = spelling.correct([word], WORDS)
    ratios = {w: difflib.SequenceMatcher(None, word, w).ratio() for w in WORDS}
    assert ratios[corrected] == max(ratios.values())
