import os
import subprocess
import sys
from collections import Counter

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy import stats

from textgen_utils.models.embeddings import (
    SkipGram,
    SkipGramPairs,
    analogy,
    keep_probability,
    near,
    negative_sampling_loss,
    neighbours,
    noise_distribution,
)

RNG = np.random.default_rng(0)
CENTRES = np.array([1, 4, 1], "int32")
CANDIDATES = RNG.integers(6, size=(3, 4)).astype("int32")
LABELS = np.eye(1, 4).repeat(3, 0).astype("float32")
TEXT = np.concatenate([[0], RNG.choice(np.arange(1, 8), 400, p=np.arange(7, 0, -1) / 28)])
TEXT[RNG.integers(401, size=40)] = 0
INT = {"vocab_size": 8, "boundary": 0, "seed": 3}


def make(width=5):
    model = SkipGram(6, width=width, seed=1)
    model.set_weights([RNG.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loss_by_loops(words, contexts):
    """Mean over pairs of -log sigmoid(u.v) - sum log sigmoid(-u.v'), float64."""
    total = 0.0
    for centre, candidates in zip(CENTRES, CANDIDATES, strict=True):
        for place, candidate in enumerate(candidates):
            product = float(np.dot(words[centre], contexts[candidate]))
            total -= np.log(sigmoid(product if place == 0 else -product))
    return total / len(CENTRES)


def test_the_loss_is_that_of_two_loops():
    model = make()
    tables = [w.astype(float) for w in model.get_weights()]
    loss = negative_sampling_loss(LABELS, model((CENTRES, CANDIDATES)))
    assert tuple(loss.shape) == (3,)
    assert float(ops.mean(loss)) == pytest.approx(loss_by_loops(*tables), rel=1e-5)


def test_a_step_of_gradient_descent_follows_finite_differences():
    model = make()
    before = [w.astype(float) for w in model.get_weights()]
    model.compile(keras.optimizers.SGD(1.0), negative_sampling_loss)
    model.train_on_batch((CENTRES, CANDIDATES), LABELS)
    for table, (old, new) in enumerate(zip(before, model.get_weights(), strict=True)):
        expected = np.zeros_like(old)
        for place in np.ndindex(old.shape):
            ends = []
            for h in (1e-5, -1e-5):
                moved = [w.copy() for w in before]
                moved[table][place] += h
                ends.append(loss_by_loops(*moved))
            expected[place] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(old - new, expected, atol=1e-5)
        assert np.abs(expected).max() > 0.1


def test_the_optimum_is_pointwise_mutual_information_minus_log_k():
    """Levy and Goldberg 2014, on a text drawn from a Markov chain of five words."""
    rng, size, k = np.random.default_rng(5), 5, 3
    chain = rng.dirichlet(np.ones(size), size=size) * 0.8 + 0.04
    text = [0]
    for uniform in rng.random(3_000):
        text.append(int(np.searchsorted(chain[text[-1]].cumsum()[:-1], uniform)))
    pairs = SkipGramPairs(
        text,
        size,
        boundary=None,
        window=1,
        negatives=k,
        batch_size=8192,
        steps=300,
        seed=1,
        power=1.0,
    )
    joint = np.zeros((size, size))
    np.add.at(joint, pairs.pairs(), 1)
    joint /= joint.sum()
    pmi = np.log(joint / np.outer(joint.sum(1), pairs.noise))
    model = SkipGram(size, width=size, seed=2)
    falling = keras.optimizers.schedules.CosineDecay(0.1, 600)
    model.compile(keras.optimizers.Adam(falling), negative_sampling_loss, jit_compile=True)
    model.fit(pairs, epochs=2, verbose=0)
    words, contexts = model.get_weights()
    learned = words @ contexts.T
    assert np.ptp(pmi) > 1.2
    np.testing.assert_allclose(learned, pmi - np.log(k), atol=0.06)


@given(
    st.lists(st.integers(1, 5), min_size=0, max_size=25),
    st.data(),
)
def test_pairs_are_those_of_a_double_loop(words, data):
    n = len(words)
    steps = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    reach = data.draw(st.lists(st.integers(1, 4), min_size=n, max_size=n))
    segments = np.cumsum(np.array(steps, int))
    expected = Counter(
        (words[i], words[j])
        for i in range(n)
        for j in range(n)
        if i != j and abs(i - j) <= reach[i] and segments[i] == segments[j]
    )
    got = near(np.array(words, int), segments, np.array(reach, int))
    assert Counter(zip(*(part.tolist() for part in got), strict=True)) == expected


def test_no_pair_crosses_a_boundary_or_has_one():
    pairs = SkipGramPairs([0, 1, 2, 0, 3, 4, 0, 5], 8, boundary=0, window=9, negatives=1, seed=1)
    listed = set(zip(*(part.tolist() for part in pairs.pairs()), strict=True))
    assert listed == {(1, 2), (2, 1), (3, 4), (4, 3)}
    assert not pairs.noise[0]
    assert not (pairs[0][0][1] == 0).any()


def test_without_a_boundary_every_token_is_a_word():
    pairs = SkipGramPairs([0, 1], 2, boundary=None, negatives=1, seed=1)
    assert set(zip(*(part.tolist() for part in pairs.pairs()), strict=True)) == {(0, 1), (1, 0)}


def test_near_words_are_paired_more_often():
    text = np.arange(4_000)
    pairs = SkipGramPairs(text, 4_000, boundary=None, window=4, negatives=1, seed=2)
    centres, contexts = pairs.pairs()
    found = np.bincount(np.abs(centres - contexts), minlength=5)[1:]
    np.testing.assert_allclose(found / len(text), [2, 1.5, 1, 0.5], rtol=0.06)


@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
def test_negatives_follow_the_noise(power):
    pairs = SkipGramPairs(TEXT, **INT, negatives=5, batch_size=4000, power=power)
    counts = np.array([(token == TEXT).sum() for token in range(1, 8)])
    expected = counts**power / (counts**power).sum()
    found = np.bincount(pairs[0][0][1][:, 1:].ravel(), minlength=8)
    assert found[0] == 0
    assert stats.chisquare(found[1:], 20_000 * expected).pvalue > 0.01
    wrong = counts ** (power + 0.25)
    assert stats.chisquare(found[1:], 20_000 * wrong / wrong.sum()).pvalue < 1e-6


def test_batches_draw_evenly_from_the_listed_pairs():
    pairs = SkipGramPairs(TEXT, **INT, batch_size=40_000)
    listed = np.zeros((8, 8))
    np.add.at(listed, pairs.pairs(), 1)
    (centres, candidates), labels = pairs[0]
    drawn = np.zeros((8, 8))
    np.add.at(drawn, (centres, candidates[:, 0]), 1)
    there = listed > 0
    assert not drawn[~there].any()
    expected = 40_000 * listed[there] / listed.sum()
    assert stats.chisquare(drawn[there], expected).pvalue > 0.01
    np.testing.assert_array_equal(labels[:, 0], 1)
    assert not labels[:, 1:].any()


def test_frequent_words_are_thinned_out_by_the_formula():
    text = np.random.default_rng(4).choice(4, 60_000, p=[0.7, 0.2, 0.09, 0.01])
    pairs = SkipGramPairs(text, 4, boundary=None, seed=1, window=1, threshold=0.05)
    frequency = np.bincount(text) / len(text)
    keep = np.where(frequency > 0.05, np.sqrt(0.05 / frequency), 1.0)
    np.testing.assert_allclose(pairs.keep, keep)
    # In a text without order, a word's share of the centres is its share of what was kept.
    share = np.bincount(pairs.pairs()[0]) / len(pairs.pairs()[0])
    np.testing.assert_allclose(share, frequency * keep / (frequency @ keep), atol=0.01)
    assert abs(share[0] - frequency[0]) > 0.1


def test_what_the_helpers_give_for_words_that_do_not_occur():
    np.testing.assert_allclose(keep_probability([0, 4], 0.25), [1, 0.5])
    np.testing.assert_allclose(noise_distribution([0, 4, 4], 0.0), [0, 0.5, 0.5])


def test_a_batch_depends_on_seed_epoch_and_index_only():
    def batch(seed, epoch, index, before=()):
        pairs = SkipGramPairs(TEXT, 8, boundary=0, seed=seed, threshold=0.1, batch_size=64)
        for other in before:
            pairs[other]
        pairs.epoch = epoch
        (centres, candidates), _ = pairs[index]
        return np.concatenate([centres[:, None], candidates], axis=1)

    reference = batch(1, 2, 3)
    np.testing.assert_array_equal(reference, batch(1, 2, 3, before=(0, 5)))
    for other in (batch(2, 2, 3), batch(1, 1, 3), batch(1, 2, 4)):
        assert (reference != other).any()


def test_an_epoch_is_as_long_as_its_list():
    pairs = SkipGramPairs(TEXT, **INT, batch_size=100)
    assert len(pairs) == len(pairs.pairs()[0]) // 100 > 5
    assert len(SkipGramPairs(TEXT, **INT)) == 1
    assert len(SkipGramPairs(TEXT, **INT, steps=7)) == 7
    first = pairs.pairs()[0]
    pairs.on_epoch_end()
    assert pairs.epoch == 1
    assert len(pairs.pairs()[0]) != len(first) or (pairs.pairs()[0] != first).any()


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 10_000), st.data())
def test_neighbours_are_those_of_brute_force(vocab_size, width, seed, data):
    vectors = np.random.default_rng(seed).normal(size=(vocab_size, width))
    token = data.draw(st.integers(0, vocab_size - 1))
    k = data.draw(st.integers(1, vocab_size - 1))
    rows, cosines = neighbours(vectors, token, k)
    expected = {}
    for other, vector in enumerate(vectors):
        if other != token:
            lengths = np.linalg.norm(vector) * np.linalg.norm(vectors[token])
            expected[other] = vector @ vectors[token] / lengths
    best = sorted(expected.values(), reverse=True)[:k]
    np.testing.assert_allclose(cosines, best, atol=1e-12)
    np.testing.assert_allclose(cosines, [expected[row] for row in rows], atol=1e-12)
    assert len(set(rows)) == k


