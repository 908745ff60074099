"""What a user gets wrong, walked through from the text to the figure.

Each row of a table is a mistake, the exception it must give, and words that its message must
have: what was received, what is accepted, or what to do. Training is refused before its first step.
"""

import io
import json
import os
import urllib.error

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

from textgen_utils import decoding, plotting, prose
from textgen_utils.compression import compress, decompress, ideal_bytes
from textgen_utils.corpora import download, shakespeare
from textgen_utils.evaluation import evaluate, random_window_loss
from textgen_utils.models.ngram import NGram
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.windowed import WindowedLanguageModel
from textgen_utils.tokenizers import BytePair, Characters, Jieba, Lexicon, Words
from textgen_utils.training import Curve, adam, train, train_on

V = 5
IDS = np.tile([1, 2, 3, 0], 30)
NAN = float("nan")
COUNTS = NGram(3, V, 0).fit(IDS)
LOG_PROBS = np.log(np.full(V, 1 / V))
FITS = {
    "characters": Characters.fit,
    "words": Words.fit,
    "jieba": Jieba.fit,
    "lexicon": lambda text: Lexicon.fit(text, ["很好"]),
    "byte pairs": lambda text: BytePair.fit(text, 256),
}


def lstm(vocab_size=V):
    return LSTMLanguageModel(vocab_size, width=4, boundary=0, seed=0)


LSTM = lstm()
WINDOWED = WindowedLanguageModel(LSTM, boundary=0, max_context=6)
MODELS = {"counts": COUNTS, "lstm": LSTM, "windowed": WINDOWED}


def learn(model=None, train_ids=IDS, valid_ids=IDS[:20], **changes):
    settings = {"steps": 4, "window": 8, "batch_size": 2, "eval_every": 2, "seed": 0}
    return train(model or lstm(), train_ids, valid_ids, **{**settings, **changes})


def generate(**options):
    return decoding.generate(COUNTS, **{"prompt_ids": [1], "length": 2, "seed": 0, **options})


