"""What all tokenizers promise."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils.tokenizers import BytePair, Characters, Jieba, Lexicon, Words

TEXT = (
    "It's a 12-inch camera, really: naïve.\nI bought 2 cameras!\r\n\n这台相机很好。我买了两台。\n"
)

FITTED = {
    "characters": Characters.fit(TEXT),
    "characters, unknown": Characters.fit(TEXT, unknown="\ufffd"),
    "words": Words.fit(TEXT),
    "words, unknown": Words.fit(TEXT, min_count=2, unknown="\ufffd"),
    "lexicon": Lexicon.fit(TEXT, ["相机", "很好", "台"]),
    "jieba": Jieba.fit(TEXT),
    "byte pairs": BytePair.fit(TEXT, vocab_size=270),
}
LOSSLESS = [name for name in FITTED if name != "words, unknown"]
EMPTY_FITS = [
    Characters.fit,
    Words.fit,
    Jieba.fit,
    lambda text: Lexicon.fit(text, ["a"]),
    lambda text: BytePair.fit(text, 300),
]


@pytest.fixture(params=FITTED)
def tokenizer(request):
    return FITTED[request.param]


@pytest.mark.parametrize("name", LOSSLESS)
def test_round_trip(name):
    tokenizer = FITTED[name]
    ids = tokenizer.encode(TEXT)
    assert ids.dtype == np.int32
    assert ids.shape == (len(tokenizer.pieces(TEXT)),)
    assert tokenizer.decode(ids) == TEXT


@pytest.mark.parametrize("cut", [Characters.fit("a"), Words.fit("a"), FITTED["jieba"]])
@given(text=st.text(max_size=40))
def test_pieces_of_any_text_are_the_text(cut, text):
    pieces = cut.pieces(text)
    assert "".join(pieces) == text
    assert "" not in pieces
    assert [p for p in pieces if "\n" in p] == ["\n"] * text.count("\n")


@given(text=st.text(min_size=1, max_size=40), words=st.lists(st.text("ab猫\n", min_size=1)))
def test_any_text_survives_the_tokenizer_fitted_on_it(text, words):
    words = [word for word in words if "\n" not in word]
    for fitted in (Characters.fit(text), Words.fit(text), Lexicon.fit(text, words)):
        assert fitted.decode(fitted.encode(text)) == text


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_byte_pairs_encode_any_text(text):
    tokenizer = FITTED["byte pairs"]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert (ids == tokenizer.boundary).sum() == text.count("\n")


def test_boundary_is_the_newline(tokenizer):
    assert tokenizer.tokens[tokenizer.boundary] == "\n"
    assert tokenizer.encode("\n").tolist() == [tokenizer.boundary]
    assert [t for t in tokenizer.tokens if "\n" in t] == ["\n"]
    assert tokenizer.vocab_size == len(tokenizer.tokens)
    assert isinstance(tokenizer.boundary, int)


def test_saved_and_loaded_is_the_same(tokenizer, tmp_path):
    path = tmp_path / "new" / "tokenizer.json"
    tokenizer.save(path)
    loaded = type(tokenizer).load(path)
    assert loaded.tokens == tokenizer.tokens
    assert loaded.unknown == tokenizer.unknown
    assert np.array_equal(loaded.encode(TEXT), tokenizer.encode(TEXT))
    assert [p.name for p in path.parent.iterdir()] == ["tokenizer.json"]


def test_save_and_load_in_another_process(tmp_path):
    FITTED["byte pairs"].save(tmp_path / "t.json")
    code = (
        "import sys; from textgen_utils.tokenizers import BytePair\n"
        "t = BytePair.load(sys.argv[1]); print(t.encode(sys.argv[2]).tolist())\n"
        "print(BytePair.fit(sys.argv[2], vocab_size=270).tokens == t.tokens)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "t.json"), TEXT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{FITTED['byte pairs'].encode(TEXT).tolist()}\nTrue\n"


def test_file_of_another_kind_is_refused(tokenizer, tmp_path):
    path = tmp_path / "t.json"
    for content in ("", "[1]", "{}", "null", "[", "\xff"):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(ValueError, match=r"t\.json is not a saved tokenizer"):
            type(tokenizer).load(path)
    path.write_text(json.dumps({"kind": "Other", "tokens": ["\n"]}))
    with pytest.raises(ValueError, match=r"t\.json holds .* 'Other', not"):
        type(tokenizer).load(path)
    path.write_text(json.dumps({"kind": type(tokenizer).__name__, "strange": 1}))
    with pytest.raises(ValueError, match=r"t\.json is not a saved tokenizer"):
        type(tokenizer).load(path)
    with pytest.raises(FileNotFoundError):
        type(tokenizer).load(tmp_path / "none.json")


@pytest.mark.parametrize("fit", EMPTY_FITS)
def test_empty_or_wrong_text_cannot_be_fitted(fit):
    with pytest.raises(ValueError, match="empty text"):
        fit("")
    with pytest.raises(ValueError, match=r"expected a text \(str\), got bytes"):
        fit(b"abc")


def test_nothing_is_encoded_as_nothing(tokenizer):
    ids = tokenizer.encode("")
    assert (ids.shape, ids.dtype) == ((0,), np.int32)
    assert tokenizer.decode(ids) == tokenizer.decode([]) == ""
    with pytest.raises(ValueError, match="got NoneType"):
        tokenizer.encode(None)


def test_wrong_ids_are_named(tokenizer):
    last = tokenizer.vocab_size - 1
    for wrong in (-1, tokenizer.vocab_size):
        with pytest.raises(ValueError, match=rf"id {wrong} at position 1 .* 0 to {last}"):
            tokenizer.decode([0, wrong])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        tokenizer.decode(np.zeros((1, 2), int))
    with pytest.raises(ValueError, match="float64"):
        tokenizer.decode(np.array([0.0, 1.5]))


@pytest.mark.parametrize("fit", [Characters.fit, Words.fit, Jieba.fit])
def test_one_character_is_enough(fit):
    tokenizer = fit("a")
    assert tokenizer.tokens == ["\n", "a"]
    assert tokenizer.encode("aa\na" if fit is Characters.fit else "a\na").tolist()[-2:] == [0, 1]


def test_tokens_of_characters_are_in_the_order_of_their_code():
    assert Characters.fit("b😀aé\tb", unknown="?").tokens == ["\n", "?", "\t", "a", "b", "é", "😀"]


def test_unknown_character_is_named():
    with pytest.raises(ValueError, match=r"'猫' \(U\+732B\) at position 3"):
        Characters.fit("abc").encode("abc猫")
    with pytest.raises(ValueError, match=r"'☃' \(U\+2603\) at position 3"):
        Words.fit("a b").encode("a b☃")
    with pytest.raises(ValueError, match=r"'猫' .* at position 2"):
        Lexicon.fit("狗很好", ["很好"]).encode("很好猫")
    # beyond the highest known code point, and below it
    for symbol in "z\U0010ffff\x00":
        with pytest.raises(ValueError, match=rf"U\+{ord(symbol):04X}\) at position 0"):
            Characters.fit("ac~").encode(symbol)


def test_every_code_point_is_known_or_unknown():
    characters = Characters.fit("ac~é", unknown="?")
    text = "".join(map(chr, range(0x2000)))
    known = {token: i for i, token in enumerate(characters.tokens)}
    assert characters.encode(text).tolist() == [known.get(c, known["?"]) for c in text]


def test_unknown_symbols_become_the_unknown_token():
    characters = Characters.fit("ab", unknown="\ufffd")
    assert characters.decode(characters.encode("a猫b\U0010ffff\ufffd")) == "a\ufffdb\ufffd\ufffd"
    words = Words.fit("a a b\n", min_count=2, unknown="\ufffd")
    assert words.tokens == ["\n", "\ufffd"]
    words = Words.fit("x a a a b\n", min_count=2, unknown="\ufffd")
    assert words.tokens == ["\n", "\ufffd", " a"]
    assert words.decode(words.encode("c a\nd")) == "\ufffd a\n\ufffd"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Characters.fit("a", unknown="<unk>"), "one character"),
        (lambda: Characters(["\n", "ab"]), "one character, got 'ab'"),
        (lambda: Characters(["a"]), r"must contain the token '\\n'"),
        (lambda: Characters(["\n", "a", "a"]), "distinct"),
        (lambda: Words.fit("a", min_count=2), "unknown="),
        (lambda: Words.fit("a", min_count=0), "at least 1, got 0"),
        (lambda: Jieba.fit("a", min_count=2), "unknown="),
        (lambda: Lexicon.fit("a", [""]), "empty word"),
        (lambda: Lexicon.fit("a", ["a\nb"]), "newline"),
        (lambda: BytePair.fit("a", 255), "at least 256, .* got 255"),
        (lambda: FITTED["byte pairs"].encode("ab\ud800"), "position 2 is not a character"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_characters_are_fast():
    text = TEXT * 20_000  # 1.6 million characters
    tokenizer = Characters.fit(text)
    start = time.perf_counter()
    tokenizer.encode(text)
    assert time.perf_counter() - start < 0.3


def test_words_keep_the_space_before_them():
    assert Words.fit("a").pieces("The camera's  lens costs 12.5€, I_think.\n") == [
        "The", " camera's", " ", " lens", " costs", " 12", ".", "5", "€", ",", " I", "_",
        "think", ".", "\n",
    ]  # fmt: skip


def test_words_are_numbered_by_frequency():
    assert Words.fit("b a a a c c\n").tokens == ["\n", " a", " c", "b"]


def test_lexicon_takes_the_longest_word_that_fits():
    lexicon = Lexicon.fit("研究生命起源\n", ["研究", "研究生", "生命", "起源"])
    assert lexicon.pieces("研究生命起源") == ["研究生", "命", "起源"]  # greedy, and wrong
    assert lexicon.pieces("研究起") == ["研究", "起"]
    assert lexicon.pieces("研命研") == ["研", "命", "研"]
    assert set(lexicon.tokens) == {"\n", "研究", "研究生", "生命", "起源", "命"}


def test_jieba_agrees_with_the_library(capfd):
    import jieba

    text = "研究生命的起源，我来到北京清华大学。"
    assert Jieba.fit(text).pieces(text) == jieba.Tokenizer().lcut(text, HMM=False)
    assert "清华大学" in Jieba.fit(text).tokens


def test_jieba_is_silent_and_leaves_no_cache(tmp_path):
    code = "from textgen_utils.tokenizers import Jieba; Jieba.fit('我来到北京')"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        env={"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_byte_pairs_learn_the_most_frequent_pair_first():
    tokenizer = BytePair.fit("abab abab abab\n" * 5, vocab_size=258)
    assert tokenizer.tokens[256:] == ["ab", "abab"]
    assert tokenizer.pieces("abab\n") == ["abab", "\n"]


def test_byte_pairs_join_a_word_with_its_space_but_never_newlines():
    tokenizer = BytePair.fit("a camera\n\n\n\na camera  \n\n" * 20, vocab_size=300)
    assert " camera" in tokenizer.tokens
    assert [t for t in tokenizer.tokens if "\n" in t] == ["\n"]
    assert tokenizer.vocab_size < 300  # no more pairs


def test_byte_pairs_show_bytes_that_are_no_character():
    tokenizer = BytePair.fit("猫", vocab_size=256)
    assert tokenizer.pieces("猫") == [f"\\x{byte:02x}" for byte in "猫".encode()]
    assert tokenizer.decode(tokenizer.encode("猫")[:2]) == "\ufffd"
