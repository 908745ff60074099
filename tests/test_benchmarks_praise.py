"""The recorded classifiers of reviews can be repeated, and read what they should."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import log_loss
from sklearn.naive_bayes import MultinomialNB

from textgen_utils.corpora.types import Example, Labelled

praise = pytest.importorskip("benchmarks.praise")
classifiers = pytest.importorskip("benchmarks.praise_classifiers")
films = pytest.importorskip("benchmarks.praise_imdb")

RNG = np.random.default_rng(0)
ROWS = np.array([[1, 2, 3, 3, 2, 0], [3, 1, 0, 0, 0, 0], [2, 2, 1, 0, 1, 1], [1, 3, 2, 0, 0, 0]])
TASK = classifiers.Task(4, 0, ROWS, praise.SETTINGS)
TEXTS = ["b c d d c", "d b", "c c b", "b d c"]  # what ROWS says before the boundaries
TINY = {"labels": [40], "unlabelled": 240, "depth": 1}
TINY_NETWORKS = {
    kind: {"width": 4, "peak": 0.01, "steps": {"40": 5, "50": 5}} for kind in films.PEAKS
}
TINY_PRETRAINING = {"steps": 2, "batch_size": 4, "mask_rate": 0.3, "peak": 0.01}


@pytest.fixture(scope="module")
def language():
    """Four hundred test reviews."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(praise.SETTINGS, "test", 400)
        return praise.Language()


def test_bags_hold_what_another_library_counts():
    letters = {"analyzer": "word", "token_pattern": r"\S+"}
    words = CountVectorizer(**letters, vocabulary=list("abcd")).transform(TEXTS)
    np.testing.assert_array_equal(classifiers.bag(ROWS, TASK).toarray(), words.toarray())
    pairs = [f"{a} {b}" for a in "abcd" for b in "abcd"]
    expected = CountVectorizer(**letters, ngram_range=(2, 2), vocabulary=pairs)
    expected = expected.transform([f"a {text}" for text in TEXTS])  # the boundary in front
    found = classifiers.bag(ROWS, TASK, pairs=True).toarray()
    np.testing.assert_array_equal(found[:, :4], words.toarray())
    np.testing.assert_array_equal(found[:, 4:], expected.toarray())


def test_naive_bayes_is_that_of_scikit_learn():
    labels = np.array([1, 0, 1, 1])
    x = classifiers.bag(ROWS, TASK)
    log_q = MultinomialNB(alpha=1.0).fit(x, labels).predict_log_proba(x)
    found = classifiers.naive_bayes(ROWS, labels, TASK)(ROWS)
    np.testing.assert_allclose(found, log_q[:, 1] - log_q[:, 0], atol=1e-12)


def test_two_unigram_models_are_naive_bayes_with_the_end_of_a_text_as_a_word():
    rows = RNG.integers(1, 4, (60, 6))
    rows[:, 5] = 0
    labels = np.arange(60) % 2
    task = classifiers.Task(4, 0, rows, {"order": 1})
    found = classifiers.two_language_models(rows, labels, task)(rows)
    reference = classifiers.naive_bayes(rows, labels, task)(rows)  # every text has one end
    assert np.corrcoef(found, reference)[0, 1] > 0.99


def test_four_numbers_of_the_grammar_are_its_posterior(language):
    z = 1.5 * praise.parsed(language.reviews, language.test) @ [1, 1, 2, 1]
    p = [language.reviews.posterior(review.english, "en") for review in language.test[:50]]
    np.testing.assert_allclose(praise.sigmoid(z)[:50], p, atol=1e-9)
    best = language.judged(z)
    assert best["error"] == best["drawn"] == 0
    assert best["nats"] == pytest.approx(0, abs=1e-12)