TEXTS = [
    ("an empty corpus", lambda: Characters.fit(""), "empty text: give at least one character"),
    ("an empty corpus, counted", lambda: NGram(3, V, 0).fit([]), "empty text"),
    ("an empty corpus, scored", lambda: evaluate(COUNTS, []), "at least one token; got length 0"),
    (
        "unknown character",
        lambda: Characters.fit("abc").encode("b猫"),
        r"'猫' .*position 1.*unknown=",
    ),
    ("unknown symbol is empty", lambda: Words.fit("a", unknown=""), "at least one char.* got ''"),
    ("unknown symbol is a number", lambda: Characters.fit("a", unknown=5), "one character, got 5"),
    ("text not encoded", lambda: evaluate(COUNTS, "abc"), "got the text 'abc': encode it first"),
    ("text not encoded, counted", lambda: NGram(2, V, 0).fit("abc"), "encode it first"),
    ("text not encoded, as a prompt", lambda: generate(prompt_ids="abc"), "encode it first"),
    ("text not encoded, compressed", lambda: compress(COUNTS, "abc"), "encode it first"),
    ("ids of another vocabulary", lambda: evaluate(COUNTS, [1, 9]), r"\[0, 5\); got 1 to 9"),
    ("no text to compress", lambda: ideal_bytes(COUNTS, []), "got length 0"),
    ("one id, not a text", lambda: ideal_bytes(COUNTS, 3), r"axes; got shape \(\)"),
    ("half a code", lambda: decompress(COUNTS, b"abcdef", 3), "multiple of 4 bytes; got 6"),
    ("windows longer than the text", lambda: random_window_loss(COUNTS, [1, 2], 8, 3, 0), "got 8"),
    (
        "context is a fraction",
        lambda: evaluate(COUNTS, IDS, context=2.5),
        "integer or None; got 2.5",
    ),
    ("batch is a fraction", lambda: evaluate(COUNTS, IDS, batch_size=2.5), "an integer; got 2.5"),
]
SAMPLING = [
    ("temperature 0", lambda: generate(temperature=0), "got 0;.* use greedy=True"),
    ("temperature below 0", lambda: generate(temperature=-0.5), "positive and finite, got -0.5"),
    ("temperature NaN", lambda: generate(temperature=NAN), "positive and finite, got nan"),
    ("top 0", lambda: generate(top_k=0), "from 1 to 5, the vocabulary, got 0"),
    ("more than there is", lambda: generate(top_k=6), "from 1 to 5, the vocabulary, got 6"),
    ("nucleus above 1", lambda: generate(nucleus=1.5), r"\(0, 1\], got 1.5"),
    ("nucleus 0", lambda: generate(nucleus=0), r"\(0, 1\], got 0"),
    ("nucleus NaN", lambda: generate(nucleus=NAN), r"\(0, 1\], got nan"),
    ("filter: temperature", lambda: decoding.temperature(LOG_PROBS, 0), "got 0"),
    ("filter: top k", lambda: decoding.top_k(LOG_PROBS, 0), "got 0"),
    ("filter: nucleus", lambda: decoding.nucleus(LOG_PROBS, NAN), "got nan"),
    # Counting to 2.5 by ones would never end.
    ("length is a fraction", lambda: generate(length=2.5), "length must be an integer, got 2.5"),
    ("batch of a fraction", lambda: generate(batch_size=2.5), "must be an integer, got 2.5"),
    ("stop is no token", lambda: generate(stop=0.5), "one of 5 tokens, got 0.5"),
]
FIGURES = [
    ("no number", lambda: prose.numbers(fine=1, loss="low"), "loss must be one number, got 'low'"),
    ("nothing", lambda: prose.numbers(loss=None), "loss must be one number, got None"),
    ("NaN in prose", lambda: prose.numbers(loss=NAN), "loss must be one number, got nan"),
    ("two numbers", lambda: prose.numbers(loss=np.ones(2)), "loss must be one number, got array"),
    ("an empty curve", lambda: plotting.learning_curve({"mine": Curve()}), r"no entry: \['mine'\]"),
    ("a bar of NaN", lambda: plotting.bars({"a": NAN}, label="x"), "finite, got {'a': nan}"),
    ("a floor of NaN", lambda: plotting.bars({"a": 1}, label="x", floor=NAN), "'floor': nan"),
]
TABLE = TEXTS + SAMPLING + FIGURES


