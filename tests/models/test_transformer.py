import keras
import numpy as np
import pytest
from checks import scores_in_a_fresh_process, step_and_score_agree_with_the_forward_pass
from keras import ops
from test_attention import keras_twin

from textgen_utils import decoding, evaluation, training
from textgen_utils.models.transformer import GPT
from textgen_utils.models.windowed import WindowedLanguageModel

IDS = np.random.default_rng(0).integers(11, size=(3, 9)).astype("int32")


def make(**options):
    model = GPT(
        11, **{"max_context": 12, "width": 8, "heads": 2, "depth": 2, "boundary": 2} | options
    )
    rng = np.random.default_rng(3)
    # Larger than at the start of training, so that mistakes show.
    model.set_weights([rng.normal(size=w.shape).astype("float32") / 2 for w in model.weights])
    return model


def assembled_from_keras(model, ids):
    """The same architecture from the layers that Keras ships, with the same weights."""

    def norm(own, x):
        layer = keras.layers.LayerNormalization(center=False, epsilon=1e-5)
        layer.build(x.shape)
        layer.gamma.assign(own.gamma)
        return layer(x)

    time = ids.shape[1]
    tokens = ops.convert_to_tensor(model.tokens.embeddings)
    x = ops.take(tokens, ids, axis=0) + model.positions.embeddings[:time]
    for block in model.blocks:
        twin = keras_twin(block.attention, model.width, model.heads)
        y = norm(block.norm_1, x)
        x = x + twin(y, y, use_causal_mask=True)
        y = ops.gelu(
            ops.matmul(norm(block.norm_2, x), block.perceptron.widen.kernel), approximate=False
        )
        x = x + ops.matmul(y, block.perceptron.narrow.kernel)
    return ops.convert_to_numpy(ops.matmul(norm(model.norm, x), ops.transpose(tokens)))


@pytest.mark.parametrize("options", [{}, {"heads": 1, "depth": 1}, {"heads": 8, "depth": 3}])
def test_logits_are_those_of_the_layers_of_keras(options):
    model = make(**options)
    logits = ops.convert_to_numpy(model(IDS))
    np.testing.assert_allclose(logits, assembled_from_keras(model, IDS), atol=1e-4)


def test_the_cached_step_is_the_uncached_pass():
    step_and_score_agree_with_the_forward_pass(make(), IDS)


@pytest.fixture(scope="module")
def writers():
    """One model with its cache and without: compiled once for all ways to generate."""
    model = make()
    return model, WindowedLanguageModel(model, boundary=2, max_context=12)


@pytest.mark.parametrize("options", [{"greedy": True}, {}, {"top_k": 4}, {"nucleus": 0.8}])
def test_generated_text_is_equal_with_and_without_cache_token_for_token(writers, options):
    prompts = IDS[:, :3]
    cached, recomputed = (decoding.generate(m, prompts, 9, seed=5, **options) for m in writers)
    np.testing.assert_array_equal(cached, recomputed)
    assert len(np.unique(cached)) > 3


def test_an_old_state_stays_valid():
    model = make()
    _, state = model.step([2, 2], model.initial_state(2))
    once, _ = model.step([4, 5], state)
    model.step([7, 8], state)
    np.testing.assert_array_equal(model.step([4, 5], state)[0], once)


def test_the_future_changes_nothing_before_it():
    model = make()
    changed = IDS.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    first, second = (ops.convert_to_numpy(model(ids)) for ids in (IDS, changed))
    np.testing.assert_allclose(first[:, :5], second[:, :5], atol=1e-6)
    assert np.abs(first[:, 5:] - second[:, 5:]).max() > 1e-3


def test_order_matters():
    model = make()
    reversed_ids = IDS[:, ::-1].copy()
    reversed_ids[:, -1] = IDS[:, -1]
    first, second = (ops.convert_to_numpy(model(ids)) for ids in (IDS, reversed_ids))
    assert np.abs(first[:, -1] - second[:, -1]).max() > 1e-3


def test_attention_rows_are_distributions_over_the_past():
    weights = make().attention(IDS)
    assert weights.shape == (3, 2, 2, 9, 9)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert not np.triu(weights, 1).any()


def test_texts_of_many_lengths_are_scored_and_looked_at():
    model = make()
    whole, looks = model.score(IDS), model.attention(IDS)
    for time in (4, 7, 2, 9):
        np.testing.assert_allclose(model.score(IDS[:, :time]), whole[:, :time], atol=1e-5)
        np.testing.assert_allclose(
            model.attention(IDS[:, :time]), looks[..., :time, :time], atol=1e-5
        )


def test_the_whole_context_can_be_read_and_no_more():
    model = make()
    ids = np.arange(13, dtype="int32")[None] % 11
    assert np.isfinite(model.score(ids[:, :12])).all()
    message = "reads at most 12 tokens, got 13"
    with pytest.raises(ValueError, match=message):
        model(ids)
    with pytest.raises(ValueError, match=message):
        model.score(ids)
    with pytest.raises(ValueError, match=message):
        model.attention(ids)
    state = model.initial_state(1)
    for token in ids[0, :12]:
        _, state = model.step([token], state)
    with pytest.raises(ValueError, match=message):
        model.step([0], state)
    with pytest.raises(ValueError, match="at most 12 tokens"):
        decoding.generate(model, [1, 2], 11, seed=0)
    assert decoding.generate(model, [1, 2], 10, seed=0).shape == (1, 10)