def test_analogies_in_a_table_made_of_them():
    """Four words of two features: what differs between a and b is what c lacks."""
    ids = np.arange(24)
    rng = np.random.default_rng(3)
    stem, ending = rng.normal(size=(12, 40)), rng.normal(size=(2, 40))
    vectors = stem[ids // 2] + ending[ids % 2]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for c in range(2, 24, 2):
        rows, cosines = analogy(vectors, 0, 1, c, 3)
        target = vectors[1] - vectors[0] + vectors[c]
        assert rows[0] == c + 1
        assert cosines[0] == pytest.approx(vectors[c + 1] @ target / np.linalg.norm(target))
        assert not {0, 1, c} & set(rows)


def test_a_vector_of_zeros_is_nobodys_neighbour_but_gives_no_nan():
    vectors = np.array([[1.0, 0], [2, 0], [0, 0], [-1, 0]])
    rows, cosines = neighbours(vectors, 0, 3)
    assert rows.tolist() == [1, 2, 3]
    np.testing.assert_allclose(cosines, [1, 0, -1])


def test_the_seed_and_nothing_else_draws_the_vectors():
    first = SkipGram(7, width=4, seed=3).get_weights()
    keras.utils.set_random_seed(99)
    again = SkipGram(7, width=4, seed=3).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], SkipGram(7, width=4, seed=4).get_weights()[0])
    assert 0.1 < np.abs(first[0]).max() <= 0.125
    assert not first[1].any()


