"""Masked batches, the masked model, and blanks filled by trying every token."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.stats import chisquare

from textgen_utils import training
from textgen_utils.batches import lines
from textgen_utils.batches.masking import SHARES, MaskedBatches
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.evaluation import text_log_probs
from textgen_utils.evaluation.blanks import blank_log_probs
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.masked import MaskedLanguageModel
from textgen_utils.models.ngram import NGram
from textgen_utils.tokenizers import Words
from textgen_utils.training.finetuning import train_masked

IDS = {"vocab_size": 7, "mask_id": 7, "padding_id": 8}
TEXTS = [[1, 2, 3, 4, 5, 0], [6, 5, 0], [2, 2, 1, 0]]
ROWS = np.array([text + [0] * (6 - len(text)) for text in TEXTS], np.int32)
LENGTHS = np.array([6, 3, 4])
REVIEWS = Reviews()


def make(**options):
    model = MaskedLanguageModel(
        7, **{"max_context": 8, "width": 8, "heads": 2, "depth": 2, "boundary": 0} | options
    )
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape).astype("float32") / 2 for w in model.weights])
    return model


@pytest.fixture(scope="module")
def model():
    return make()


# Batches


@given(
    st.lists(st.integers(2, 12), min_size=1, max_size=6),
    st.floats(0.01, 0.5),
    st.integers(0, 9),
)
def test_a_batch_hides_the_share_that_was_asked_for_and_nothing_else(lengths, rate, seed):
    mask = np.arange(12) < np.array(lengths)[:, None]
    rows = np.where(mask, np.random.default_rng(seed).integers(7, size=mask.shape), 0)
    read, target, weight = MaskedBatches(rows, mask, 5, 2, seed, rate=rate, **IDS)[0]
    own = read != IDS["padding_id"]
    assert {tuple(row) for row in target} <= {tuple(row) for row in rows}
    assert set(own.sum(1)) <= set(lengths)
    np.testing.assert_array_equal(
        weight.sum(1), np.maximum(1, np.round(rate * own.sum(1))).astype(int)
    )
    assert not weight[~own].any()
    np.testing.assert_array_equal(read[own & (weight == 0)], target[own & (weight == 0)])


def test_hidden_tokens_are_blanks_random_tokens_and_themselves_in_the_shares_of_bert():
    rows = np.full((50, 40), 3)
    batches = MaskedBatches(rows, np.ones_like(rows), 500, 1, 1, rate=0.25, **IDS)
    read, _, weight = batches[0]
    hidden = read[weight > 0]
    assert len(hidden) == 500 * 10
    counts = [np.sum(hidden == value) for value in (7, *range(7))]
    random = SHARES[1] / 7
    expected = np.array([SHARES[0]] + [random + SHARES[2] * (i == 3) for i in range(7)])
    assert chisquare(counts, len(hidden) * expected).pvalue > 1e-4


def test_a_batch_depends_on_seed_epoch_and_index_only():
    mask = np.arange(6) < LENGTHS[:, None]
    one, two = (MaskedBatches(ROWS, mask, 4, 3, 1, rate=0.3, **IDS) for _ in range(2))
    for _ in range(2):
        two[0], two[1]
    np.testing.assert_array_equal(one[2][0], two[2][0])
    assert (one[1][0] != one[2][0]).any()
    first = one[2][0]
    one.on_epoch_end()
    assert (one[2][0] != first).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.0}, "between 0 .nothing to learn. and 1 .nothing to see., got 0.0"),
        ({"rate": 1.0}, "got 1.0"),
        ({"rate": 0.9}, "all of the 3 tokens of text 1 would be masked"),
        ({"mask": np.arange(6) < [[6], [1], [4]]}, "all of the 1 tokens of text 1"),
        ({"mask": np.ones((3, 5))}, "one shape"),
        ({"rows": np.zeros((0, 6)), "mask": np.zeros((0, 6))}, "not empty"),
        ({"rows": ROWS + 2}, r"\[0, 7\); got 2 to 8"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seed": -1}, "seed"),
    ],
)
def test_masked_batches_refuse(change, message):
    good = {"rows": ROWS, "mask": np.arange(6) < LENGTHS[:, None], "batch_size": 2, "steps": 1}
    with pytest.raises(ValueError, match=message):
        MaskedBatches(**good | {"seed": 1, **IDS} | change)


# The model


def keras_attention(layer, x, mask):
    """What Keras's own layer gives with the same weights."""
    heads, size = layer.heads, layer.width // layer.heads
    twin = keras.layers.MultiHeadAttention(heads, size, use_bias=False)
    twin.build(x.shape, x.shape)
    query, key_value, combine = layer.get_weights()
    key, value = np.moveaxis(key_value.reshape(-1, 2, heads, size), 1, 0)
    by_name = {"query": query.reshape(-1, heads, size), "key": key, "value": value}
    by_name["attention_output"] = combine.reshape(heads, size, -1)
    for weight in twin.weights:
        weight.assign(next(v for k, v in by_name.items() if f"/{k}/" in f"/{weight.path}"))
    return twin(x, x, attention_mask=mask[:, None, :])


