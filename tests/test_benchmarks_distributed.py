"""The recorded comparison of one and two processes: it adds up, and the record is of its form."""

import json

import numpy as np
import pytest

from benchmarks import distributed as benchmark

pytestmark = pytest.mark.tensorflow

PARAMETERS = {"GPT": 400_000, "LSTM": 500_000}


def invented(rounds=3):
    """Times that obey the formula exactly, of which all constants are known."""
    sizes, numbers = benchmark.SETTINGS["batch_sizes"], benchmark.SETTINGS["numbers"]
    times = {"add": {str(n): [0.002 + 4 * n / 1e9] * rounds for n in numbers}}
    for name in benchmark.MODELS:
        sum_up = 0.002 + 4 * PARAMETERS[name] / 1e9
        times[f"alone {name}"] = {str(b): [0.01 + 0.001 * b] * rounds for b in sizes}
        times[f"together {name}"] = {
            str(b): [0.01 + 0.001 * b / 2 + sum_up] * rounds for b in sizes
        }
        forms = enumerate(benchmark.FORMATS, start=1)
        times[f"format {name}"] = {form: [0.1 * k] * rounds for k, form in forms}
    return {"times": times, "parameters": PARAMETERS}


def test_known_constants_are_found_and_predict_the_measured(tmp_path):
    out = tmp_path / "record.json"
    benchmark.main(["--rounds", "3", "--out", str(out)], measure=invented)
    record, committed = (json.loads(path.read_text()) for path in (out, benchmark.RECORD))
    assert record.keys() == committed.keys()
    assert record["link"]["latency"] == pytest.approx(0.001)
    assert record["link"]["bandwidth"] == pytest.approx(1e9)
    for name in benchmark.MODELS:
        assert record["compute"][name]["fixed"] == pytest.approx(0.01)
        assert record["compute"][name]["per_item"] == pytest.approx(0.001)
        for speedup in record["speedup"][name].values():
            assert speedup["measured"] == pytest.approx([speedup["predicted"]] * 3)
        ratios = [middle for _, middle, _ in record["format_ratio"][name].values()]
        assert ratios == pytest.approx([1, 2, 3, 4])


def test_the_committed_record_agrees_with_itself():
    record = json.loads(benchmark.RECORD.read_text())
    assert {**benchmark.SETTINGS, "rounds": record["settings"]["rounds"]} == record["settings"]
    assert list(record["seconds"]["add"]) == [str(n) for n in benchmark.SETTINGS["numbers"]]
    for name in benchmark.MODELS:
        assert list(record["speedup"][name]) == [str(b) for b in benchmark.SETTINGS["batch_sizes"]]
        assert record["format_ratio"][name]["float32"] == [1, 1, 1]
        assert record["parameters"][name] == benchmark.make(name).count_params()
    by_kind = [values for by_x in record["seconds"].values() for values in by_x.values()]
    assert all(0 < low <= middle <= high for low, middle, high in by_kind)


def test_formats_are_measured_in_turns_and_not_in_the_first_round(monkeypatch):
    said = []
    monkeypatch.setattr(benchmark, "send", lambda **values: said.append(values))
    monkeypatch.setattr(benchmark, "MODELS", ("GPT",))
    monkeypatch.setattr(benchmark, "FORMATS", {"float32": ("float32", False)})
    small = {"vocab_size": 5, "window": 4, "precision_batch": 2, "repeats": 2}
    monkeypatch.setattr(benchmark, "SETTINGS", small)
    benchmark.compare_formats(rounds=2)
    assert [(m["kind"], m["x"]) for m in said] == [("format GPT", "float32")] * 2
    assert all(m["seconds"] > 0 for m in said)


def test_models_of_a_format_compute_in_it_and_leave_the_default_alone():
    import keras

    model = benchmark.make("GPT", "mixed_bfloat16")
    assert model.compute_dtype == "bfloat16"
    assert model.weights[0].dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    inputs, targets = benchmark.batch(2)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