def test_vectors_are_a_copy():
    model = make()
    model.vectors[:] = 0
    np.testing.assert_array_equal(model.vectors, model.get_weights()[0])
    assert model.vectors.any()


def test_saved_and_loaded_in_a_fresh_process(tmp_path):
    model = make()
    model.compile("adam", negative_sampling_loss)
    model.fit((CENTRES, CANDIDATES), LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "ids.npz", CENTRES, CANDIDATES)
    code = (
        "import sys, keras, numpy as np, textgen_utils.models.embeddings\n"
        "folder = sys.argv[1]\n"
        "model = keras.saving.load_model(folder + '/model.keras')\n"
        "ids = list(np.load(folder + '/ids.npz').values())\n"
        "np.save(folder + '/logits.npy', model.predict(tuple(ids), verbose=0))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=os.environ)
    logits = ops.convert_to_numpy(model((CENTRES, CANDIDATES)))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), logits, atol=1e-6)


@pytest.mark.tensorflow
def test_the_gradient_names_the_rows_that_were_read():
    import tensorflow as tf

    model = make()
    with tf.GradientTape() as tape:
        loss = negative_sampling_loss(LABELS, model((CENTRES, CANDIDATES)))
    words, contexts = tape.gradient(loss, model.trainable_variables)
    assert isinstance(words, tf.IndexedSlices)
    assert words.indices.numpy().tolist() == CENTRES.tolist()
    assert contexts.indices.numpy().tolist() == CANDIDATES.ravel().tolist()