def test_logits_are_those_of_the_layers_of_keras(model):
    read, _ = model.read(ROWS)
    tokens = ops.convert_to_numpy(model.tokens.embeddings)
    x = ops.convert_to_tensor(tokens[read] + ops.convert_to_numpy(model.positions.embeddings)[:6])
    for block in model.blocks:
        x = x + keras_attention(block.attention, block.norm_1(x), read != model.padding_id)
        y = ops.matmul(block.norm_2(x), block.perceptron.widen.kernel)
        x = x + ops.matmul(ops.gelu(y, approximate=False), block.perceptron.narrow.kernel)
    expected = ops.convert_to_numpy(ops.matmul(model.norm(x), tokens[:7].T))
    own = read != model.padding_id
    given_logits = ops.convert_to_numpy(model(read))
    np.testing.assert_allclose(given_logits[own], expected[own], atol=1e-4)


def test_what_follows_a_text_is_not_read_and_both_sides_are(model):
    places = np.array([[1], [1], [1]])
    filled = model.fill(ROWS, places)
    assert filled.shape == (3, 1, 7)
    np.testing.assert_allclose(np.exp(filled).sum(-1), 1, atol=1e-5)
    behind, blank, left, right = (ROWS.copy() for _ in range(4))
    behind[1, 4:], blank[:, 1], left[:, 0], right[0, 4] = 5, 6, 4, 1
    np.testing.assert_allclose(model.fill(behind, places), filled, atol=1e-5)
    np.testing.assert_allclose(model.fill(blank, places), filled, atol=1e-5)
    assert np.abs(model.fill(left, places) - filled).max() > 0.01
    assert np.abs(model.fill(right, places) - filled)[0].max() > 0.01


def test_several_blanks_of_a_row_are_blank_at_once(model):
    read, _ = model.read(ROWS[:1])
    read[0, [1, 3]] = model.mask_id
    expected = ops.convert_to_numpy(ops.log_softmax(model(read)))[0, [1, 3]]
    np.testing.assert_allclose(model.fill(ROWS[:1], [[1, 3]])[0], expected, atol=1e-4)


def test_pseudo_log_likelihood_is_the_sum_over_single_blanks(model):
    expected = [
        sum(model.fill([text], [[t]])[0, 0, token] for t, token in enumerate(text))
        for text in TEXTS
    ]
    np.testing.assert_allclose(model.pseudo_log_likelihood(ROWS), expected, rtol=1e-4)


def test_a_masked_model_is_no_language_model(model):
    assert not isinstance(model, LanguageModel)


def test_save_and_load(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.fill(ROWS, [[1]] * 3), model.fill(ROWS, [[1]] * 3), atol=1e-5)


@pytest.mark.parametrize(
    ("ids", "positions", "message"),
    [
        ([[3, 0]], [[0, 1]], "all 2 tokens of text 0 are masked"),
        ([[0, 1]], [[0]], "all 1 tokens of text 0 are masked"),
        ([[3, 0, 1]], [[2]], "inside of the texts"),
        ([[3, 0]], [[-1]], "inside of the texts"),
        ([[3, 0]], [1], r"shape \(batch, k\)"),
        ([[3, 0]], np.zeros((1, 0), int), r"shape \(batch, k\)"),
        ([[3, 7]], [[0]], r"\[0, 7\)"),
        ([[1] * 9], [[0]], "at most 8 tokens, got 9"),
        (np.zeros((0, 3), int), np.zeros((0, 1), int), "at least one text"),
    ],
)
def test_fill_refuses(model, ids, positions, message):
    with pytest.raises(ValueError, match=message):
        model.fill(ids, positions)


