"""What would be trained at GPU scale: a notebook of ours, a count by hand, the committed record."""

import json
import math

import keras
import nbformat
import numpy as np
import pytest

from benchmarks import gpu_plan
from benchmarks.gpu_memory import Plan, exact_memory
from benchmarks.gpu_stand_ins import nothing_trains
from textgen_utils import training
from textgen_utils.evaluation import evaluate
from textgen_utils.models.transformer import GPT
from tools import notebooks

CELLS = {
    "setup": """
        from textgen_utils import runtime
        runtime.setup(seed=1)
        import numpy as np
        from textgen_utils import evaluation, training
        from textgen_utils.models.transformer import GPT
        steps, text = runtime.by_scale(cpu=10**9, gpu=6), np.arange(60) % 7
        """,
    "train": """
        model = GPT(7, max_context=8, width=8, heads=1, depth=1, boundary=0, seed=1)
        options = {"window": 5, "batch_size": 3, "eval_every": 2, "seed": 1}
        curve = training.train(model, text, text, steps=steps, **options)
        """,
    "claims": "assert curve.valid[-1] < 0.1",
    "meant": "1 / 0",
    "scores": "evaluation.evaluate(model, text)",
}


def sequential(inputs=4, units=3):
    model = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units)])
    model.compile(keras.optimizers.Adam(0.1), keras.losses.MeanSquaredError())
    return model


def test_a_notebook_is_gone_through_at_gpu_scale(tmp_path):
    """In a process of its own, on JAX; a cell that fails does not end it."""
    notebook = nbformat.v4.new_notebook()
    for name, source in CELLS.items():
        lines = [line.removeprefix(" " * 8) for line in source.strip("\n").split("\n")]
        cell = nbformat.v4.new_code_cell("\n".join(lines), id=name)
        cell.metadata["tags"] = ["raises-exception"] if name == "meant" else []
        notebook.cells.append(cell)
    path = tmp_path / "small.ipynb"
    nbformat.write(notebook, path)
    found = gpu_plan.plan(path)
    assert found["failed"] == {"claims": "AssertionError"}
    assert found["cells"] == [5, 5]
    assert found["backend"] == "jax"
    (row,) = found["trained"]
    parameters = GPT(7, max_context=8, width=8, heads=1, depth=1, boundary=0).count_params()
    known = {"model": "GPT", "parameters": parameters, "optimizer": "Adam", "steps": 6, "runs": 1}
    assert row.items() >= known.items()
    assert row["shapes"] == [[3, 5]]
    assert row["exact"]["weights"] == row["exact"]["gradients"] == 4 * parameters
    # what the softmax's gradient needs, and the gradients, are held at some time
    assert row["temporaries"] > 4 * 3 * 5 * 7
    assert row["temporaries"] < 100 * 4 * parameters


def test_nothing_is_trained_and_runs_of_one_kind_are_counted():
    model, x = sequential(), np.ones((10, 4), np.float32)
    before = model.get_weights()
    with nothing_trains() as noted:
        history = model.fit(x, x[:, :3], batch_size=4, epochs=2, verbose=0)
        sequential().fit(x, x[:, :3], batch_size=4, epochs=2, verbose=0)
        other = sequential(units=5)
        for _ in range(7):
            other.train_on_batch(x, np.ones((10, 5), np.float32))
    assert len(history.history["loss"]) == 2
    assert [(row["shapes"], row["steps"], row["runs"]) for row in noted.rows] == [
        ([[4, 4]], 6, 2),
        ([[10, 4]], 7, 1),
    ]
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert model.fit(x, x[:, :3], verbose=0).history["loss"][0] > 0  # it can train again


def test_training_and_scoring_return_what_later_cells_can_read():
    text = np.arange(60) % 7
    model = GPT(7, max_context=8, width=8, heads=1, depth=1, boundary=0, seed=1)
    options = {"window": 5, "batch_size": 3, "eval_every": 2, "seed": 1}
    with nothing_trains():
        curve = training.train(model, text, text, steps=4, **options)
        assert curve.steps == [4]
        assert evaluate(model, text).nats_per_token == pytest.approx(1)


def test_the_exact_part_against_a_count_by_hand():
    """A layer of 4 x 3 weights and 3 biases; Adam keeps two numbers for each, and a few alone."""
    model = sequential()
    model.optimizer.build(model.trainable_variables)
    memory = exact_memory(model)
    assert memory["weights"] == memory["gradients"] == 4 * (4 * 3 + 3)
    assert 0 < memory["optimizer"] - 2 * memory["weights"] <= 16  # its steps and its rate
    frozen = sequential()
    frozen.trainable = False
    frozen.compile(keras.optimizers.SGD(0.1), "mse")
    frozen.optimizer.build(frozen.trainable_variables)
    assert exact_memory(frozen)["gradients"] == 0


def test_only_a_run_larger_than_all_before_is_planned(monkeypatch):
    planned = []
    monkeypatch.setattr(
        "benchmarks.gpu_memory.temporaries", lambda model, data: planned.append(len(data[0])) or 1
    )
    plan = Plan()
    for rows in (4, 2, 8):
        plan.add(sequential(), (np.ones((rows, 4)), np.ones((rows, 3))), 5)
    assert planned == [4, 8]
    assert [row["temporaries"] for row in plan.rows] == [1, None, 1]


def test_the_record_has_every_notebook_with_settings_for_a_gpu():
    record = json.loads(gpu_plan.RECORD.read_text())
    names = {
        path.relative_to(notebooks.BOOK).with_suffix("").as_posix()
        for path in gpu_plan.with_gpu_settings()
    }
    assert set(record["plans"]) == names
    assert record["settings"]["scale"] == "gpu"
    for name, plan in record["plans"].items():
        ran, of = plan["cells"]
        assert 0 < ran <= of, name
        for row in plan["trained"]:
            assert row["steps"] >= 1
            assert row["runs"] >= 1
            inputs = [math.prod(shape) for shape in row["shapes"]]
            assert min(inputs) > 0
            assert row["exact"]["gradients"] <= row["exact"]["weights"]
            # weights of four bytes each, as float32 and int32 are
            assert row["exact"]["weights"] == 4 * row["parameters"], name