VECTORS = np.eye(4)[:, :3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SkipGram(1, width=2), "vocab_size must be at least 2, got 1"),
        (lambda: SkipGram(5, width=0), "width must be at least 1, got 0"),
        (
            lambda: SkipGramPairs(TEXT, **INT, window=0),
            "window must be an integer of at least 1, got 0",
        ),
        (lambda: SkipGramPairs(TEXT, **INT, window=2.5), "at least 1, got 2.5"),
        (
            lambda: SkipGramPairs(TEXT, **INT, negatives=0),
            "negatives must be an integer of at least 1",
        ),
        (
            lambda: SkipGramPairs(TEXT, **INT, batch_size=0),
            "batch_size must be an integer of at least 1",
        ),
        (
            lambda: SkipGramPairs(TEXT, **INT, steps=0),
            "steps must be an integer of at least 1, got 0",
        ),
        (lambda: SkipGramPairs(TEXT, **INT, threshold=0), "threshold must be above 0, or None"),
        (lambda: SkipGramPairs(TEXT, 7, boundary=0, seed=1), r"in \[0, 7\), got from 0 to 7"),
        (lambda: SkipGramPairs([], **INT), "at least one"),
        (lambda: SkipGramPairs("abc", **INT), "must be ints"),
        (lambda: SkipGramPairs([1.0, 2.0], **INT), "must be ints"),
        (lambda: SkipGramPairs([0, 2, 2, 0], **INT), "at least 2 different words, got 1"),
        (lambda: SkipGramPairs([0, 0], **INT), "at least 2 different words, got 0"),
        (lambda: SkipGramPairs([1, 0, 2, 0, 3], **INT), "no pair is left: of 3 words 3 were"),
        (lambda: SkipGramPairs([1, 2, 3], **INT, threshold=1e-12), "3 words 0 were kept"),
        (lambda: neighbours(VECTORS, 4, 1), r"token must lie in \[0, 4\), got 4"),
        (lambda: neighbours(VECTORS, -1, 1), r"token must lie in \[0, 4\), got -1"),
        (lambda: neighbours(VECTORS, 3, 1), "vector of token 3 is zero"),
        (lambda: neighbours(VECTORS, 0, 4), r"k must lie in \[1, 3\], got 4"),
        (lambda: neighbours(VECTORS, 0, 0), r"k must lie in \[1, 3\], got 0"),
        (lambda: neighbours(VECTORS * np.nan, 0, 1), "must be finite"),
        (lambda: neighbours(VECTORS[0], 0, 1), r"\(vocab_size, width\), got \(3,\)"),
        (lambda: analogy(VECTORS, 0, 1, 2, 2), r"k must lie in \[1, 1\], got 2"),
        (lambda: analogy(VECTORS, 0, 1, 9, 1), r"token must lie in \[0, 4\), got 9"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
