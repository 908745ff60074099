"""The recorded runs of the GPT: competitors compute the same thing, and records hold together."""

import json

import numpy as np
import pytest

from benchmarks import gpt_step, shakespeare_gpt
from textgen_utils.corpora.types import Corpus

pytestmark = pytest.mark.tensorflow  # as recorded; the models themselves are tested on both

SMALL = {"vocab_size": 9, "context": 8, "width": 16, "heads": 2, "depth": 2}


def test_initial_weights_are_those_of_the_model_by_name_and_shape():
    from textgen_utils.models.transformer import GPT

    model = GPT(9, max_context=8, width=16, heads=2, depth=2, boundary=0)
    weights = gpt_step.initial_weights(SMALL)
    named = gpt_step.named_weights(model)
    assert {name: tuple(w.shape) for name, w in named.items()} == {
        name: w.shape for name, w in weights.items()
    }
    assert len(named) == len(model.weights)


def test_the_competitor_takes_the_weights_and_learns():
    competitor = gpt_step.KerasCompetitor(SMALL, gpt_step.initial_weights(SMALL), xla=False)
    kernel = competitor.model.blocks[1].perceptron.widen.kernel
    np.testing.assert_array_equal(kernel, gpt_step.initial_weights(SMALL)["blocks.1.widen.weight"])
    batch = gpt_step.batch(SMALL, 0)
    before = competitor.loss(*batch)
    for _ in range(5):
        competitor.step(*batch)
    assert competitor.loss(*batch) < before


def test_competitors_that_differ_are_refused():
    fact = {"parameters": 5, "loss": 2.0}
    gpt_step.check_equal({"a": fact, "b": {**fact, "loss": 2.00001}})
    for other in ({**fact, "parameters": 6}, {**fact, "loss": 2.01}):
        with pytest.raises(ValueError, match="b does not compute the same"):
            gpt_step.check_equal({"a": fact, "b": other})


def test_operations_of_a_step_are_counted_product_by_product():
    tokens, width, context = gpt_step.BATCH * 8, 16, 8
    block = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    products = 2 * sum(2 * tokens * rows * columns for rows, columns in block)  # depth 2
    attention = 2 * 2 * (2 * tokens * context * width)  # fits and mixtures, depth 2
    head = 2 * tokens * width * 9
    assert gpt_step.step_operations(SMALL) == 3 * (products + attention + head)


def test_a_short_comparison_writes_a_record_of_the_committed_form(tmp_path, monkeypatch):
    monkeypatch.setattr(gpt_step, "SIZES", SMALL)

    def measure(**settings):
        return gpt_step.run(**settings, peers=("keras",))

    out = tmp_path / "step.json"
    gpt_step.main(["--rounds", "2", "--steps", "2", "--out", str(out)], measure=measure)
    short, committed = (json.loads(path.read_text()) for path in (out, gpt_step.RECORD))
    assert short.keys() == committed.keys()
    assert short["ratio"]["keras"] == [1, 1, 1]
    assert short["milliseconds"]["keras"][1] > 0


def test_the_committed_comparison_agrees_with_itself():
    record = json.loads(gpt_step.RECORD.read_text())
    gpt_step.check_equal(record["facts"])
    assert list(record["milliseconds"]) == list(gpt_step.PEERS)
    assert record["ratio"]["torch"] == [1, 1, 1]
    for quartiles in (*record["milliseconds"].values(), *record["ratio"].values()):
        assert quartiles == sorted(quartiles)
    for share in record["share_of_limit"].values():
        assert 0 < share < 1


def test_runs_on_shakespeare_are_recorded_and_not_repeated(tmp_path, monkeypatch):
    text = "to be or not to be\n" * 40
    corpus = Corpus("small", train=text, valid=text[:200], test="")
    monkeypatch.setattr(shakespeare_gpt.shakespeare, "load", lambda: corpus)
    small = {"width": 8, "heads": 2, "depth": 1, "context": 8, "batch_size": 2, "steps": 8}
    monkeypatch.setattr(shakespeare_gpt, "SETTINGS", small)
    out = tmp_path / "runs.json"
    shakespeare_gpt.main(["--seeds", "1", "--out", str(out)])
    first = json.loads(out.read_text())
    assert [(r["optimizer"], r["seed"]) for r in first["runs"]] == [("AdamW", 1), ("Muon", 1)]
    assert first.keys() == json.loads(shakespeare_gpt.RECORD.read_text()).keys()
    shakespeare_gpt.main(["--seeds", "1", "--out", str(out)])
    assert json.loads(out.read_text()) == first


def test_the_committed_runs_are_of_the_published_setting():
    record = json.loads(shakespeare_gpt.RECORD.read_text())
    assert record["settings"] == shakespeare_gpt.SETTINGS
    for run in record["runs"]:
        assert run["parameters"] == 804_096  # nanoGPT reports 0.80 M
        assert run["curve"]["steps"][-1] == 2000
        assert run["full_validation"] == pytest.approx(min(run["curve"]["valid"]), rel=1e-3)
        assert run["full_validation"] < run["random_windows"]
