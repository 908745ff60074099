"""Exact figures of the reviews language, against enumeration of a small one and Monte Carlo."""

import math
from collections import defaultdict

import numpy as np
import pytest

from textgen_utils.corpora.reviews import Meaning, Reviews, default_lexicon
from textgen_utils.corpora.reviews.automaton import determinise
from textgen_utils.corpora.reviews.meaning import END, START
from textgen_utils.corpora.reviews.realisation import Realiser

REVIEWS = Reviews()
CASES = [(language, unit) for language in ("en", "zh") for unit in ("words", "characters")]


def enumerate_reviews(reviews, language):
    """Return {words: probability} and {meaning: probability} by walking every path."""
    realiser = Realiser(reviews.lexicon)
    strings, meanings = defaultdict(float), defaultdict(float)

    def walk(state, events, p, partial):
        if state == END:
            meanings[Meaning.from_events(events)] += p
            for words, q in partial.items():
                strings[words] += q
            return
        for q, event, after in reviews.grammar.successors(state):
            extended = defaultdict(float)
            for r, tokens in realiser.realise(event, state, language):
                for words, s in partial.items():
                    extended[words + tokens] += s * q * r
            walk(after, (*events, event), p * q, extended)

    walk(START, (), 1.0, {(): 1.0})
    return dict(strings), dict(meanings)


@pytest.fixture(scope="module")
def small():
    reviews = Reviews(default_lexicon().shrink(keep=2, synonyms=1))
    return reviews, {language: enumerate_reviews(reviews, language) for language in ("en", "zh")}


def entropy(probabilities):
    p = np.array(list(probabilities))
    return -(p * np.log(p)).sum()


@pytest.mark.parametrize(("language", "unit"), CASES)
def test_automaton_against_enumeration(small, language, unit):
    reviews, enumerated = small
    strings, _ = enumerated[language]
    assert math.isclose(sum(strings.values()), 1.0)
    automaton = reviews.automaton(language, unit)
    assert automaton.count() == len(strings) == len({"".join(words) for words in strings})
    assert math.isclose(automaton.entropy(), entropy(strings.values()))
    length = len if unit == "words" else lambda words: len("".join(words))
    expected = sum(p * (length(words) + 1) for words, p in strings.items())
    assert math.isclose(automaton.expected_length(), expected)
    rate = {"words": reviews.entropy_per_token, "characters": reviews.entropy_per_character}[unit]
    assert math.isclose(rate(language), entropy(strings.values()) / expected)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_probability_of_every_string(small, language):
    reviews, enumerated = small
    strings, _ = enumerated[language]
    some = list(strings.items())[::97]
    got = [reviews.log_prob("".join(words), language) for words, _ in some]
    np.testing.assert_allclose(got, np.log([p for _, p in some]))


def test_meanings_and_labels_against_enumeration(small):
    reviews, enumerated = small
    meanings = enumerated["en"][1]
    assert meanings == pytest.approx(enumerated["zh"][1])
    assert math.isclose(reviews.meaning_entropy(), entropy(meanings.values()))
    p = np.array(list(meanings.values()))
    positive = np.array([reviews.sentiment.positive(meaning) for meaning in meanings])
    assert math.isclose(reviews.bayes_error(), p @ np.minimum(positive, 1 - positive))
    h = -(positive * np.log(positive) + (1 - positive) * np.log(1 - positive))
    assert math.isclose(reviews.label_entropy(), p @ h)
    assert math.isclose(reviews.sentiment.positive_rate(), p @ positive)
    for meaning, q in list(meanings.items())[::53]:
        assert math.isclose(reviews.meaning_log_prob(meaning), math.log(q))


def test_samples_have_the_enumerated_frequencies(small):
    reviews, enumerated = small
    meanings, n = enumerated["en"][1], 30_000
    counts = defaultdict(int)
    for review in reviews.sample(n, seed=0):
        counts[review.meaning] += 1
    common = [(meaning, p) for meaning, p in meanings.items() if n * p > 20]
    z = [(counts[m] - n * p) / math.sqrt(n * p * (1 - p)) for m, p in common]
    assert len(z) > 200
    assert abs(np.mean(np.square(z)) - 1) < 5 * math.sqrt(2 / len(z))  # chi-square


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_string_has_one_meaning(language):
    """As many strings as pairs (meaning, wording): so no string has two."""
    ways = {END: 1}
    for state in reversed(REVIEWS.grammar.states()):
        for _, event, after in REVIEWS.grammar.successors(state):
            wordings = len(Realiser(REVIEWS.lexicon).realise(event, state, language))
            ways[state] = ways.get(state, 0) + wordings * ways[after]
    assert ways[START] == REVIEWS.automaton(language, "characters").count()
    assert ways[START] == REVIEWS.automaton(language, "words").count() == REVIEWS.count(language)
    assert ways[START] > 10**6