@pytest.mark.parametrize(
    ("call", "message"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_refused_with_a_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert not plt.get_fignums()


def test_numbers_are_all_offered_or_none(monkeypatch):
    offered = []
    monkeypatch.setattr("myst_nb.glue", lambda name, *_, **__: offered.append(name))
    with pytest.raises(ValueError, match="loss"):
        prose.numbers(fine=1, loss=NAN)
    assert offered == []


@pytest.mark.parametrize("name", ["lstm", "windowed"])
@pytest.mark.parametrize("wrong", [V, -1])
def test_networks_refuse_ids_that_are_no_tokens(name, wrong):
    # JAX would give NaN for the first, and both backends another token for the second.
    model = MODELS[name]
    with pytest.raises(ValueError, match=rf"\[0, 5\); got {wrong} to {wrong}"):
        model.step([wrong], model.initial_state(1))
    with pytest.raises(ValueError, match=r"\[0, 5\)"):
        model.score([[1, wrong]])


TRAINING = [
    ("no text to learn from", {"train_ids": []}, "at least 9, got one of 0"),
    ("a text shorter than a window", {"train_ids": IDS[:8]}, "at least 9, got one of 8"),
    ("a text not encoded", {"train_ids": "abc"}, "got the text 'abc': encode it first"),
    ("no text to judge by", {"valid_ids": []}, "validation text.* got length 0"),
    ("ids of floats", {"train_ids": IDS * 1.0}, "integers, got dtype float64"),
    ("ids with NaN", {"train_ids": [*IDS, NAN]}, "integers, got dtype float64"),
    ("validation with NaN", {"valid_ids": [*IDS, NAN]}, "validation text.* integers; got float64"),
    ("validation not encoded", {"valid_ids": "abc"}, "validation text.* encode it first"),
    ("validation of fractions", {"valid_ids": [0.5]}, "validation text.* integers; got float64"),
    ("another vocabulary", {"train_ids": IDS + 3}, r"training text.*\[0, 5\); got 3 to 6"),
    ("unknown is -1", {"train_ids": IDS - 1}, r"training text.*\[0, 5\); got -1 to 2"),
    ("validation, the same", {"valid_ids": [1, 9]}, r"validation text.*\[0, 5\); got 1 to 9"),
    ("steps by float", {"steps": 4.0}, "steps must be a multiple of the 2 .* got 4.0"),
    ("evaluations by float", {"eval_every": 2.0}, "steps must be an integer, got 2.0"),
    ("window by float", {"window": 8.5}, "length must be an integer, got 8.5"),
    ("batch by float", {"batch_size": 2.0}, "batch_size must be an integer, got 2.0"),
    ("a seed below 0", {"seed": -1}, "seed must be an integer of at least 0, got -1"),
    ("no seed", {"seed": None}, "seed must be an integer of at least 0, got None"),
    ("optimizer by name", {"optimizer": "adam"}, "a Keras optimizer, got 'adam'"),
]


class Numbers(keras.utils.PyDataset):
    """Batches of floats, of which one may hold NaN: `where` is its part, epoch and index."""

    def __init__(self, where=None, size=3):
        super().__init__()
        self.where, self.size, self.epoch = where, size, 0

    def __len__(self):
        return 2

    def __getitem__(self, index):
        parts = [np.ones((self.size, 2)), np.ones((self.size, 1)), np.ones((self.size, 1))]
        if self.where is not None and self.where[1:] == (self.epoch, index):
            parts[self.where[0]][-1] = NAN
        return tuple(part.astype("float32") for part in parts)


def regress(batches, optimizer=None):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    kept = [model.get_weights()]

    def validate():
        kept.append(model.get_weights())
        return 1.0 / len(kept)

    options = {"steps": 6, "optimizer": optimizer or adam(0.01)}
    loss = keras.losses.MeanSquaredError()
    try:
        curve = train_on(model, batches, validate, loss=loss, **options)
    except (ValueError, FloatingPointError):
        for w, v in zip(model.get_weights(), kept[-1], strict=True):
            np.testing.assert_array_equal(w, v)
        raise
    return curve


@pytest.mark.parametrize(("part", "name"), enumerate(["inputs", "targets", "weights"]))
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 0)], ids=["first", "middle", "last"])
def test_nan_in_the_data_is_named_and_spoils_no_weights(part, name, place):
    step = 2 * place[0] + place[1] + 1
    with pytest.raises(
        ValueError, match=rf"the {name} of step {step} \(epoch .* hold NaN"
    ) as caught:
        regress(Numbers((part, *place)))
    assert f"(epoch {place[0]}, batch {place[1]})" in str(caught.value)
    assert f"weights of step {2 * place[0]} again" in str(caught.value)


def test_without_nan_in_the_data_the_steps_are_to_blame():
    with pytest.raises(FloatingPointError, match=r"loss is not finite at step .* learning rate"):
        regress(Numbers(), keras.optimizers.SGD(1e30))


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_of_one_is_a_batch(size):
    assert len(regress(Numbers(size=size))) == 3
    assert np.isfinite(learn(batch_size=size).valid).all()


def test_a_vocabulary_of_one_token_is_learned_before_it_is_trained():
    ids = np.zeros(40, int)
    model = lstm(vocab_size=1)
    curve = learn(model, ids, ids[:7])
    assert curve.train == curve.valid == [0.0, 0.0]
    assert all(np.isfinite(w).all() for w in model.get_weights())
    lines = learn(lstm(vocab_size=1), ids, ids[:7], lines=True)
    assert lines.valid == [0.0, 0.0]