def test_windows_longer_than_the_context_stop_before_the_first_step():
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match="at most 12 tokens"):
        training.train(
            model,
            np.arange(99) % 11,
            np.arange(30) % 11,
            steps=2,
            window=13,
            batch_size=2,
            eval_every=1,
            seed=0,
        )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_rate_that_diverges_stops_with_a_reason_and_good_weights():
    model = make()
    text = np.random.default_rng(1).integers(11, size=400)
    with pytest.raises(FloatingPointError, match=r"at step \d+.*learning rate"):
        training.train(
            model,
            text,
            text[:60],
            steps=40,
            window=8,
            batch_size=4,
            learning_rate=1e4,
            eval_every=10,
            seed=0,
        )
    assert np.isfinite(model.score(IDS)).all()
    assert -model.score(IDS).mean() < 10


def test_a_batch_of_one_and_a_vocabulary_of_one():
    model = GPT(1, max_context=4, width=8, heads=2, depth=1, boundary=0, seed=1)
    curve = training.train(
        model,
        np.zeros(20, int),
        np.zeros(10, int),
        steps=2,
        window=4,
        batch_size=1,
        eval_every=1,
        seed=0,
    )
    assert curve.valid == [0.0, 0.0]
    assert not decoding.generate(model, [], 4, seed=0).any()


def test_learns_what_needs_attention():
    """Four digits and a mark, then the first digit again: 0 nats for whoever looks back."""
    rng = np.random.default_rng(0)
    first = rng.integers(1, 6, size=4000)
    lines = np.stack([first, *rng.integers(1, 6, size=(3, 4000)), np.full(4000, 6), first], 1)
    text = np.concatenate([lines, np.zeros((4000, 1), int)], axis=1).ravel()  # 0: boundary
    model = GPT(7, max_context=7, width=16, heads=2, depth=2, boundary=0, seed=1)
    training.train(
        model,
        text[:-700],
        text[-700:],
        steps=400,
        window=7,
        batch_size=32,
        optimizer=training.muon(training.warmup_cosine(0.02, 400)),
        eval_every=400,
        seed=0,
        lines=True,
    )
    log_probs = evaluation.token_log_probs(model, text[-700:], lines=True).reshape(100, 7)
    means = -log_probs.mean(axis=0)
    assert np.all(np.abs(means[:4] - np.log(5)) < 0.1)
    assert np.all(means[4:] < 0.3)


def test_saved_and_loaded_in_a_fresh_process(tmp_path):
    models = [make(), make(dropout=0.2)]
    for model in models:
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(IDS, IDS, verbose=0)
    for model, there in zip(models, scores_in_a_fresh_process(models, IDS, tmp_path), strict=True):
        np.testing.assert_allclose(there, model.score(IDS), atol=1e-5)


def test_dropout_acts_in_training_only():
    model = make(dropout=0.5)
    calm = ops.convert_to_numpy(model(IDS))
    np.testing.assert_array_equal(calm, ops.convert_to_numpy(model(IDS, training=False)))
    assert np.abs(calm - ops.convert_to_numpy(model(IDS, training=True))).max() > 1e-2


def test_sizes_and_start_are_those_of_nanogpt():
    model = GPT(65, max_context=64, boundary=0, seed=3)
    # 0.80 M: token and position vectors, 12 width^2 a block, gains of 9 normalisations
    assert model.count_params() == 65 * 128 + 64 * 128 + 4 * 12 * 128**2 + 9 * 128
    block = model.blocks[1]
    for weight, scale in (
        (model.tokens.embeddings, 0.02),
        (block.attention.project.kernel, 0.02),
        (block.attention.combine.kernel, 0.02 / 8**0.5),
        (block.perceptron.narrow.kernel, 0.02 / 8**0.5),
    ):
        assert abs(np.std(ops.convert_to_numpy(weight)) / scale - 1) < 0.05
    log_probs = model.score(np.random.default_rng(0).integers(65, size=(4, 64)))
    assert abs(-log_probs.mean() - np.log(65)) < 0.1


def test_the_seed_and_nothing_else_draws_the_weights():
    options = {"max_context": 4, "width": 8, "heads": 2, "depth": 2, "boundary": 0}
    first = GPT(5, **options, seed=3).get_weights()
    keras.utils.set_random_seed(99)
    again = GPT(5, **options, seed=3).get_weights()
    other = GPT(5, **options, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other.get_weights()[0])
    one, two = (ops.convert_to_numpy(b.perceptron.widen.kernel) for b in other.blocks)
    assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"max_context": 0}, "max_context must be at least 1"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"boundary": 11}, "boundary must be one of 11 tokens, got 11"),
        ({"heads": 3}, "multiple of the heads, got 8 and 3"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
