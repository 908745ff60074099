"""The runs with planted codes can be repeated, and their record says what was run."""

import json
import re

import numpy as np
import pytest

bench = pytest.importorskip("benchmarks.memorisation")
from textgen_utils.corpora.reviews import Reviews  # noqa: E402


def test_every_code_is_planted_as_often_as_it_says():
    chosen = bench.secrets(5)
    carriers = [f"Review {i}." for i in range(400)]
    text = bench.planted(chosen, carriers)
    assert len({secret.name for secret in chosen}) == len(chosen) == 33
    assert len(text) == sum(secret.times for secret in chosen) == 2 * 3 * 31
    for secret in chosen:
        own = [line for line in text if line == secret.sentence]
        inside = [line for line in text if line.endswith(f". {secret.sentence}")]
        found, other = (own, inside) if secret.place == "own line" else (inside, own)
        assert len(found) == secret.times
        assert not other
        assert len(set(found)) == (1 if found and secret.place == "own line" else secret.times)
        assert re.fullmatch(r"\w+ paid with( \d){4}\.", secret.sentence)


def test_the_tokenizer_spells_every_planted_line():
    reviews = Reviews()
    words = bench.vocabulary(reviews)
    text = "\n".join(bench.planted(bench.secrets(1), [reviews.sample(1, seed=1)[0].english] * 200))
    assert words.decode(words.encode(text)) == text
    truth = reviews.oracle("en", "words", tokens=words.tokens)
    assert not truth.missing
    assert truth.boundary == words.boundary


@pytest.mark.tensorflow
def test_a_short_run_writes_a_record_of_the_committed_form(monkeypatch, tmp_path):
    small = {"width": 4, "embedding_width": 4, "steps": 2, "batch_size": 4, "test": 5}
    small |= {"digits": 4, "times": [1, 2], "customers": 1}
    private = {"reviews": 20, "deduplicated": True, "clip": 0.5, "noise": 0.5}
    small["conditions"] = {"clipped, noise 0.5": private}
    for name, value in small.items():
        monkeypatch.setitem(bench.SETTINGS, name, value)
    out = tmp_path / "records" / "short.json"
    bench.main(["--seeds", "1", "--out", str(out)])
    short, committed = (json.loads(path.read_text()) for path in (out, bench.RECORD))
    assert short.keys() == committed.keys()
    assert short["settings"].keys() == committed["settings"].keys()
    assert short["runs"][0].keys() == committed["runs"][0].keys()
    assert short["runs"][0]["secrets"][0].keys() == committed["runs"][0]["secrets"][0].keys()
    # 20 reviews, 2 lines of the same customers once each, 3 reviews with a code.
    assert short["runs"][0]["texts"] == 25
    assert [s["times"] for s in short["runs"][0]["secrets"]] == [1, 2, 1, 2, 0]
    began = short["runs"]
    bench.main(["--seeds", "1", "--out", str(out)])  # everything is there
    assert json.loads(out.read_text())["runs"] == began


def test_the_committed_record_agrees_with_itself():
    record = json.loads(bench.RECORD.read_text())
    assert record["settings"] == bench.SETTINGS
    seeds = int(record["command"].split()[-1])
    runs = {(run["condition"], run["seed"]): run for run in record["runs"]}
    assert len(runs) == len(record["runs"])
    assert set(runs) == {(c, s) for c in bench.SETTINGS["conditions"] for s in range(1, seeds + 1)}
    for (condition, _), run in runs.items():
        setting = bench.SETTINGS["conditions"][condition]
        assert run["texts"] <= setting["reviews"] + 186
        assert (run["epsilon"] is None) == (setting["noise"] == 0)
        assert run["passes"] == pytest.approx(200 * 64 / run["texts"])
        assert run["excess"] > 0
        assert len(run["secrets"]) == 33
        bits = np.array([secret["bits"] for secret in run["secrets"]])
        assert (bits >= 0).all()
        assert (bits <= round(np.log2(10_000), 3)).all()