@pytest.fixture
def untrained(monkeypatch):
    """A training step is an error of its own."""

    def fit(*args, **kwargs):
        raise AssertionError("training has begun")

    monkeypatch.setattr(keras.Model, "fit", fit)


@pytest.mark.parametrize(
    ("changes", "message"), [row[1:] for row in TRAINING], ids=[row[0] for row in TRAINING]
)
def test_training_is_refused_before_the_first_step(changes, message, untrained):
    with pytest.raises(ValueError, match=message):
        learn(**changes)


def test_lines_that_will_not_fit_are_found_before_the_first_step(untrained):
    model = lstm()
    model.max_context = 8
    with pytest.raises(ValueError, match=r"validation text.* line of 20 tokens .* max_context = 8"):
        learn(model, valid_ids=np.ones(20, int), lines=True)


def test_a_checkpoint_that_cannot_be_written_is_found_before_the_first_step(
    untrained, tmp_path, monkeypatch
):
    with pytest.raises(IsADirectoryError, match="path of a file, got the folder"):
        learn(checkpoint=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write checkpoint .*file/run.npz.* another path"):
        learn(checkpoint=tmp_path / "file" / "run.npz")

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    # Permission bits do not stop a superuser, so the system's answer is replaced.
    monkeypatch.setattr("textgen_utils.training.checkpoint.tempfile.TemporaryFile", refuse)
    with pytest.raises(OSError, match=r"cannot write checkpoint .*run.npz.* Permission denied"):
        learn(checkpoint=tmp_path / "run.npz")


def test_an_interrupted_run_goes_on_to_the_same_curve(tmp_path):
    path, model, optimizer = tmp_path / "run.npz", lstm(), adam(0.01)
    score, calls = model.score, []

    def interrupted(ids):
        calls.append(ids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(ids)

    model.score = interrupted
    with pytest.raises(KeyboardInterrupt):
        learn(model, optimizer=optimizer, checkpoint=path)
    with pytest.raises(ValueError, match="used before, for 4 steps: make a new one"):
        learn(optimizer=optimizer)

    written = path.read_bytes()
    for cut in (0, 10, len(written) // 2, len(written) - 5):
        path.write_bytes(written[:cut])
        with pytest.raises(ValueError, match=r"run.npz is damaged .*; delete the file to start"):
            learn(optimizer=adam(0.01), checkpoint=path)
        assert path.stat().st_size == cut  # it is the user's to delete
    path.write_bytes(written)
    with pytest.raises(ValueError, match=r"other settings .*seed: 0 there, 1 here"):
        learn(optimizer=adam(0.01), checkpoint=path, seed=1)

    resumed = learn(optimizer=adam(0.01), checkpoint=path)
    whole = learn(optimizer=adam(0.01))
    assert resumed.steps == whole.steps == [2, 4]
    np.testing.assert_allclose(resumed.valid, whole.valid, atol=1e-6)
    np.testing.assert_allclose(resumed.train, whole.train, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("time", [1, 3])
def test_text_shorter_than_the_context_is_scored_whole(name, time):
    report = evaluate(MODELS[name], IDS[:time], context=5)
    expected = -np.asarray(MODELS[name].score(IDS[None, :time])).mean()
    assert report.tokens == time
    assert report.nats_per_token == pytest.approx(expected, abs=1e-5)


def test_training_takes_a_validation_text_of_one_token_and_the_shortest_text():
    model = lstm()
    curve = learn(model, IDS[:9], IDS[:1], steps=2)
    assert curve.valid == pytest.approx([evaluate(model, IDS[:1]).nats_per_token], abs=1e-6)


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("symbol", ["a", "\n", "猫"])
def test_a_corpus_of_one_character_goes_all_the_way(fit, symbol):
    tokenizer = fit(symbol)
    ids = tokenizer.encode(symbol)
    assert tokenizer.decode(ids) == symbol
    model = NGram(3, tokenizer.vocab_size, tokenizer.boundary).fit(ids)
    assert 0 <= evaluate(model, ids).nats_per_token < np.log(256)
    np.testing.assert_array_equal(decompress(model, compress(model, ids), len(ids)), ids)
    assert isinstance(tokenizer.decode(decoding.generate(model, ids, 3, seed=0)[0]), str)


def test_a_vocabulary_of_one_token_needs_no_bits():
    model = lstm(vocab_size=1)
    assert evaluate(model, [0, 0, 0]).nats_per_token == pytest.approx(0, abs=1e-6)
    assert decoding.generate(model, [0], 2, seed=0).tolist() == [[0, 0]]


@pytest.mark.parametrize("name", FITS)
def test_a_damaged_tokenizer_is_named(name, tmp_path):
    tokenizer = FITS[name]("很好 a\n")
    path = tmp_path / "saved.json"
    tokenizer.save(path)
    state = json.loads(path.read_text(encoding="utf-8"))
    for field in ("model",) if name == "byte pairs" else ("tokens", "unknown"):
        path.write_text(json.dumps({**state, field: 7}))
        with pytest.raises(ValueError, match=r"saved\.json is not a saved tokenizer"):
            type(tokenizer).load(path)


def test_half_a_model_is_refused(tmp_path):
    path = tmp_path / "counts.npz"
    COUNTS.save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"counts\.npz is not an n-gram model"):
        NGram.load(path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no data folder, and no patience between attempts."""
    monkeypatch.delenv("TEXTGEN_DATA", raising=False)
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    return tmp_path / "cache" / "shakespeare"


def answer(monkeypatch, content, announced=None):
    """Let every request be answered with `content`, of `announced` bytes."""

    class Response(io.BytesIO):
        status = 200
        headers = {"Content-Length": str(announced or len(content))}  # noqa: RUF012

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: Response(content))


def test_no_network(cache, monkeypatch):
    def urlopen(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(download.urllib.request, "urlopen", urlopen)
    with pytest.raises(OSError, match=r"cannot download 'shakespeare/input\.txt'") as caught:
        shakespeare.load()
    for part in ("https://", "Name or service not known", "86c4e6aa", "set TEXTGEN_DATA"):
        assert part in str(caught.value)


def test_half_a_download_is_kept_and_no_corpus(cache, monkeypatch):
    answer(monkeypatch, b"First Citizen", announced=1000)
    with pytest.raises(OSError, match=r"ended after 13 of 1000 bytes.*what has arrived is kept"):
        shakespeare.load()
    assert (cache / "input.txt.part").read_bytes() == b"First Citizen"
    assert not (cache / "input.txt").exists()


def test_another_file_under_the_same_address(cache, monkeypatch):
    answer(monkeypatch, b"Moved permanently.")
    with pytest.raises(OSError, match=r"not the expected file.* expected 86c4e6aa.*TEXTGEN_DATA"):
        shakespeare.load()
    assert not list(cache.glob("input*"))


def test_another_file_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTGEN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"has no file 'shakespeare/input.txt'. Put it"):
        shakespeare.load()
    (tmp_path / "shakespeare").mkdir()
    (tmp_path / "shakespeare" / "input.txt").write_text("First Citizen")
    with pytest.raises(OSError, match=r"input.txt is not the expected file.*expected 86c4e6aa"):
        shakespeare.load()


@pytest.mark.parametrize("damaged", [False, True])
def test_read_only_cache(damaged, cache, monkeypatch):
    answer(monkeypatch, b"")
    if damaged:
        cache.mkdir(parents=True)
        (cache / "input.txt").write_text("First Citizen")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OSError, match=r"cannot write to the cache folder .* Set TEXTGEN_CACHE"):
        shakespeare.load()


@pytest.mark.parametrize("digest", ["", "86c4", "G" * 64])
def test_a_digest_that_is_none_is_found_before_the_download(digest, cache):
    with pytest.raises(ValueError, match=f"64 lower-case hexadecimal digits, got '{digest}'"):
        download.fetch("a", "https://example.org/a", digest)
    assert not cache.exists()
