"""Training steps side by side: the same computation, and operations counted from the graph."""

import functools
import json

import numpy as np
import pytest

from benchmarks import gpt_step, step_competitors, training_step

pytestmark = pytest.mark.tensorflow  # what is compared runs on it

GPT = {"vocab_size": 9, "context": 8, "width": 16, "heads": 2, "depth": 2, "batch": 3}
LSTM = {"vocab_size": 9, "context": 8, "embedding_width": 5, "width": 7, "batch": 3}


def after_three_steps(training, sizes):
    ids, targets = step_competitors.batch(sizes, 2)
    return [training.step(ids, targets) for _ in range(3)] + [training.loss(ids, targets)]


def test_the_count_of_a_gpt_is_that_of_its_graph():
    import tensorflow as tf

    from benchmarks import keras_training

    training = keras_training.gpt(GPT, step_competitors.weights(GPT), xla=False)
    graph = tf.function(training.model).get_concrete_function(tf.zeros((3, 8), "int32")).graph
    counted = 0
    for op in graph.get_operations():
        if "MatMul" in op.type:
            a, out = (np.array(t.shape) for t in (op.inputs[0], op.outputs[0]))
            inner = (
                a[-2] if "transpose_a" in op.node_def.attr and op.get_attr("transpose_a") else a[-1]
            )
            counted += 2 * inner * np.prod(out)
    assert training_step.operations(GPT) == 3 * counted


def test_the_count_of_the_small_gpt_is_that_of_its_own_record():
    assert training_step.operations(training_step.GPT) == gpt_step.step_operations(gpt_step.SIZES)
    assert training_step.main_product(training_step.GPT) in ((768, 128, 512), (768, 512, 128))


def test_the_count_of_an_lstm_follows_its_weights():
    weights = step_competitors.weights(LSTM)
    matrices = [w.size for w in weights[1:] if w.ndim == 2]  # the embedding only looks up
    assert training_step.operations(LSTM) == 6 * 3 * 8 * sum(matrices)


@pytest.mark.parametrize("sizes", [GPT, LSTM], ids=["GPT", "LSTM"])
def test_with_xla_and_without_the_same_is_computed(sizes):
    from benchmarks import keras_training

    make = keras_training.gpt if sizes is GPT else keras_training.lstm
    plain, xla = (make(sizes, step_competitors.weights(sizes), xla=x) for x in (False, True))
    ids, targets = step_competitors.batch(sizes, 2)
    assert xla.forward(ids, targets) == pytest.approx(plain.loss(ids, targets), abs=1e-5)
    assert plain.gradients(ids, targets) == pytest.approx(plain.loss(ids, targets), abs=1e-5)
    ours, theirs = after_three_steps(plain, sizes), after_three_steps(xla, sizes)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ours[-1] < ours[0]


def test_keras_own_layers_take_the_same_steps():
    from benchmarks import keras_training

    weights = step_competitors.weights(LSTM)
    ours, theirs = (
        keras_training.lstm(LSTM, weights, xla=False),
        keras_training.sequential(LSTM, weights),
    )
    assert ours.parameters == theirs.parameters == sum(w.size for w in weights)
    np.testing.assert_allclose(
        after_three_steps(ours, LSTM), after_three_steps(theirs, LSTM), atol=1e-5
    )


class Pretended:
    """A competitor whose seconds are chosen."""

    def __init__(self, seconds, loss=2.0):
        self.seconds = seconds
        self.facts = {"version": "1", "models": {"GPT 128": {"parameters": 5, "loss": loss}}}

    def __call__(self, task):
        if "product" in task:
            return 2 * float(np.prod(task["product"])) / 1e9
        return self.seconds * ("forward", "gradients", "step").index(task["part"]) + 0.5


def pretenders(other_loss=2.0):
    return {
        training_step.REFERENCE: functools.partial(Pretended, 1.0),
        "other": functools.partial(Pretended, 2.0, other_loss),
    }


def test_shares_and_profile_follow_from_the_seconds():
    models = {"GPT 128": GPT}
    part = training_step.measure(threads=1, rounds=2, models=models, competitors=pretenders())
    assert part["limits"]["rate"] == pytest.approx(1e9)
    steps = {r["name"]: r for r in part["results"] if r["task"].get("part") == "step"}
    assert steps["other"]["ratio"][1] == pytest.approx(4.5 / 2.5)
    assert steps["other"]["share"] == pytest.approx(training_step.operations(GPT) / 1e9 / 4.5)
    assert part["profile"]["GPT 128"]["other"] == {"forward": 0.5, "backward": 2.0, "update": 2.0}
    json.dumps(part)


def test_competitors_that_differ_are_refused():
    with pytest.raises(ValueError, match="other does not compute the same GPT 128"):
        training_step.measure(
            threads=1, rounds=1, models={"GPT 128": GPT}, competitors=pretenders(2.1)
        )


def test_a_competitor_times_its_parts_and_products():
    steps = step_competitors.ours({"GPT 128": GPT}, xla=False)
    assert steps.facts["models"]["GPT 128"]["parameters"] > 1000
    for task in training_step.tasks({"GPT 128": GPT}):
        seconds = steps({**task, "steps": 2})
        assert ("product" in task and seconds is None) or 0 < seconds < 20
    assert steps({"model": "LSTM 128", "part": "step", "steps": 1}) is None
    product = step_competitors.numpy_products({})({"product": [2, 3, 4], "steps": 3})
    assert 0 < product < 1
