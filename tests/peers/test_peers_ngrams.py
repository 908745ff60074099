"""KenLM and nltk beside ours, token for token, on text that all of them can be given."""

import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ngram_texts
from benchmarks.build_kenlm import find_lmplz
from textgen_utils.corpora import Corpus
from textgen_utils.models import smoothing
from textgen_utils.models.ngram import NGram

FEW = ("the", "a", "red", "green", "small", "house", "tree", "bird", "sings", "stands", "near")


def many(n=300):
    """Random words, so that counts of characters are of all sizes too."""
    rng = np.random.default_rng(5)
    p = 1 / np.arange(1, 27)
    lengths = rng.integers(2, 8, n)
    letters = [rng.choice(list("etaoinshrdlcumwfgypbvkjxqz"), k, p=p / p.sum()) for k in lengths]
    return tuple(map("".join, letters))


def lines(n, seed, words):
    """Lines of a chain of words with habits."""
    rng = np.random.default_rng(seed)
    habits = np.random.default_rng(0).dirichlet(np.full(len(words), 0.05), size=len(words))
    rows = []
    for _ in range(n):
        row = [int(rng.integers(len(words)))]
        while len(row) < rng.integers(2, 12):
            row.append(int(rng.choice(len(words), p=habits[row[-1]])))
        rows.append(" ".join(words[i] for i in row))
    return "\n".join(rows) + "\n"


def prepared(folder, unit, words):
    valid = lines(60, 2, words) + "\nnot seen: QUX the\n"
    return ngram_texts.prepare(
        Corpus("chain", lines(1500 if len(words) > 20 else 600, 1, words), valid, ""), unit, folder
    )


@pytest.fixture(params=ngram_texts.TOKENIZERS)
def text(request, tmp_path):
    return prepared(tmp_path / "files", request.param, many())


@pytest.fixture
def kenlm_ngram():
    """The module that needs KenLM; it is left out of the environment without a C++ compiler."""
    return pytest.importorskip("benchmarks.peers.kenlm_ngram", reason="KenLM was not built")


def scores(text, model):
    """KenLM's log-probabilities of the validation text, nats."""
    found = [p for line in text.lines("valid") for p, _, _ in model.full_scores(named(line))]
    return np.array(found) * np.log(10)


def named(line):
    """The unknown token by a name that KenLM does not know."""
    return line.replace(ngram_texts.UNKNOWN, "never-seen")


def ours(text):
    model = NGram(text.order, text.vocab_size, text.boundary, independent_lines=True)
    return model.fit(text.ids("train"))


def take_discounts(monkeypatch, text):
    """Let ours use the discounts that lmplz has printed for a text."""
    log = (Path(text.folder) / "kenlm.log").read_text()
    found = re.findall(r"^\d+ \d+ D1=(\S+) D2=(\S+) D3\+=(\S+)", log, re.MULTILINE)
    discounts = iter([smoothing.Discounts(*map(float, D)) for D in found])
    assert len(found) == text.order
    monkeypatch.setattr(smoothing, "discounts", lambda c: next(discounts))


@pytest.mark.parametrize(
    ("unit", "words"), [("characters", many()), ("characters", FEW), ("words", many())]
)
def test_lmplz_estimates_what_we_do_but_for_how_it_counts_counts(
    tmp_path, kenlm_ngram, monkeypatch, unit, words
):
    """With its discounts, to the 32 bits in which it computes; unknown tokens and ends included.

    Its counts of counts hold, for the last gram of each order, the plain count; and it estimates
    discounts also where no gram was counted four times.
    """
    if find_lmplz() is None:
        pytest.skip("lmplz was not built")
    text = prepared(tmp_path / "files", unit, words)
    theirs = scores(text, kenlm_ngram.load(kenlm_ngram.estimate(find_lmplz(), text)))
    take_discounts(monkeypatch, text)
    np.testing.assert_allclose(ours(text).score(text.ids("valid")[None])[0], theirs, atol=3e-5)


def test_kenlm_reads_our_model(text, kenlm_ngram):
    theirs = scores(text, kenlm_ngram.load(kenlm_ngram.ours(text)))
    np.testing.assert_allclose(ours(text).score(text.ids("valid")[None])[0], theirs, atol=3e-5)


def test_the_competitor_scores_the_same_and_its_sums_agree(text, kenlm_ngram, monkeypatch):
    competitor = kenlm_ngram.KenLM([text])
    if find_lmplz() is not None:
        take_discounts(monkeypatch, text)
    expected = ours(text).score(text.ids("valid")[None])[0]
    np.testing.assert_allclose(competitor.score(text.name), expected, atol=3e-5)
    assert competitor.perplexity(text.name) == pytest.approx(np.exp(-expected.mean()), rel=1e-5)
    assert competitor.facts["fits"] == (find_lmplz() is not None)
    assert competitor(text.task("encode")) is None


def test_nltk_is_ours_with_its_one_discount(monkeypatch):
    """Away from starts of lines, which nltk counts by itself, and with 0 for the lowest order."""
    from nltk.lm import KneserNeyInterpolated
    from nltk.util import everygrams

    order, n, discount = 3, 5, 0.1
    ids = np.random.default_rng(3).choice(n, size=400, p=[0, 0.1, 0.2, 0.3, 0.4])
    tokens = [str(i) for i in (0, *ids)]
    theirs = KneserNeyInterpolated(order, discount=discount)
    theirs.fit([list(everygrams(tokens, max_len=order))], tokens)
    one = smoothing.Discounts(discount, discount, discount)
    discounts = chain([smoothing.Discounts(0, 0, 0)], [one] * (order - 1))
    monkeypatch.setattr(smoothing, "discounts", lambda c: next(discounts))
    model = NGram(order, n, 0).fit(ids)
    test = np.random.default_rng(4).integers(1, n, size=200)
    names = [str(i) for i in test]
    expected = [theirs.score(names[t], names[t - 2 : t]) for t in range(2, 200)]
    np.testing.assert_allclose(np.exp(model.score(test[None])[0, 2:]), expected, rtol=1e-12)


def test_nltk_scores_every_token_and_the_end_of_each_line(tmp_path):
    from benchmarks.peers.nltk_ngram import Nltk

    corpus = Corpus("chain", lines(100, 1, FEW), lines(4, 2, FEW), "")
    text = ngram_texts.prepare(corpus, "words", tmp_path / "files")
    competitor = Nltk([text])
    found = competitor.score(text.name)
    assert len(found) == text.tokens["valid"]
    padded = (4 * ["<s>"] + text.lines("valid")[0].split())[:5]
    assert found[0] == pytest.approx(
        np.log(competitor.models[text.name].score(padded[4], padded[:4]))
    )


def test_nltk_s_infinite_perplexity_is_none(tmp_path):
    from benchmarks.peers.nltk_ngram import Nltk

    corpus = Corpus("chain", "a b\nb a\na a\n", "a qux\n", "")
    text = ngram_texts.prepare(corpus, "words", tmp_path / "files")
    assert Nltk([text]).facts["perplexity"] == {text.name: None}
