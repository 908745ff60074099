import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen_utils.batches import PairBatches, Windows, pad

SIZES = st.integers(1, 6)


@given(extra=st.integers(1, 30), length=SIZES, batch_size=SIZES, seed=st.integers(0, 2**32))
def test_windows_are_pieces_of_the_text_and_their_targets_come_one_later(
    extra, length, batch_size, seed
):
    ids = np.arange(100, 100 + length + extra)
    inputs, targets = Windows(ids, length, batch_size, steps=2, seed=seed)[1]
    assert inputs.dtype == targets.dtype == np.int32
    assert inputs.shape == targets.shape == (batch_size, length)
    np.testing.assert_array_equal(targets, inputs + 1)
    np.testing.assert_array_equal(inputs, inputs[:, :1] + np.arange(length))
    assert inputs.min() >= 100
    assert targets.max() < 100 + len(ids)


def test_every_window_is_equally_likely():
    from scipy.stats import chisquare

    windows = Windows(np.arange(14), 4, batch_size=1000, steps=1, seed=0)
    starts = np.bincount(windows[0][0][:, 0], minlength=10)
    assert len(starts) == 10
    assert chisquare(starts).pvalue > 1e-3


def test_a_batch_depends_on_seed_epoch_and_index_only():
    ids = np.arange(1000)
    first, second = (Windows(ids, 8, 4, steps=5, seed=3) for _ in range(2))
    for i in range(5):
        first[i]
    first.on_epoch_end()
    second.epoch = 1
    np.testing.assert_array_equal(first[2][0], second[2][0])
    batches = {first[i][0].tobytes() for i in range(5)}
    first.on_epoch_end()
    batches |= {first[i][0].tobytes() for i in range(5)}
    assert len(batches) == 10
    assert (
        Windows(ids, 8, 4, 5, seed=4)[0][0].tobytes()
        != Windows(ids, 8, 4, 5, seed=3)[0][0].tobytes()
    )


def test_the_text_is_not_copied():
    ids = np.arange(50, dtype=np.uint16)
    assert np.shares_memory(Windows(ids, 3, 2, 1, seed=0).ids, ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": np.arange(4)}, "need a text of at least 5, got one of 4"),
        ({"ids": np.array([], int)}, "got one of 0"),
        ({"ids": np.ones((3, 3), int)}, "one axis"),
        ({"ids": np.ones(9)}, "integers, got dtype float64"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"length": 0}, "length must be at least 1"),
        ({"steps": -1}, "steps must be at least 1"),
    ],
)
def test_bad_windows_are_refused(arguments, message):
    good = {"ids": np.arange(9), "length": 4, "batch_size": 2, "steps": 1, "seed": 0}
    with pytest.raises(ValueError, match=message):
        Windows(**{**good, **arguments})


@given(st.lists(st.lists(st.integers(1, 99), max_size=7), min_size=1, max_size=6))
def test_padding_is_undone_by_the_mask(sequences):
    array, mask = pad(sequences, value=0)
    assert array.shape == mask.shape == (len(sequences), max(map(len, sequences)))
    assert [row[kept].tolist() for row, kept in zip(array, mask, strict=True)] == sequences
    assert not array[~mask].any()
    assert pad(sequences, value=0, length=9)[0].shape[1] == 9


def test_padding_errors():
    with pytest.raises(ValueError, match="at least one sequence"):
        pad([], 0)
    with pytest.raises(ValueError, match="sequence 1 has 3 tokens, more than length=2"):
        pad([[1], [1, 2, 3]], 0, length=2)


def pairs(**changes):
    sources = [[10, 11], [20], [30, 31, 32], [40]]
    targets = [[1, 9], [2, 2, 9], [3, 9], [9]]
    good = {"batch_size": 2, "steps": 2, "seed": 5, "boundary": 9, "padding": 0}
    return PairBatches(**{"sources": sources, "targets": targets, **good, **changes})


def test_pairs_are_shifted_and_masked():
    (source, shifted), target, mask = pairs(batch_size=4, steps=1)[0]
    assert source.shape == (4, 3)
    assert target.shape == shifted.shape == mask.shape == (4, 3)
    row = int(np.flatnonzero(source[:, 0] == 20)[0])
    np.testing.assert_array_equal(target[row], [2, 2, 9])
    np.testing.assert_array_equal(shifted[row], [9, 2, 2])
    row = int(np.flatnonzero(source[:, 0] == 10)[0])
    np.testing.assert_array_equal(target[row], [1, 9, 9])
    np.testing.assert_array_equal(mask[row], [1.0, 1.0, 0.0])
    assert mask.dtype == np.float32


def test_each_pair_is_used_once_a_pass():
    batches = pairs(batch_size=3, steps=4)
    seen = np.concatenate([batches[i][0][0][:, 0] for i in range(4)])
    for start in (0, 4, 8):
        assert sorted(seen[start : start + 4]) == [10, 20, 30, 40]
    again = pairs(batch_size=3, steps=2)
    again.epoch = 1
    np.testing.assert_array_equal(again[1][0][0][:, 0], seen[9:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": [[1]]}, "1 sources but 4 targets"),
        ({"sources": [], "targets": []}, "at least one sequence"),
        ({"sources": [[], [1], [1], [1]]}, "at least one token"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_pairs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pairs(**changes)


def test_windows_can_start_at_a_boundary():
    ids = np.array([5, 0, 1, 2, 0, 3, 0, 4, 4, 0])
    windows = Windows(ids, 3, batch_size=200, steps=1, seed=0, boundary=0)
    inputs, targets = windows[0]
    assert {tuple(row) for row in inputs} == {(0, 1, 2), (0, 3, 0), (0, 4, 4)}
    assert {tuple(row) for row in targets} == {(1, 2, 0), (3, 0, 4), (4, 4, 0)}
    with pytest.raises(ValueError, match="no boundary"):
        Windows(ids, 3, 1, 1, seed=0, boundary=7)