def test_distances_are_differences_of_expected_losses(language):
    z = RNG.normal(size=400) * 3
    p, found = language.posterior, language.judged(z)
    y, weight = np.repeat([1, 0], 400), np.concatenate([p, 1 - p])
    losses = [log_loss(y, np.tile(q, 2), sample_weight=weight) for q in (praise.sigmoid(z), p)]
    assert found["nats"] == pytest.approx(losses[0] - losses[1], rel=1e-6)
    errors = [np.average((np.tile(s, 2) > 0) != y, weights=weight) for s in (z, p - 0.5)]
    assert found["error"] == pytest.approx(errors[0] - errors[1])
    drawn = [np.mean((s > 0) != language.labels) for s in (z, p - 0.5)]
    assert found["drawn"] == pytest.approx(drawn[0] - drawn[1])
    assert sum(n for n, *_ in found["bins"]) == 400
    total = np.average(
        [truth for _, _, truth, _ in found["bins"]], weights=[b[0] for b in found["bins"]]
    )
    assert total == pytest.approx(p.mean())


def test_probes_say_what_the_page_shows(language):
    bags = classifiers.bag(language.probes, language.task).toarray()
    np.testing.assert_array_equal(bags[0], bags[1])
    pairs = classifiers.bag(language.probes, language.task, pairs=True).toarray()
    assert (pairs[0] != pairs[1]).any()
    np.testing.assert_array_equal(pairs[2] - pairs[3], pairs[4] - pairs[5])
    assert all(language.reviews.parse(text, "en") for text in praise.PROBES)


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(monkeypatch, tmp_path):
    for name, value in (TINY | {"test": 60}).items():
        monkeypatch.setitem(praise.SETTINGS, name, value)
    monkeypatch.setitem(praise.SETTINGS, "networks", TINY_NETWORKS)
    monkeypatch.setitem(praise.SETTINGS, "more", {"model": "lstm", "labels": 50})
    monkeypatch.setitem(praise.SETTINGS, "pretraining", TINY_PRETRAINING)
    out = tmp_path / "short.json"
    praise.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, praise.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    first = {run["model"]: run for run in committed["runs"] if run["seed"] == 1}
    assert len(short["runs"]) == len(praise.KINDS) + 4
    assert {run["model"] for run in short["runs"]} == first.keys()
    for run in short["runs"]:
        assert run.keys() == first[run["model"]].keys()
    praise.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == short["runs"]


@pytest.mark.tensorflow
def test_films_are_learnt_from_by_the_same_classifiers():
    rng = np.random.default_rng(1)
    labels = np.arange(280) % 2
    texts = [
        " ".join(rng.permutation(["a film", "of", "so it", ["bad", "good"][y]])) for y in labels
    ]
    parts = [
        tuple(map(Example, texts[a:b], labels[a:b])) for a, b in ((0, 240), (240, 240), (240, 280))
    ]
    settings = films.SETTINGS | TINY | {"context": 8, "min_count": 1}
    settings |= {"networks": TINY_NETWORKS, "pretraining": TINY_PRETRAINING}
    runs = films.film_runs(Labelled("tiny", ("bad", "good"), *parts), settings, seed=1)
    assert [run["model"] for run in runs] == list(praise.KINDS)
    counted = {run["model"]: run for run in runs}
    assert counted["words"]["error"] < 0.1  # one word tells the class
    assert counted["naive"]["nats"] < np.log(2)
    words = films.Words.fit("a b\nc\n", 1, "\ufffd")
    rows, read = films.encoded(words, (Example("a b", 1), Example("c", 0)), 3)
    assert words.decode(rows[0]) == "a b\n"
    assert words.decode(rows[1]) == "c\n\n"
    assert list(read) == [1, 0]


def test_the_committed_record_agrees_with_itself():
    record = json.loads(praise.RECORD.read_text())
    assert record["settings"] == praise.SETTINGS
    seeds = int(record["command"].split()[-1])
    labels, most = praise.LABELS, max(praise.LABELS)
    expected = {(kind, n) for kind in (*praise.KINDS, "parsed") for n in labels}
    expected |= {(f"told, {kind}", most) for kind in ("words", "pairs")}
    expected.add(tuple(praise.SETTINGS["more"].values()))
    found = [(run["model"], run["labels"], run["seed"]) for run in record["runs"]]
    assert set(found) == {(*run, seed) for run in expected for seed in range(1, seeds + 1)}
    assert len(found) == len(set(found))
    for run in record["runs"]:
        assert run["error"] >= 0
        assert run["nats"] >= 0
        assert abs(run["drawn"] - run["error"]) < 5 * run["drawn_se"] + 1e-9
        assert sum(n for n, *_ in run["bins"]) == praise.SETTINGS["test"]
