"""The recorded runs on dirty and cleaned data: versions are what they say, runs repeatable."""

import json
from collections import Counter

import numpy as np
import pytest

from benchmarks import clean_data
from textgen_utils.corpora import cleaning

pytestmark = pytest.mark.tensorflow  # as recorded; models and training are tested on both

SMALL = {
    "pairs": 40,
    "few": 10,
    "popular": 4,
    "monolingual": 12,
    "test": 6,
    "width": 8,
    "steps": 2,
    "screening_steps": 2,
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def bench():
    return clean_data.Bench()


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setitem(clean_data.SETTINGS, name, value)


def as_texts(bench, pairs):
    sources = [bench.english.decode(ids) for ids in pairs.sources]
    return list(zip(sources, [bench.chinese.decode(ids) for ids in pairs.targets], strict=True))


def version(bench, name):
    data = bench.data(3)
    pairs, facts = clean_data.VERSIONS[name](bench, data, 3)
    clean = as_texts(bench, bench.encode(*clean_data.texts(data.train)))
    return clean, as_texts(bench, pairs), facts


def test_no_source_is_in_two_parts(bench, small):
    data = bench.data(3)
    assert [len(part) for part in data] == [40, 12, 6]
    english = [r.english for part in data for r in part]
    assert len(set(english)) == len(english)
    assert max(len(bench.english.encode(text)) for text in english) <= 22


def test_copies_are_what_their_names_say(bench, small):
    clean, four, _ = version(bench, "few pairs, each four times")
    assert Counter(four) == Counter(dict.fromkeys(clean[:10], 4))
    _, once, _ = version(bench, "few pairs, each once")
    assert cleaning.distinct(four, cleaning.exact_copies(four)) == once == clean[:10]
    _, skewed, _ = version(bench, "half of it copies of five")
    assert cleaning.distinct(skewed, cleaning.exact_copies(skewed)) == clean
    assert len(skewed) == 2 * len(clean)
    assert sum(pair in clean[:4] for pair in skewed) == 4 + len(clean)


def test_wrong_targets_are_as_many_as_named(bench, small):
    clean, noisy, facts = version(bench, "20 % wrong targets")
    assert facts["wrong"] == pytest.approx(
        np.mean([a != b for a, b in zip(clean, noisy, strict=True)])
    )
    assert facts["wrong"] == pytest.approx(0.2, abs=0.03)
    assert [source for source, _ in clean] == [source for source, _ in noisy]


@pytest.fixture
def untrained(monkeypatch):
    """What becomes of pairs does not depend on how well a model was trained."""
    monkeypatch.setattr(clean_data, "trained", lambda model, *settings: model)


def test_screening_drops_as_many_as_are_wrong_and_counts_them(bench, small, untrained):
    _, noisy, before = version(bench, "20 % wrong targets")
    clean, kept, facts = version(bench, "20 % wrong targets, screened")
    assert len(kept) == 32
    assert set(kept) <= set(noisy)
    wrong = sum(pair not in clean for pair in kept)
    assert facts["wrong"] == pytest.approx(wrong / 32)
    assert facts["found"] == pytest.approx(1 - wrong / (40 * before["wrong"]))


def test_pairs_are_scored_as_by_evaluation(bench, small):
    from textgen_utils import evaluation

    pairs = bench.encode(*clean_data.texts(bench.data(3).train[:5]))
    model = bench.model(1)
    lengths = np.array([len(target) for target in pairs.targets])
    total = (clean_data.pair_nats(model, pairs) * lengths).sum()
    report = evaluation.evaluate_pairs(model, *pairs)
    assert total / lengths.sum() == pytest.approx(report.nats_per_token, rel=1e-5)


def test_augmented_pairs_keep_the_clean_ones_in_front(bench, small):
    for name, extra in (("token dropout", 120), ("back-translation by the grammar", 12)):
        clean, more, _ = version(bench, name)
        assert more[: len(clean)] == clean
        assert len(more) == len(clean) + extra
    clean, spelt, _ = version(bench, "misspelt sources")
    assert [target for _, target in clean] == [target for _, target in spelt]
    assert any(clean_data.UNKNOWN in source for source, _ in spelt)


def test_back_translation_pairs_new_targets_with_written_sources(bench, small, untrained):
    clean, more, facts = version(bench, "back-translation by a model")
    assert more[: len(clean)] == clean
    written = [r.chinese + "\n" for r in bench.data(3).monolingual]
    assert [target for _, target in more[len(clean) :]] == written
    assert all(source and "\n" not in source for source, _ in more)
    assert facts["right"] == 0


def test_rewordings_say_the_same(bench, small):
    tests = clean_data.tests_of(bench, bench.data(3), 3)
    assert tests.keys() == {"fresh", *clean_data.EXTRA["clean"]}
    seen, again = tests["seen in training"], tests["reworded from training"]
    for old, new in zip(seen.reviews, again.reviews, strict=True):
        assert bench.reviews.parse(new.english, "en") == old.meaning
        assert new.chinese in bench.reviews.translations(new.english, "en")
    for test in tests.values():
        assert len(test.sources) == len(test.reviews)


def test_the_floor_is_the_loss_of_the_truth(bench, small):
    """Against the entropy of the translation: the mean over many fresh reviews."""
    reviews = bench.reviews.sample(3000, seed=4)
    test = clean_data.Test([r.english for r in reviews], reviews)
    tokens = np.mean([len(bench.chinese.encode(r.chinese)) + 1 for r in reviews])
    expected = bench.reviews.translation_entropy("zh") / tokens
    assert clean_data.floor(bench, test) == pytest.approx(expected, rel=0.02)


def test_runs_are_recorded_and_not_repeated(small, tmp_path, monkeypatch):
    monkeypatch.setattr(clean_data, "VERSIONS", {"clean": clean_data.VERSIONS["clean"]})
    monkeypatch.setattr(clean_data, "EXTRA", {"clean": ("misspelt",)})
    out = tmp_path / "records" / "short.json"
    arguments = ["--seeds", "1", "--workers", "1", "--out", str(out)]
    clean_data.main(arguments)
    short, committed = (json.loads(p.read_text()) for p in (out, clean_data.RECORD))
    assert short.keys() == committed.keys()
    assert short["runs"][0].keys() == committed["runs"][0].keys()
    assert [r["version"] for r in short["runs"]] == ["clean"]
    clean_data.main(arguments)
    assert json.loads(out.read_text())["runs"] == short["runs"]


def test_the_committed_record_is_whole_and_agrees_with_itself():
    record = json.loads(clean_data.RECORD.read_text())
    assert record["settings"] == clean_data.SETTINGS
    runs = {(r["version"], r["seed"]): r for r in record["runs"]}
    seeds = {seed for _, seed in runs}
    assert len(seeds) >= 4
    assert len(runs) == len(record["runs"]) == len(seeds) * len(clean_data.VERSIONS)
    for (name, seed), run in runs.items():
        assert run["scores"].keys() == {"fresh", *clean_data.EXTRA.get(name, ())}
        assert run["floor"] == runs["clean", seed]["floor"]
        for score in run["scores"].values():
            assert 0 <= score["exact"] <= score["exact_normalised"] <= 1
        assert run["scores"]["fresh"]["nats"] > run["floor"]
