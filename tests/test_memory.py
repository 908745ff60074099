"""Memory: what a step needs, and what is said when it is not there."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from textgen_utils import exhausted, training
from textgen_utils.models.compiled import Compiled
from textgen_utils.models.transformer import GPT

TEXT = np.arange(4000) % 4


class Greedy(keras.Model):
    """A language model that asks for (batch x time)^2 numbers: 17 TB at (1024, 2048).

    No machine has them, so that the allocator refuses and nothing is written. (TensorFlow waits
    for ten seconds first, for others to free some.)
    """

    vocab_size, boundary, max_context = 4, 0, None

    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(4, 4)
        self.table.build((None, None))
        self.scorer = Compiled(self, self.call)

    def call(self, ids, training=False):
        vectors = self.table(ids)
        rows = ops.reshape(vectors, (-1, 4))
        all_pairs = ops.matmul(rows, ops.transpose(rows))
        return vectors + ops.mean(ops.sin(all_pairs))

    def score(self, ids):
        return np.asarray(self.scorer(np.asarray(ids)))[:, :, 0]


def greedy_run(model, **options):
    options = {"steps": 2, "eval_every": 1, "window": 8, "batch_size": 2, "seed": 1} | options
    return training.train(model, TEXT, TEXT[:8], **options)


def test_a_step_that_no_machine_has_memory_for_says_what_was_asked():
    model = Greedy()
    before = model.get_weights()
    with pytest.raises(MemoryError) as caught:
        greedy_run(model, window=2048, batch_size=1024)
    told = str(caught.value)
    for part in (
        "not enough memory for a training step of Greedy with 16 parameters (float32)",
        "batch_size 1024, window 2048, inputs of shape (1024, 2048). Lower batch_size first",
        "TEXTGEN_SCALE=cpu",
        "the model has the weights of step 0 again",
    ):
        assert part in told
    assert caught.value.__context__ is None  # no trace of the backend's
    for weight, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, other)
    assert len(greedy_run(model)) == 2  # and it can be trained, with less


def test_scoring_that_no_machine_has_memory_for_says_what_was_asked():
    with pytest.raises(MemoryError, match=r"Greedy with 16 param.*shape .1024, 2048.*batch_size"):
        Greedy().score(np.zeros((1024, 2048), np.int32))


def test_the_checkpoint_is_named_and_kept(tmp_path, monkeypatch):
    """Told of in the validation after the second step, as a device would that others use too."""
    path = tmp_path / "run.npz"
    model = Greedy()
    score, calls = model.score, []

    def refuse_the_second(ids):
        calls.append(ids)
        if len(calls) == 2:
            raise MemoryError("there is not enough memory for scoring")
        return score(ids)

    monkeypatch.setattr(model, "score", refuse_the_second)
    with pytest.raises(MemoryError) as caught:
        greedy_run(model, checkpoint=path)
    told = str(caught.value)
    assert "While that was done: there is not enough memory for scoring" in told
    assert f"The checkpoint {path} is kept" in told
    assert "the model has the weights of step 1 again" in told
    resumed = greedy_run(Greedy(), checkpoint=path)
    assert resumed.steps == [1, 2]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 13 bytes."), True),
        (RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), True),
        (type("ResourceExhaustedError", (Exception,), {})("Graph execution error"), True),
        (RuntimeError("INTERNAL: something else"), False),
        (ValueError("batch_size must be at least 1"), False),
        (FloatingPointError("diverged"), False),
    ],
)
def test_what_counts_as_a_lack_of_memory(error, expected):
    assert exhausted.is_exhausted(error) is expected
    outer = KeyError("outer")
    outer.__cause__ = error
    assert exhausted.is_exhausted(outer) is expected


def test_other_errors_of_a_step_stay_as_they_are():
    class Broken(Greedy):
        def call(self, ids, training=False):
            raise RuntimeError("a fault of its own")

    with pytest.raises(RuntimeError, match="a fault of its own"):
        greedy_run(Broken())


def test_a_lack_that_is_only_told_of(monkeypatch):
    """What a device says when its own memory is used up, which no test here can bring about."""

    def refuse(*arguments, **options):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.")

    model = GPT(4, max_context=8, width=8, heads=1, depth=1, boundary=0, seed=1)
    monkeypatch.setattr(model, "fit", refuse)
    with pytest.raises(MemoryError, match=r"GPT with 888 parameters .float32., batch_size 2"):
        greedy_run(model)
