"""The n-gram part without its peers: the same text in every form, turns, and what is refused."""

import json
import subprocess

import numpy as np
import pytest

from benchmarks import build_kenlm, ngram_texts, ngrams
from benchmarks.peers import arpa
from textgen_utils.corpora import Corpus
from textgen_utils.models.ngram import NGram

CORPUS = Corpus("small", "a rose is\ta rose\n\nis a rose\n" * 30, "is a z\nis", "")


class Zero(ngram_texts.Competitor):
    """A competitor that has no method but one."""

    facts = {"perplexity": {}}  # noqa: RUF012

    def score(self, name):
        return self.texts[name].ids("valid")


@pytest.fixture
def corpora(monkeypatch):
    def load(names):
        return [CORPUS if name == "small" else (name, "OSError: no network") for name in names]

    monkeypatch.setattr(ngram_texts, "corpora", load)
    monkeypatch.setattr(ngrams, "BEGINNING", {"train": 100, "valid": 3})


@pytest.mark.parametrize("unit", ngram_texts.TOKENIZERS)
def test_every_form_is_the_same_text(tmp_path, unit):
    text = ngram_texts.prepare(CORPUS, unit, tmp_path / "files")
    tokenizer, symbols = text.tokenizer(), text.symbols()
    assert text.running() == CORPUS.train
    np.testing.assert_array_equal(tokenizer.encode(text.running()), text.ids("train"))
    assert len(symbols) == text.vocab_size
    for part, running in (("train", CORPUS.train), ("valid", CORPUS.valid + "\n")):
        cut = [line.split() for line in text.lines(part)]
        unknown = {"z": "\ufffd", " z": "\ufffd"} if part == "valid" else {}
        assert cut == [
            [
                unknown.get(piece, piece.replace(" ", "\u2420").replace("\t", "\u2409"))
                for piece in tokenizer.pieces(line)
            ]
            for line in running.split("\n")[:-1]
        ]
        ids = [symbols.index(symbol) for line in cut for symbol in [*line, symbols[text.boundary]]]
        np.testing.assert_array_equal(ids, text.ids(part))
        assert text.tokens[part] == len(ids)


def test_tokens_that_would_be_written_alike_are_refused(tmp_path):
    with pytest.raises(ValueError, match="alike"):
        ngram_texts.prepare(Corpus("x", "a \u2420", "a", ""), "characters", tmp_path / "x")


def test_a_beginning_ends_with_a_line():
    short = ngram_texts.beginning(CORPUS, train=12, valid=2)
    assert (short.train, short.valid) == ("a rose is\ta rose\n", "is a z\n")


def test_turns_on_a_small_corpus(corpora):
    makers = {"textgen_utils": ngrams.Ours, "zero": Zero}
    part = ngrams.measure(threads=1, rounds=2, names=("small", "none"), makers=makers)
    json.dumps(part, allow_nan=False)
    assert part["missing"] == {"none": "OSError: no network"}
    assert [t["corpus"] for t in part["settings"]["texts"]] == ["small"] * 2 + [
        "small, beginning"
    ] * 2
    done = {(row["name"], row["task"]["do"]) for row in part["results"]}
    assert done == {
        *(("textgen_utils", do) for do in ("fit", "score", "perplexity", "encode")),
        ("zero", "score"),
    }


def test_our_perplexity_is_that_of_the_model(tmp_path):
    text = ngram_texts.prepare(CORPUS, "characters", tmp_path / "files")
    model = NGram(6, text.vocab_size, text.boundary, independent_lines=True)
    nats = -model.fit(text.ids("train")).score(text.ids("valid")[None]).mean()
    assert ngrams.Ours([text]).facts["perplexity"] == {text.name: pytest.approx(np.exp(nats))}


def test_another_perplexity_of_kenlm_is_refused():
    facts = {"textgen_utils": {"perplexity": {"x": 3.0, "y": 1.0}}, "KenLM": {"perplexity": {}}}
    facts["KenLM"]["perplexity"] = {"x": 3.00001}
    ngrams.check_equal(facts)
    facts["KenLM"]["perplexity"] = {"x": 3.01}
    with pytest.raises(ValueError, match="x: KenLM"):
        ngrams.check_equal(facts)


def test_the_arpa_file_holds_our_probabilities(tmp_path):
    """Read back as the format's definition says: p of the gram, or the weight times p below."""
    text = ngram_texts.prepare(CORPUS, "characters", tmp_path / "files")
    model = NGram(4, text.vocab_size, text.boundary, independent_lines=True).fit(text.ids("train"))
    symbols, path = text.symbols(), tmp_path / "model.arpa"
    arpa.write(model, symbols, symbols.index(ngram_texts.UNKNOWN), path)
    p, weight, counts = {}, {}, []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("ngram "):
            counts.append(int(line.split("=")[1]))
        if "\t" in line:
            log_p, gram, *rest = line.split("\t")
            gram = tuple(gram.split(" "))
            p[gram], weight[gram] = float(log_p), float(rest[0]) if rest else 0.0
    assert counts == [len([g for g in p if len(g) == k]) for k in (1, 2, 3, 4)]
    assert counts == [model.sizes_[0] + 1, *model.sizes_[1:]]  # <s> and </s>

    def log10(gram):
        return p[gram] if gram in p else weight.get(gram[:-1], 0.0) + log10(gram[1:])

    expected = []
    for line in text.lines("valid"):
        seen = ["<s>", *line.replace("\ufffd", "<unk>").split(), "</s>"]
        expected += [log10(tuple(seen[max(0, i - 3) : i + 1])) for i in range(1, len(seen))]
    scored = model.score(text.ids("valid")[None])[0]
    np.testing.assert_allclose(np.array(expected) * np.log(10), scored, atol=1e-7)


def test_lmplz_that_is_there_is_not_built_again(tmp_path, monkeypatch, capsys):
    program = tmp_path / "lmplz"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("KENLM_BIN", str(tmp_path))
    assert build_kenlm.find_lmplz() == str(program)
    build_kenlm.main()
    assert capsys.readouterr().out == f"{program} is there\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "none", "cmake"), "there is no cmake"),
        (subprocess.CalledProcessError(1, ["cmake"], stderr="no\nBoost\n"), "cmake says:\n  no"),
    ],
)
def test_what_cannot_be_built_is_said_and_is_no_failure(monkeypatch, capsys, error, message):
    def fail(*_):
        raise error

    monkeypatch.setattr(build_kenlm, "find_lmplz", lambda: None)
    monkeypatch.setattr(build_kenlm, "build", fail)
    build_kenlm.main()
    assert message in capsys.readouterr().out
