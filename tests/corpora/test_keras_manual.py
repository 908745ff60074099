import inspect
import re
import subprocess
import sys
from itertools import chain

import pytest

from textgen_utils.corpora import keras_manual

RUN = keras_manual.RUN


@pytest.fixture(scope="module")
def originals():
    return keras_manual.docstrings()


@pytest.fixture(scope="module")
def parts():
    return keras_manual.split()


@pytest.fixture(scope="module")
def corpus(parts):
    with pytest.MonkeyPatch.context() as patch:  # reading all files takes seconds: once is enough
        patch.setattr(keras_manual, "split", lambda: parts)
        return keras_manual.load()


def sentences(text):
    """Sentences of a text, by other means than the package's: paragraph, then full stop."""
    for paragraph in re.split(r"\n\s*\n", text):
        yield from re.split(r"(?<=[.!?])\s", " ".join(paragraph.lower().split()))


def long_sentences(text):
    return {s for s in sentences(text) if len(s.split()) >= RUN}


def test_no_sentence_is_in_two_parts(corpus):
    train, valid, test = map(long_sentences, (corpus.train, corpus.valid, corpus.test))
    assert len(train) > 5000
    assert min(len(valid), len(test)) > 300
    assert not train & valid
    assert not train & test
    assert not valid & test


def test_no_run_of_words_is_in_two_docstrings(parts):
    owner = {}
    for docstring in chain(*parts):
        words = docstring.lower().split()
        for run in {" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}:
            assert owner.setdefault(run, docstring) is docstring, run


def test_the_rule_is_needed(originals):
    # The measure above finds copies in the docstrings as they are.
    found = list(chain.from_iterable(long_sentences(text) for text in originals))
    assert len(found) - len(set(found)) > 1000


def test_no_docstring_is_in_two_parts(parts):
    everything = list(chain(*parts))
    assert len(everything) == len(set(everything))


def test_every_character_can_be_learnt(corpus):
    assert set(corpus.valid + corpus.test) <= set(corpus.train)


def test_sizes_and_form(corpus):
    total = len(corpus.train) + len(corpus.valid) + len(corpus.test)
    assert 900_000 < total < 1_200_000
    assert 0.85 < len(corpus.train) / total < 0.92
    assert min(len(corpus.valid), len(corpus.test)) > 45_000
    for text in (corpus.train, corpus.valid, corpus.test):
        assert text.endswith("\n")
        assert not text.startswith("\n")
        assert "\n\n\n" not in text


def test_docstrings_are_those_that_python_sees(originals):
    import keras

    found = set(originals)
    for thing in (keras.layers.Dense, keras.Model.fit, keras.ops.softmax, keras.losses.Loss):
        text = inspect.getdoc(thing)
        assert "\n".join(line.rstrip() for line in text.split("\n")).strip() in found


def test_order_is_that_of_the_source(tmp_path, monkeypatch):
    package = tmp_path / "somepackage"
    package.mkdir()
    (package / "__init__.py").write_text('"""First."""\n')
    (package / "b.py").write_text(
        'class A:\n  """Three."""\n  def f():\n    """Four."""\n"""No."""'
    )
    (package / "a.py").write_text(
        'def f():\n    """Second.\n\n        Deeper.\n    Last.\n    """\n    x = """No."""\n'
        'async def g(): """First."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    expected = ["First.", "Second.\n\n    Deeper.\nLast.", "Three.", "Four."]
    assert keras_manual.docstrings("somepackage") == expected


LONG = "one two three four five six seven eight nine"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([LONG, LONG], [LONG, ""]),
        ([LONG, LONG.title().replace("Four ", "Four\n")], [LONG, ""]),
        ([LONG, "one two three four five six seven"], [LONG, "one two three four five six seven"]),
        (["a b", "a b"], ["a b", ""]),
        # an item goes, its neighbours and its heading stay
        (
            [f"x: {LONG}", f"New.\n\nArgs:\n    x: {LONG}\n    y: other.\n\nEnd."],
            [f"x: {LONG}", "New.\n\nArgs:\n    y: other.\n\nEnd."],
        ),
        # with its last item, the heading goes too
        (
            [f"x: {LONG}", f"New.\n\nArgs:\n    x: {LONG}\n\nReturns:\n    All."],
            [f"x: {LONG}", "New.\n\nReturns:\n    All."],
        ),
        # a listing is one block, blank lines included
        (
            [f"```\n{LONG}\n```", f"Code.\n\n```\na\n\n{LONG}\n\nb\n```\nEnd."],
            [f"```\n{LONG}\n```", "Code.\n\nEnd."],
        ),
        # dropping a block must not make a new run out of its neighbours
        (
            [LONG, "one two three four\n\n" + LONG + "\n\nfive six seven eight"],
            [LONG, "one two three four"],
        ),
    ],
)
def test_rule_on_small_cases(texts, expected):
    assert keras_manual.without_copies(texts) == expected


def test_missing_package_is_named():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        keras_manual.docstrings("no_such_package")


def test_loading_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys, textgen_utils.corpora\n"
        "from textgen_utils.corpora import keras_manual, chinese, cmudict, tang, imdb, multi30k\n"
        "keras_manual.docstrings('json')\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
