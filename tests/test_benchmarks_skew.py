"""The planted skew is what it says, places and probes are right, and the record agrees with it."""

import json

import numpy as np
import pytest
from scipy import stats

bench = pytest.importorskip("benchmarks.skew_and_probe")
from textgen_utils.corpora.reviews import Reviews  # noqa: E402
from textgen_utils.tokenizers import Words  # noqa: E402


@pytest.fixture(scope="module")
def reviews() -> Reviews:
    return Reviews()


def test_the_skew_is_planted_in_one_product_only(reviews):
    skewed = bench.SkewedReviews("kettle", 0.8)
    found = {}
    for review in skewed.sample(4_000, seed=1):
        found.setdefault(review.meaning.product, []).append(review.meaning.clauses[0].polarity < 0)
    assert stats.binomtest(sum(found["kettle"]), len(found["kettle"]), 0.8).pvalue > 1e-3
    for product in set(found) - {"kettle"}:
        assert np.mean(found[product]) < 0.6
    same = bench.SkewedReviews("no such product", 0.8)
    assert same.entropy("en") == pytest.approx(reviews.entropy("en"))
    assert skewed.oracle("en", "words").tokens == reviews.oracle("en", "words").tokens


def test_the_truth_complains_as_often_as_its_grammar_says(reviews, monkeypatch):
    monkeypatch.setitem(bench.SETTINGS, "continuations", 100)
    skewed = bench.SkewedReviews("kettle", 0.8).oracle("en", "words")
    words = Words(skewed.tokens)
    bad, n = bench.complaints(skewed, reviews, words, "kettle", 1.0, seed=1)
    assert n == 400
    assert stats.binomtest(bad, n, 0.8).pvalue > 1e-3


def test_prompts_begin_reviews_of_their_product(reviews):
    oracle = reviews.oracle("en", "words")
    words = Words(oracle.tokens)
    for product in reviews.lexicon.products:
        ids = np.stack([words.encode(p) for p in bench.prompts(reviews, product)])
        assert ids.shape == (4, 8)
        assert np.isfinite(oracle.score(ids)).all()


def test_places_lie_where_the_factors_have_been_said(reviews):
    for review in reviews.sample(200, seed=9):
        words, meaning = reviews.words(review.english, "en"), review.meaning
        read = ["".join(words[:k]) for k in bench.places(reviews, review)]
        assert read[0].endswith(".")
        assert read[0].count(".") == 1
        assert read[2].endswith(".")
        assert read[2].count(".") == 2
        assert read[3] == review.english
        assert read[2].startswith(read[1])
        assert (read[2] == read[1] + ".") == (len(meaning.clauses) == 1)


def test_a_probe_reads_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=1200)
    x = rng.standard_normal((1200, 5))
    assert abs(bench.probe(x, labels, 800, 1.0) - 1 / 3) < 0.08
    x[:, :3] += 6 * np.eye(3)[labels]
    assert bench.probe(x, labels, 800, 1.0) > 0.98


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(monkeypatch, tmp_path):
    small = {"reviews": 60, "valid": 5, "width": 4, "steps": 2, "batch_size": 4}
    small |= {"temperatures": [0.5], "continuations": 2}
    small["probe"] = {"train": 40, "test": 20, "ridge": 1.0}
    for name, value in small.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["runs"][0].keys() == committed["runs"][0].keys()
    assert short["runs"][0]["probes"].keys() == committed["runs"][0]["probes"].keys()
    began = short["runs"]
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == began


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    assert [run["seed"] for run in record["runs"]] == [*range(1, seeds + 1)]
    most = 4 * bench.SETTINGS["continuations"]
    for run in record["runs"]:
        keys = {(c["language"], c["product"], c["temperature"]) for c in run["complaints"]}
        assert len(keys) == len(run["complaints"]) == 2 * 6 * len(bench.SETTINGS["temperatures"])
        assert all(0 <= c["complaints"] <= c["texts"] <= most for c in run["complaints"])
        for kind in run["probes"].values():
            assert set(kind) == {"product", "polarity", "link", "verdict"}
            assert all(len(values) == 4 for values in kind.values())
