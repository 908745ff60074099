"""The downloaded data sets: their parsing always, the real files where TEXTGEN_DATA has them."""

import gzip
import io
import json
import os
import re
import tarfile
from itertools import combinations
from pathlib import Path

import pytest

from textgen_utils.corpora import imdb, multi30k, shakespeare, tang

FOLDER = os.environ.get("TEXTGEN_DATA")
real = pytest.mark.skipif(not FOLDER, reason="real data: set TEXTGEN_DATA=DIR to test on it")


def test_shakespeare_cut_is_at_ninety_per_cent():
    assert shakespeare.split("0123456789abcdefghi") == ("0123456789abcdefg", "hi")


@real
def test_shakespeare():
    corpus = shakespeare.load()
    # Published with nanoGPT.
    assert (len(corpus.train), len(corpus.valid), corpus.test) == (1_003_854, 111_540, "")
    assert len(set(corpus.train)) == 65
    assert corpus.train.startswith("First Citizen:\n")


def test_multi30k_lines_are_ended_by_newlines_only():
    text = "Ein Hund. \n Two\u2028parts\n\nEnd\n"
    assert multi30k.read_lines(gzip.compress(text.encode())) == [
        "Ein Hund.",
        "Two\u2028parts",
        "",
        "End",
    ]


def test_multi30k_sides_must_match():
    assert multi30k.pair_up(["a", "b"], ["c", "d"])[1] == ("b", ("d",))
    with pytest.raises(ValueError, match="got 2 and 1"):
        multi30k.pair_up(["a", "b"], ["c"])


@pytest.mark.parametrize("languages", [("en", "cs"), ("de", "de"), ("", "fr")])
def test_multi30k_languages_are_checked_before_anything_is_fetched(languages):
    with pytest.raises(ValueError, match="two of en, de, fr"):
        multi30k.load(*languages)


@real
@pytest.mark.parametrize("languages", [("en", "de"), ("fr", "en")])
def test_multi30k(languages):
    pairs = multi30k.load(*languages)
    # Published with the data set.
    assert [len(p) for p in (pairs.train, pairs.valid, pairs.test)] == [29_000, 1_014, 1_000]
    assert all(source and target for source, (target,) in pairs.train)
    if languages == ("en", "de"):
        train = {pair.source for pair in pairs.train}
        assert sum(pair.source in train for pair in pairs.valid) == 1  # as the data card says
        assert not any(pair.source in train for pair in pairs.test)
        assert pairs.train[0].source == "Two young, White males are outside near many bushes."


def poem_file(*poems):
    form = {"title": "t", "author": "a", "id": "i"}
    return json.dumps([{**form, "paragraphs": list(lines)} for lines in poems]).encode()


def test_tang_drops_gaps_and_brackets():
    data = poem_file(
        ["床前明月光，疑是地上霜。", "舉頭望明月，低頭思故鄉。"],
        ["冰□已鏤津。"],
        ["韶援綠{𥫗/戢}。"],
        ["[玄]宗回馬 楊妃死。"],
        [],
    )
    assert [poem.text for poem in tang.read_poems(data)] == [
        "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。",
        "玄宗回馬楊妃死。",
    ]


def test_tang_keeps_the_first_of_two_poems_with_a_common_verse():
    texts = [
        "甲乙丙丁戊，子丑寅卯辰。",
        "子丑寅卯辰！己庚辛壬癸。",
        "己庚辛壬癸。",
        "短詩。",
        "短詩。",
    ]
    poems = [tang.Poem("", "", text) for text in texts]
    assert [p.text for p in tang.without_copies(poems)] == [texts[0], texts[2], texts[3]]


@real
def test_tang():
    parts = tang.split()
    assert [len(part) for part in parts] == [4471, 216, 211]  # as the data card says
    verses = [{v for p in part for v in re.split(r"\W", p.text) if len(v) >= 5} for part in parts]
    assert len(verses[0]) > 35_000
    assert all(a.isdisjoint(b) for a, b in combinations(verses, 2))
    corpus = tang.load()
    assert set(corpus.valid + corpus.test) <= set(corpus.train)
    assert corpus.valid.count("\n") == len(parts[1])
    assert not re.search(r"[A-Za-z0-9□\[\]{}]", corpus.train)


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"aclImdb/{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_imdb_archive(tmp_path):
    path = archive(
        tmp_path / "a.tar.gz",
        {
            "README": "no",
            "train/unsup/0_0.txt": "no",
            "train/pos/1_10.txt": "Good.<br /><br />Very\tgood.",
            "train/pos/0_9.txt": "Fine.",
            "train/neg/0_2.txt": "Bad.",
            "test/neg/0_1.txt": "Worse.",
            "train/urls_pos.txt": "http://film/a\nhttp://film/b\n",
            "train/urls_neg.txt": "http://film/c\n",
            "test/urls_neg.txt": "http://film/d\n",
        },
    )
    reviews = imdb.read_archive(path)
    assert reviews["train"] == [
        ("Bad.", 0, "http://film/c"),
        ("Fine.", 1, "http://film/a"),
        ("Good. Very good.", 1, "http://film/b"),
    ]
    assert reviews["test"] == [("Worse.", 0, "http://film/d")]


def test_imdb_archive_without_films_is_refused(tmp_path):
    path = archive(tmp_path / "a.tar.gz", {"train/pos/0_9.txt": "Fine."})
    with pytest.raises(ValueError, match="no film is listed for train review 0"):
        imdb.read_archive(path)


def test_imdb_valid_shares_no_film_with_train_and_no_text_with_test():
    train = [imdb.Review(f"text {i}", i % 2, f"film {i // 5}") for i in range(2000)]
    test = [imdb.Review(f"text {i}", 0, "other") for i in range(1990, 2010)]
    rest, valid, kept = imdb.split([*train, train[0]], [*test, test[0]])
    assert kept == [*test, test[0]]
    assert sorted(rest + valid) == sorted(train[:1990])
    assert not {r.film for r in rest} & {r.film for r in valid}
    assert 0.05 < len(valid) / 1990 < 0.15


@pytest.mark.skipif(
    not (FOLDER and (Path(FOLDER) / "imdb/aclImdb_v1.tar.gz").exists()),
    reason="real data: TEXTGEN_DATA has no imdb/aclImdb_v1.tar.gz",
)
def test_imdb():
    data = imdb.load()
    assert len(data.test) == 25_000
    assert sum(example.label for example in data.test) == 12_500
    assert len(data.train) + len(data.valid) > 24_500
    assert not {e.text for e in data.train + data.valid} & {e.text for e in data.test}


def test_digests_have_the_form_of_sha256():
    digests = [shakespeare._SHA256, imdb._SHA256, *multi30k._SHA256.values()]
    digests += [sha256 for _, sha256 in tang._FILES.values()]
    assert len(set(digests)) == 17
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)