@pytest.mark.parametrize("language", ["en", "zh"])
def test_entropy_against_monte_carlo(language):
    reviews = REVIEWS.sample(20_000, seed=11)
    lines = [review.english if language == "en" else review.chinese for review in reviews]
    oracle = REVIEWS.oracle(language)
    ids = {symbol: i for i, symbol in enumerate(oracle.tokens)}
    stream = np.array([[ids[symbol] for line in lines for symbol in line + "\n"]])
    scores = oracle.score(stream)[0]
    per_review = np.add.reduceat(
        scores, np.r_[0, np.flatnonzero(stream[0] == oracle.boundary)[:-1] + 1]
    )

    def close(values, exact):
        return abs(np.mean(values) - exact) < 4 * np.std(values) / math.sqrt(len(values))

    assert close(-per_review, REVIEWS.entropy(language))
    assert close([len(line) + 1 for line in lines], REVIEWS.expected_length(language))
    np.testing.assert_allclose(
        per_review[:200], [REVIEWS.log_prob(line, language) for line in lines[:200]]
    )
    given_meaning = [
        -(score - REVIEWS.meaning_log_prob(review.meaning))
        for score, review in zip(per_review[:3000], reviews[:3000], strict=True)
    ]
    assert close(given_meaning, REVIEWS.translation_entropy(language))
    rate = REVIEWS.entropy_per_character(language)
    assert abs(-scores.mean() - rate) < 0.02 * rate


@pytest.mark.parametrize("language", ["en", "zh"])
def test_entropy_does_not_depend_on_the_unit(language):
    words, characters = (REVIEWS.automaton(language, unit) for unit in ("words", "characters"))
    assert math.isclose(words.entropy(), characters.entropy(), rel_tol=1e-9)


@pytest.mark.parametrize(("language", "unit"), CASES)
def test_oracle_is_a_language_model(language, unit):
    oracle = REVIEWS.oracle(language, unit)
    assert oracle.tokens == sorted(oracle.tokens)
    assert oracle.tokens[oracle.boundary] == "\n"
    lines = REVIEWS.text(5, 3, language).split("\n")[:-1]
    split = list if unit == "characters" else lambda line: REVIEWS.words(line, language)
    for line in lines:
        ids = [oracle.tokens.index(symbol) for symbol in [*split(line), "\n"]]
        state, total = oracle.initial_state(1), 0.0
        for before, after in zip([oracle.boundary, *ids], ids, strict=False):
            log_probs, state = oracle.step(np.array([before]), state)
            assert log_probs.shape == (1, oracle.vocab_size)
            assert math.isclose(np.exp(log_probs).sum(), 1.0)
            total += log_probs[0, after]
        assert math.isclose(total, REVIEWS.log_prob(line, language))
        assert math.isclose(total, oracle.score(np.array([ids])).sum())


def test_oracle_step_in_a_batch_is_step_one_by_one():
    oracle = REVIEWS.oracle("zh", "words")
    rng = np.random.default_rng(0)
    state = oracle.initial_state(16)
    tokens = np.full(16, oracle.boundary)
    for _ in range(30):
        single = [oracle.step(tokens[i : i + 1], state[i : i + 1]) for i in range(16)]
        log_probs, state = oracle.step(tokens, state)
        np.testing.assert_array_equal(log_probs, np.concatenate([row for row, _ in single]))
        np.testing.assert_array_equal(state, np.concatenate([s for _, s in single]))
        tokens = np.array([rng.choice(oracle.vocab_size, p=np.exp(row)) for row in log_probs])


def test_impossible_tokens_and_recovery():
    oracle = REVIEWS.oracle("en")
    encode = {symbol: i for i, symbol in enumerate(oracle.tokens)}.__getitem__
    good = REVIEWS.text(1, 0, "en")
    scores = oracle.score(np.array([list(map(encode, "zzz\n" + good))]))[0]
    assert np.isneginf(scores[:4]).all()
    assert math.isclose(scores[4:].sum(), REVIEWS.log_prob(good[:-1], "en"))
    _, state = oracle.step(np.array([oracle.boundary]), oracle.initial_state(1))
    log_probs, state = oracle.step(np.array([encode("z")]), state)
    assert np.isneginf(log_probs).all()
    log_probs, _ = oracle.step(np.array([oracle.boundary]), state)
    assert math.isclose(np.exp(log_probs).sum(), 1.0)
    with pytest.raises(ValueError, match="ids must be in"):
        oracle.score(np.array([[10**6]]))


def test_oracle_over_the_tokens_of_another():
    own = REVIEWS.oracle("en")
    tokens = ["?", *reversed(own.tokens[1:]), "\n"]
    tokens.remove("k")
    other = REVIEWS.oracle("en", tokens=tokens)
    assert other.missing == ["k"]
    line = next(t for t in REVIEWS.text(50, 0, "en").split("\n") if "k" not in t)
    a = own.score(np.array([[own.tokens.index(c) for c in line]]))
    b = other.score(np.array([[other.tokens.index(c) for c in line]]))
    np.testing.assert_allclose(a, b)


def test_determinise_by_hand():
    """P(ab) = 0.5 * 0.2 + 0.5, reached by two phrases; P(ac) = 0.4."""
    automaton = determinise(
        [[(0.5, "a", 1), (0.5, "ab", 2)], [(0.2, "b", 2), (0.8, "c", 2)], [(1.0, "\n", 0)]]
    )
    assert automaton.symbols == ["\n", "a", "b", "c"]
    assert automaton.states == 3  # nothing said, a, ab = ac
    assert automaton.count() == 2
    assert math.isclose(automaton.entropy(), entropy([0.6, 0.4]))
    assert math.isclose(automaton.expected_length(), 3.0)
