"""The reviews language as a language: meanings, translations, labels, samples, bad input."""

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen_utils.corpora.reviews import Clause, Meaning, Reviews, default_lexicon
from textgen_utils.corpora.reviews.lexicon import zipf

REVIEWS = Reviews()
SAMPLE = REVIEWS.sample(3000, seed=1)
BY_LANGUAGE = {"en": [r.english for r in SAMPLE], "zh": [r.chinese for r in SAMPLE]}

seeds = st.integers(0, 2**32 - 1)
languages = st.sampled_from(["en", "zh"])


@settings(deadline=None)
@given(seeds)
def test_sample_means_what_it_says(seed):
    (review,) = REVIEWS.sample(1, seed)
    for string, language in ((review.english, "en"), (review.chinese, "zh")):
        assert REVIEWS.parse(string, language) == review.meaning
        assert -60 < REVIEWS.log_prob(string, language) < 0
        assert "".join(REVIEWS.words(string, language)) == string


@settings(deadline=None)
@given(seeds)
def test_translation_is_symmetric(seed):
    (review,) = REVIEWS.sample(1, seed)
    chinese = REVIEWS.translations(review.english, "en")
    assert review.chinese in chinese
    assert review.english in REVIEWS.translations(chinese.best, "zh")


@settings(deadline=None)
@given(seeds, languages, st.integers(0, 30), st.booleans())
def test_corrupted_review_is_refused(seed, language, position, swap):
    line = REVIEWS.text(1, seed, language)[:-1]
    words = REVIEWS.words(line, language)
    position %= len(words) - 1
    if swap:
        words[position : position + 2] = words[position : position + 2][::-1]
    else:
        del words[position]
    corrupted = "".join(words)
    log_prob = REVIEWS.log_prob(corrupted, language)
    if math.isinf(log_prob):
        with pytest.raises(ValueError, match="not a review"):
            REVIEWS.parse(corrupted, language)
    else:  # a deleted "very" or a swap of equal words may leave a review: then it must parse
        assert isinstance(REVIEWS.parse(corrupted, language), Meaning)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_corruption_almost_always_shows(language):
    rng = np.random.default_rng(0)
    survived = 0
    for line in BY_LANGUAGE[language][:500]:
        words = REVIEWS.words(line, language)
        i, j = rng.choice(len(words), 2, replace=False)
        words[i], words[j] = words[j], words[i]
        corrupted = "".join(words)
        survived += corrupted != line and REVIEWS.log_prob(corrupted, language) > -math.inf
    assert survived < 25


def test_translations_are_exactly_the_reviews_of_the_same_meaning():
    small = Reviews(default_lexicon().shrink(keep=1, synonyms=2))
    lines = set(small.text(4000, 0, "zh").split("\n")) - {""}
    english = small.text(1, 3, "en")[:-1]
    translations = small.translations(english, "en")
    meaning = small.parse(english, "en")
    assert len(set(translations)) == len(translations) > 1
    assert {line for line in lines if line in translations} == lines & set(translations)
    assert all(small.parse(line, "zh") == meaning for line in translations)
    mass = {line: math.exp(translations.log_prob(line)) for line in translations}
    assert math.isclose(sum(mass.values()), 1.0)
    assert math.isclose(max(mass.values()), mass[translations.best])
    assert "你好" not in translations
    assert translations.log_prob("你好") == -math.inf


def test_events_and_meaning_are_one_to_one():
    for review in SAMPLE[:300]:
        assert Meaning.from_events(review.meaning.events()) == review.meaning


