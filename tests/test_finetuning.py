"""Labelled batches, classifiers on a body, copies of weights, and LoRA."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from textgen_utils import training
from textgen_utils.batches.labelled import LabelledBatches
from textgen_utils.models.classifier import TextClassifier, WordVectors
from textgen_utils.models.masked import MaskedLanguageModel
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT
from textgen_utils.training import finetuning

RNG = np.random.default_rng(0)
SIZES = {"max_context": 8, "width": 8, "heads": 2, "depth": 1, "boundary": 0, "seed": 1}
ROWS = np.array([[1, 2, 3, 4, 5, 0], [6, 5, 0, 0, 0, 0], [2, 2, 1, 0, 0, 0]])


def body(kind):
    model = {"bert": MaskedLanguageModel, "gpt": GPT}[kind](7, **SIZES)
    model.set_weights([RNG.normal(size=w.shape).astype("float32") / 4 for w in model.weights])
    return model


@pytest.fixture(scope="module")
def labelled():
    """Texts of class 1 hold the token 3, the others do not."""
    rng = np.random.default_rng(1)
    rows = rng.choice([1, 2, 4, 5, 6], size=(80, 6))
    labels = np.arange(80) % 2
    rows[labels == 1, rng.integers(5, size=40)] = 3
    rows[:, 5] = 0
    return rows, labels


def optimizer(steps):
    return training.muon(training.warmup_cosine(0.03, steps))


# Batches


@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 99))
def test_each_text_is_used_once_before_any_is_used_again(n, size, seed):
    rows, labels = np.arange(n)[:, None], np.arange(n) % 2
    batches = LabelledBatches(rows, labels, size, n, seed)
    seen = [batches[i] for i in range(n)]
    texts = np.concatenate([read[:, 0] for read, _ in seen])
    for i in range(size):
        assert set(texts[i * n : (i + 1) * n]) == set(range(n))
    np.testing.assert_array_equal(np.concatenate([y for _, y in seen]), texts % 2)
    batches.on_epoch_end()
    assert batches.epoch == 1


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (ROWS, [1, 1, 1], "all of class 1: a classifier needs at least two"),
        (ROWS[:0], np.zeros(0, int), "needs labels to learn from, got none"),
        (ROWS, [0, 1], r"labels \(n,\); got \(3, 6\) and \(2,\)"),
        (ROWS, [0.0, 1.0, 0.0], "integers from 0"),
        (ROWS, [-1, 1, 0], "integers from 0"),
    ],
)
def test_label_sets_that_nothing_can_be_learnt_from_are_refused(rows, labels, message):
    with pytest.raises(ValueError, match=message):
        LabelledBatches(rows, labels, 2, 1, 0)


# Classifiers


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_features_are_the_mean_over_the_text_alone(kind):
    model = TextClassifier(body(kind))
    table = ops.convert_to_numpy(model.body.tokens.embeddings)[:7]
    logits = ops.convert_to_numpy(model.features(ROWS)) @ table.T
    for i, length in enumerate((6, 3, 4)):
        read = ROWS[i : i + 1, :length]
        if kind == "gpt":  # the boundary in front, the end not read
            read = np.concatenate([[[0]], read[:, :-1]], axis=1)
        expected = ops.convert_to_numpy(model.body(read))[0].mean(axis=0)
        np.testing.assert_allclose(logits[i], expected, atol=1e-4)


def test_an_averaged_word_is_the_mean_of_its_vectors_in_any_order():
    model = TextClassifier(WordVectors(7, width=8, boundary=0, seed=1))
    table = model.body.get_weights()[0]
    read = ops.convert_to_numpy(model.features(ROWS))
    for i, length in enumerate((6, 3, 4)):  # the boundary is a word like any other
        np.testing.assert_allclose(read[i], table[ROWS[i, :length]].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.features(ROWS[:, [4, 2, 0, 3, 1, 5]]))[0], read[0], atol=1e-6
    )


def test_an_lstm_is_read_off_the_mean_of_the_states_that_keras_computes():
    body = LSTMLanguageModel(7, width=4, boundary=0, seed=1)
    model = TextClassifier(body)
    for i, length in enumerate((6, 3, 4)):
        read = np.concatenate([[[0]], ROWS[i : i + 1, : length - 1]], axis=1)
        alone = keras.Sequential([body.embedding, *body.recurrent])
        states = ops.convert_to_numpy(alone(read))[0]
        np.testing.assert_allclose(
            ops.convert_to_numpy(model.features(ROWS))[i], states.mean(axis=0), atol=1e-5
        )


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_few_steps_learn_the_class_and_only_the_copy_changes(kind, labelled):
    pretrained = body(kind)
    before = pretrained.get_weights()
    copy = finetuning.copy_of(pretrained)
    for a, b in zip(before, copy.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model = TextClassifier(copy)
    np.testing.assert_allclose(model.log_probs(ROWS), np.log(0.5), atol=1e-6)
    curve = finetuning.fine_tune(
        model, *labelled, steps=80, batch_size=16, seed=1, optimizer=optimizer(80)
    )
    log_probs = model.log_probs(labelled[0])
    assert log_probs.shape == (80, 2)
    own = log_probs[np.arange(80), labelled[1]]
    assert curve.valid == [pytest.approx(-own.mean(), rel=1e-5)]
    assert np.mean(log_probs.argmax(1) == labelled[1]) > 0.7
    assert curve.valid[0] < 0.6
    for a, b in zip(before, pretrained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(before, copy.get_weights(), strict=True))


@pytest.mark.parametrize("kind", ["bert", "words"])
def test_save_and_load(kind, tmp_path):
    words = WordVectors(7, width=8, boundary=0, seed=1)
    model = TextClassifier(body("bert") if kind == "bert" else words, classes=3)
    model.head.kernel.assign(RNG.normal(size=(8, 3)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.log_probs(ROWS), model.log_probs(ROWS), atol=1e-5)


def test_classifiers_refuse():
    with pytest.raises(ValueError, match="the body must be one of"):
        TextClassifier(keras.Sequential())
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        WordVectors(7, width=0, boundary=0)
    model = TextClassifier(body("gpt"))
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        TextClassifier(model.body, classes=1)
    with pytest.raises(ValueError, match="texts of 9 tokens; the body reads 8"):
        model.log_probs(np.ones((2, 9), int))
    settings = {"steps": 1, "batch_size": 2, "seed": 1, "optimizer": optimizer(2)}
    with pytest.raises(ValueError, match="texts of 9 tokens; the body reads 8"):
        finetuning.fine_tune(model, np.ones((2, 9), int), [0, 1], **settings)
    with pytest.raises(ValueError, match="labels must be below 2, the classes; got 2"):
        finetuning.fine_tune(model, ROWS, [0, 1, 2], **settings)
    with pytest.raises(ValueError, match="all of class 0"):
        finetuning.fine_tune(model, ROWS, [0, 0, 0], **settings)


# LoRA


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_adapters_change_nothing_at_first_and_then_by_their_rank_alone(kind, labelled):
    rank = 2
    model = TextClassifier(body(kind))
    features = ops.convert_to_numpy(model.features(ROWS))
    kernels = [ops.convert_to_numpy(layer.kernel) for layer in finetuning.dense_layers(model.body)]
    others = ops.convert_to_numpy(model.body.tokens.embeddings)
    share = finetuning.add_lora(model, rank, seed=1)
    np.testing.assert_allclose(ops.convert_to_numpy(model.features(ROWS)), features, atol=1e-5)
    trained = rank * sum(sum(kernel.shape) for kernel in kernels) + 8 * 2 + 2
    assert share == pytest.approx(trained / model.count_params())
    finetuning.fine_tune(model, *labelled, steps=20, batch_size=16, seed=1, optimizer=optimizer(20))
    for layer, before in zip(finetuning.dense_layers(model.body), kernels, strict=True):
        change = ops.convert_to_numpy(layer.kernel) - before
        assert np.abs(change).max() > 1e-4
        singular = np.linalg.svd(change, compute_uv=False)
        assert singular[rank] < 1e-5 * singular[0]
    np.testing.assert_array_equal(ops.convert_to_numpy(model.body.tokens.embeddings), others)


def test_a_language_model_with_adapters_scores_with_them():
    model = body("gpt")
    before = model.score(ROWS)
    finetuning.add_lora(model, 1, seed=1)
    np.testing.assert_allclose(model.score(ROWS), before, atol=1e-5)
    for layer in finetuning.dense_layers(model):
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    assert np.abs(model.score(ROWS) - before).max() > 0.01


def test_adapters_refuse():
    model = body("bert")
    with pytest.raises(ValueError, match="rank must be at least 1, got 0"):
        finetuning.add_lora(model, 0)
    finetuning.add_lora(model, 1)
    with pytest.raises(ValueError, match="has LoRA adapters already"):
        finetuning.add_lora(model, 1)
    with pytest.raises(ValueError, match="copy it before add_lora"):
        finetuning.copy_of(model)
