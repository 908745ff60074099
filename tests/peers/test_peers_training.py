"""PyTorch's and KerasHub's training steps compute what ours do, weights copied across."""

import numpy as np
import pytest

from benchmarks import keras_training, step_competitors
from benchmarks.peers import hub_training, torch_gpt, torch_lstm

GPT = {"vocab_size": 9, "context": 8, "width": 16, "heads": 2, "depth": 2, "batch": 3}
LSTM = {"vocab_size": 9, "context": 8, "embedding_width": 5, "width": 7, "batch": 3}


def after_three_steps(training, sizes):
    ids, targets = step_competitors.batch(sizes, 2)
    return [training.step(ids, targets) for _ in range(3)] + [training.loss(ids, targets)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("sizes", [GPT, LSTM], ids=["GPT", "LSTM"])
def test_pytorch_takes_the_same_steps(sizes, compiled):
    ours_of = keras_training.gpt if sizes is GPT else keras_training.lstm
    theirs_of = torch_gpt.Competitor if sizes is GPT else torch_lstm.Competitor
    weights = step_competitors.weights(sizes)
    ours = ours_of(sizes, weights, xla=False)
    theirs = theirs_of(step_competitors.arguments(sizes), weights, 1, compiled)
    assert ours.parameters == theirs.parameters
    ids, targets = step_competitors.batch(sizes, 1)
    assert theirs.forward(ids, targets) == pytest.approx(ours.loss(ids, targets), abs=1e-4)
    np.testing.assert_allclose(
        after_three_steps(ours, sizes), after_three_steps(theirs, sizes), atol=1e-4
    )


def test_the_compiled_one_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "g++")
    weights = step_competitors.weights(LSTM)
    with pytest.raises(OSError, match="needs a C"):
        torch_lstm.Competitor(step_competitors.arguments(LSTM), weights, 1, True)


def exact(training):
    """Put the exact gelu in the place of the approximate one."""
    for layer in training.model.backbone.transformer_layers:
        layer._feedforward_intermediate_dense.activation = keras_training.keras.activations.gelu
    return training


def test_keras_hub_has_the_same_loss_and_gradients_but_for_its_gelu_and_biases():
    weights = step_competitors.weights(GPT)
    ours, theirs = (
        keras_training.gpt(GPT, weights, xla=False),
        exact(hub_training.gpt(GPT, weights)),
    )
    ids, targets = step_competitors.batch(GPT, 1)
    assert theirs.loss(ids, targets) == pytest.approx(ours.loss(ids, targets), abs=1e-4)
    biases = [w for w in theirs.model.trainable_weights if w.name in ("bias", "beta")]
    assert theirs.parameters - ours.parameters == sum(np.prod(w.shape) for w in biases)

    def gradient(training, variable):
        inputs = training._read(ids)
        found = training._loss_and_gradients(inputs, targets)[1]
        place = [w is variable for w in training.model.trainable_weights].index(True)
        return np.asarray(found[place])

    # These flow through all layers on their way back.
    embeddings = [
        (ours.model.tokens.embeddings, theirs.model.backbone.token_embedding.embeddings),
        (
            ours.model.positions.embeddings,
            theirs.model.backbone.position_embedding.position_embeddings,
        ),
    ]
    for own, other in embeddings:
        np.testing.assert_allclose(gradient(ours, own), gradient(theirs, other), atol=1e-5)


def test_keras_hub_as_it_comes_is_near_and_learns():
    weights = step_competitors.weights(GPT)
    theirs = hub_training.gpt(GPT, weights)
    ours = keras_training.gpt(GPT, weights, xla=False)
    losses = after_three_steps(theirs, GPT)
    np.testing.assert_allclose(losses[0], after_three_steps(ours, GPT)[0], atol=1e-3)
    assert losses[-1] < losses[0]