def test_english_words_are_those_of_the_book_s_word_tokenizer():
    pattern = re.compile(r" ?[A-Za-z']+| ?[0-9]+|[^\sA-Za-z0-9]|\s")
    for line in BY_LANGUAGE["en"]:
        assert pattern.findall(line) == REVIEWS.words(line, "en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_longest_match_is_the_grammar_s_segmentation(language):
    """Decided for all reviews: where the grammar says a word, no longer word could be read."""
    automaton = REVIEWS.automaton(language, "words")
    arcs = [[] for _ in range(automaton.states)]
    columns = (automaton.source, automaton.symbol, automaton.target)
    for source, symbol, target in zip(*(c.tolist() for c in columns), strict=True):
        arcs[source].append((automaton.symbols[symbol], target))

    def can_spell(state, text):
        return any(
            word.startswith(text) or (text.startswith(word) and can_spell(after, text[len(word) :]))
            for word, after in arcs[state]
        )

    words = automaton.symbols
    longer = {w: [v[len(w) :] for v in words if v.startswith(w) and v != w] for w in words}
    for row in arcs:
        for word, target in row:
            assert not any(can_spell(target, rest) for rest in longer[word]), word


@pytest.mark.parametrize("language", ["en", "zh"])
def test_length_and_alphabet(language):
    lengths = [len(line) for line in BY_LANGUAGE[language]]
    symbols = REVIEWS.automaton(language).symbols
    assert set("".join(BY_LANGUAGE[language])) <= set(symbols) - {"\n"}
    if language == "en":
        assert np.percentile(lengths, 5) > 60
        assert max(lengths) < 220
        assert len(symbols) < 60
    else:
        assert np.percentile(lengths, 5) > 20
        assert max(lengths) < 70
        assert all(mark not in symbols for mark in " ,.")


def test_long_memory():
    """What the last sentence must agree with lies beyond the reach of a 5-gram."""
    measure_words = {p.measure_word for p in REVIEWS.lexicon.products.values()}
    seen = set()
    for review in SAMPLE:
        product = REVIEWS.lexicon.products[review.meaning.product]
        after = re.search("我会再买这(.)", review.chinese)
        if after:  # the four words before it are the same in all these reviews
            seen.add(after[1])
            assert after[1] == product.measure_word
        these = " these " in review.english or "These " in review.english
        assert these == product.plural
    assert seen == measure_words


def test_contrast_disagrees_and_addition_agrees():
    for meaning in (review.meaning for review in SAMPLE if len(review.meaning.clauses) == 2):
        first, second = meaning.clauses
        assert first.aspect != second.aspect
        contrast = meaning.link in ("but", "although")
        assert (first.polarity != second.polarity) == contrast


def test_a_known_review():
    english = (
        "I bought this camera last month. Although the pictures are very sharp, the battery is "
        "a bit heavy. Still, I would buy this camera again."
    )
    meaning = REVIEWS.parse(english, "en")
    sharp = Clause("pictures", "sharp", "very", +1, negated=False)
    heavy = Clause("battery", "heavy", "slightly", -1, negated=False)
    assert meaning == Meaning(
        "camera", "bought last month", (sharp, heavy), "although", "buy again"
    )
    chinese = "上个月我买了这台相机。虽然照片非常清晰，但是电池有点重。不过，我会再买这台相机。"
    assert chinese in REVIEWS.translations(english, "en")
    # 1.5 for the pictures, twice -0.5 for what contradicts them, 1 for the verdict; slope 1.5
    assert math.isclose(REVIEWS.posterior(english, "en"), 1 / (1 + math.exp(-1.5 * 1.5)))
    assert REVIEWS.posterior(chinese, "zh") == REVIEWS.posterior(english, "en")


def test_negation_turns_the_score_round():
    template = "I ordered this jacket online. The fabric is {}. {} I will keep wearing it."

    def posterior(text, connective=""):
        line = template.format(text, connective).replace(".  I", ". I")
        return REVIEWS.posterior(line, "en")

    fine, weak, bad = (
        posterior("soft"),
        posterior("a bit stiff", "Still,"),
        posterior("stiff", "Still,"),
    )
    assert fine > weak > bad
    assert fine > posterior("not stiff") > posterior("not soft", "Still,") == weak
    with pytest.raises(ValueError, match="not a review"):  # after a complaint, it must be "Still,"
        posterior("not soft")


def test_labels_follow_the_posterior():
    reviews = REVIEWS.sample(20_000, seed=5)
    p = np.array([REVIEWS.sentiment.positive(review.meaning) for review in reviews])
    labels = np.array([review.label for review in reviews])
    standard_error = math.sqrt((p * (1 - p)).mean() / len(p))
    assert abs((labels - p).mean()) < 4 * standard_error
    errors = (labels != (p > 0.5)).astype(float)
    assert abs(errors.mean() - REVIEWS.bayes_error()) < 4 * errors.std() / math.sqrt(len(p))
    loss = -np.log(np.where(labels, p, 1 - p))
    assert abs(loss.mean() - REVIEWS.label_entropy()) < 4 * loss.std() / math.sqrt(len(p))
    assert 0.05 < REVIEWS.bayes_error() < 0.12


def test_samples_are_repeatable_and_extend():
    assert REVIEWS.sample(20, seed=1) == SAMPLE[:20]
    assert REVIEWS.sample(20, seed=2) != SAMPLE[:20]
    for language, lines in BY_LANGUAGE.items():
        assert REVIEWS.text(3000, 1, language) == "".join(line + "\n" for line in lines)
        assert REVIEWS.text(0, 1, language) == ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: REVIEWS.sample(-1, seed=0), "received -1"),
        (lambda: REVIEWS.text(-1, 0, "en"), "received -1"),
        (lambda: REVIEWS.text(1, 0, "fr"), "'fr'; accepted: en, zh"),
        (lambda: REVIEWS.entropy("english"), "accepted: en, zh"),
        (lambda: REVIEWS.parse("", "de"), "accepted: en, zh"),
        (lambda: REVIEWS.translations("x", "EN"), "accepted: en, zh"),
        (lambda: REVIEWS.automaton("en", "bytes"), "accepted: characters, words"),
        (lambda: REVIEWS.parse("hello", "en"), "not a review in 'en': 'hello'"),
        (lambda: REVIEWS.posterior("", "zh"), "not a review"),
        (lambda: REVIEWS.words("hello", "zh"), "position 0"),
        (lambda: default_lexicon().shrink(0, 1), "at least 1"),
        (lambda: REVIEWS.oracle("en", tokens=["a"]), "hold"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_bad_lexicon_is_named():
    lexicon = default_lexicon()
    with pytest.raises(ValueError, match=r"tone_table: .* received sum 1\.1"):
        dataclasses.replace(lexicon, tone_table={"+": 0.6, "-": 0.5})
    with pytest.raises(ValueError, match=r"product_table: no entry for .'spoon'."):
        dataclasses.replace(lexicon, product_table={"spoon": 1.0})
    degrees = {**lexicon.degrees}
    degrees["very"] = dataclasses.replace(degrees["very"], words={"en": {"very": 0.9}, "zh": {}})
    with pytest.raises(ValueError, match="wording of very in en"):
        dataclasses.replace(lexicon, degrees=degrees)
    degrees["very"] = dataclasses.replace(lexicon.degrees["very"], scale=-1.0)
    with pytest.raises(ValueError, match=r"very: 'not \.\.\.' goes with scale < 0"):
        dataclasses.replace(lexicon, degrees=degrees)
    camera = dataclasses.replace(lexicon.products["camera"], aspects={"price": 1.0})
    with pytest.raises(ValueError, match="camera: two clauses need two aspects"):
        dataclasses.replace(lexicon, products={**lexicon.products, "camera": camera})


def test_unknown_meaning_is_named():
    meaning = dataclasses.replace(SAMPLE[0].meaning, product="spoon")
    with pytest.raises(ValueError, match="not a meaning of this grammar"):
        REVIEWS.meaning_log_prob(meaning)


def test_zipf():
    assert zipf("abc") == pytest.approx({"a": 6 / 11, "b": 3 / 11, "c": 2 / 11})