def test_a_text_of_one_token_has_no_pseudo_log_likelihood(model):
    with pytest.raises(ValueError, match="text 1 has one token, and all would be masked"):
        model.pseudo_log_likelihood([[1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "multiple of the heads"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"boundary": 7}, "boundary must be one of 7"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_training_finds_what_only_the_right_side_tells():
    rng = np.random.default_rng(0)
    last = rng.integers(1, 4, size=400)
    rows = np.stack([last, np.full(400, 4), last, np.zeros(400, int)], axis=1)  # a 4 a end
    texts = rows, np.ones_like(rows)
    small = MaskedLanguageModel(5, max_context=4, width=16, heads=2, depth=1, boundary=0, seed=1)
    train_masked(
        small,
        texts,
        texts,
        steps=150,
        batch_size=32,
        eval_every=75,
        seed=1,
        rate=0.25,
        optimizer=training.muon(training.warmup_cosine(0.02, 150)),
    )
    filled = small.fill(rows[:20], [[0]] * 20)[:, 0]
    assert np.exp(filled[np.arange(20), last[:20]]).min() > 0.9
    with pytest.raises(ValueError, match="texts of 6 tokens; the model reads 4"):
        train_masked(
            small,
            (np.ones((3, 6), int),) * 2,
            texts,
            steps=1,
            batch_size=1,
            eval_every=1,
            seed=1,
            optimizer=training.muon(0.01),
        )


# Trying every token


def test_blanks_of_a_model_of_counts_are_those_of_an_enumeration():
    counts = NGram(2, 4, 0, independent_lines=True).fit(
        np.array([1, 2, 0, 1, 3, 3, 0, 2, 0, 3, 2, 1, 0, 1, 2, 3, 0])
    )
    row = [1, 3, 2, 0]
    for place in range(4):
        texts = [[*row[:place], v, *row[place + 1 :]] for v in range(4) if (v == 0) == (place == 3)]
        log_p = text_log_probs(counts, texts)
        expected = np.full(4, -np.inf)
        expected[[text[place] for text in texts]] = log_p - np.logaddexp.reduce(log_p)
        np.testing.assert_allclose(blank_log_probs(counts, [row], [place])[0], expected, atol=1e-9)
    some = np.exp(blank_log_probs(counts, [row], [1], tokens=[1, 3])[0])
    full = np.exp(blank_log_probs(counts, [row], [1])[0])
    np.testing.assert_allclose(some[[1, 3]], full[[1, 3]] / full[[1, 3]].sum(), atol=1e-9)
    assert some[2] == 0


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_blanks_of_the_grammar_agree_with_its_own_probabilities_of_strings(seed):
    truth = REVIEWS.oracle("en", "words")
    words = Words(truth.tokens)
    row = words.encode(REVIEWS.text(1, seed, "en"))
    place = seed % (len(row) - 1)
    exact = blank_log_probs(truth, row[None], [place])[0]
    total = {}
    for token in np.flatnonzero(np.arange(truth.vocab_size) != truth.boundary):
        other = row.copy()
        other[place] = token
        total[token] = np.exp(REVIEWS.log_prob(words.decode(other)[:-1], "en"))
    for token, p in total.items():
        assert np.exp(exact[token]) == pytest.approx(p / sum(total.values()), abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "places", "message"),
    [
        ([[1, 2]], [0], "boundary at the end"),
        ([[1, 0]], [2], "inside of the texts"),
        ([[1, 0]], [0, 0], "places must have shape"),
    ],
)
def test_blanks_refuse(rows, places, message):
    counts = NGram(2, 4, 0).fit(np.array([1, 2, 0, 3, 0]))
    with pytest.raises(ValueError, match=message):
        blank_log_probs(counts, rows, places)


def test_an_impossible_text_is_named():
    truth = REVIEWS.oracle("en", "words")
    nonsense = np.array([[1, 1, 1, 1, truth.boundary]])
    with pytest.raises(ValueError, match="possible text of text 0"):
        blank_log_probs(truth, nonsense, [2])


def test_the_conditionals_of_a_known_language_do_not_multiply_to_its_probability():
    """Two texts of one half each: every letter is certain given the other, and 1 + 1 is not 1."""
    texts = np.array([[1, 1, 0], [2, 2, 0]])
    counts = Twins()
    sums = [sum(blank_log_probs(counts, [row], [t])[0, row[t]] for t in range(3)) for row in texts]
    np.testing.assert_allclose(np.exp(sums).sum(), 2)
    everything = [[*pair, 0] for pair in itertools.product((1, 2), repeat=2)]
    np.testing.assert_allclose(np.exp(text_log_probs(counts, everything)).sum(), 1)


class Twins:
    """aa and bb, with one half each."""

    vocab_size, boundary, max_context = 3, 0, None

    def initial_state(self, batch_size):
        return np.zeros((batch_size, 2), int)  # tokens read, the last one of them

    def step(self, tokens, state):
        read = np.where(state[:, 0] < 0, -1, state[:, 0] + 1)
        p = np.zeros((len(tokens), 3))
        p[read == 1, 1:] = 0.5
        p[read == 2, tokens[read == 2]] = 1
        p[read == 3, 0] = 1
        with np.errstate(divide="ignore"):
            return np.log(p), np.stack([read, tokens], axis=1)

    def score(self, ids):
        ids, state = np.asarray(ids), self.initial_state(len(ids))
        read, result = np.zeros(len(ids), int), []
        for t in range(ids.shape[1]):
            log_probs, state = self.step(read, state)
            result.append(log_probs[np.arange(len(ids)), ids[:, t]])
            read = ids[:, t]
        return np.stack(result, axis=1)


def test_lines_and_batches_fit_together():
    rows, mask = lines(np.concatenate(TEXTS), 0)
    read, target, weight = MaskedBatches(rows, mask, 8, 1, 0, rate=0.3, **IDS)[0]
    assert read.shape == target.shape == weight.shape == (8, 6)
