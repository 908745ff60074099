import keras
import numpy as np
import pytest
from checks import scores_in_a_fresh_process, step_and_score_agree_with_the_forward_pass
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.stats import norm

from textgen_utils import batches, decoding, training
from textgen_utils.models.convolutional import ConvBlock, ConvLanguageModel
from textgen_utils.models.windowed import WindowedLanguageModel

IDS = np.random.default_rng(0).integers(11, size=(3, 9)).astype("int32")
PYRAMIDS = [
    {},
    {"kernel_size": 3, "dilations": (1, 3)},
    {"dilations": (3,)},
    {"kernel_size": 4, "dilations": (2, 1, 1)},
]


def make(**options):
    model = ConvLanguageModel(11, **{"width": 8, "dilations": (1, 2), "boundary": 2} | options)
    rng = np.random.default_rng(3)
    # Larger than at the start of training, so that mistakes show.
    model.set_weights([rng.normal(size=w.shape).astype("float32") / 2 for w in model.weights])
    return model


def normalised(own, x):
    layer = keras.layers.LayerNormalization(center=False, epsilon=1e-5)
    layer.build(x.shape)
    layer.gamma.assign(own.gamma)
    return layer(x)


def keras_convolution(block, x):
    """The convolution of a block by Keras's `Conv1D`, with the same weights."""
    width = x.shape[-1]
    conv = keras.layers.Conv1D(
        2 * width,
        block.kernel_size,
        padding="causal",
        dilation_rate=block.dilation,
        use_bias=False,
    )
    conv.build(x.shape)
    conv.kernel.assign(ops.reshape(block.conv.kernel, conv.kernel.shape))
    return conv(x)


def assembled_from_keras(model, ids):
    """The same architecture from the layers that Keras ships, with the same weights."""
    x = ops.take(ops.convert_to_tensor(model.tokens.embeddings), ids, axis=0)
    for block in model.blocks:
        y = ops.gelu(keras_convolution(block, normalised(block.norm, x)), approximate=False)
        x = x + ops.matmul(y, block.mix.kernel)
    logits = ops.matmul(normalised(model.norm, x), ops.transpose(model.tokens.embeddings))
    return ops.convert_to_numpy(logits)


@pytest.mark.parametrize("options", PYRAMIDS)
def test_logits_are_those_of_the_layers_of_keras(options):
    model = make(**options)
    logits = ops.convert_to_numpy(model(IDS))
    np.testing.assert_allclose(logits, assembled_from_keras(model, IDS), atol=1e-4)


@pytest.mark.parametrize("options", PYRAMIDS)
def test_step_and_score_agree_with_the_forward_pass(options):
    step_and_score_agree_with_the_forward_pass(make(**options), IDS)


@pytest.mark.parametrize("options", [{"greedy": True}, {"top_k": 4}])
def test_generated_text_is_equal_with_and_without_a_state_token_for_token(options):
    model = make()
    plain = WindowedLanguageModel(model, boundary=2, max_context=12)
    prompts = IDS[:, :3]
    stepped, recomputed = (
        decoding.generate(m, prompts, 9, seed=5, **options) for m in (model, plain)
    )
    np.testing.assert_array_equal(stepped, recomputed)
    assert len(np.unique(stepped)) > 3


def test_an_old_state_stays_valid():
    model = make()
    _, state = model.step([2, 2], model.initial_state(2))
    once, _ = model.step([4, 5], state)
    model.step([7, 8], state)
    np.testing.assert_array_equal(model.step([4, 5], state)[0], once)


def test_the_state_holds_the_reach_of_each_block_and_does_not_grow():
    model = make(kernel_size=3, dilations=(1, 2, 4))
    state = model.initial_state(5)
    shapes = [array.shape for array in state]
    assert shapes == [(5, 2, 8), (5, 4, 8), (5, 8, 8)]
    assert sum(shape[1] for shape in shapes) == model.receptive_field - 1
    for _ in range(3):
        _, state = model.step(np.zeros(5, "int32"), state)
    assert [array.shape for array in state] == shapes


@pytest.mark.parametrize("options", PYRAMIDS)
def test_a_token_counts_up_to_the_receptive_field_and_not_beyond(options):
    model = make(**options)
    r, last = model.receptive_field, 20
    read = np.random.default_rng(1).integers(11, size=(1, 24)).astype("int32")
    changed = np.repeat(read, 24, axis=0)
    changed[np.arange(24), np.arange(24)] = (changed[np.arange(24), np.arange(24)] + 1) % 11
    logits = ops.convert_to_numpy(model(np.concatenate([read, changed])))[:, last]
    moved = np.abs(logits[1:] - logits[0]).max(-1)  # by the change of each position
    distance = last - np.arange(24)
    outside = (distance < 0) | (distance >= r)
    np.testing.assert_allclose(moved[outside], 0, atol=1e-6)
    assert moved[distance == r - 1] > 1e-3
    assert moved[distance == 0] > 1e-3
    dense = options.get("dilations") != (3,)  # that one has a gap at distances 1 and 2
    assert (moved[~outside] > 1e-4).all() == dense


@settings(max_examples=8, deadline=None)  # each compiles shapes of its own
@given(st.integers(2, 4), st.integers(1, 5), st.integers(1, 8))
def test_a_block_is_the_sum_over_its_taps(kernel_size, dilation, time):
    """The definition, position by position, in NumPy."""
    block = ConvBlock(2, kernel_size, dilation, 0.0, 1.0, seed=1)
    block.build((None, None, 2))
    x = np.random.default_rng(time).normal(size=(1, time, 2)).astype("float32")
    y = np.asarray(ops.convert_to_numpy(block.norm(x)))
    kernel = np.reshape(block.conv.kernel, (kernel_size, 2, 4))
    expected = np.zeros((time, 4))
    for t in range(time):
        for j in range(kernel_size):
            s = t - j * dilation
            if s >= 0:
                expected[t] += y[0, s] @ kernel[kernel_size - 1 - j]
    expected = x[0] + (expected * norm.cdf(expected)) @ np.asarray(block.mix.kernel)
    np.testing.assert_allclose(ops.convert_to_numpy(block(x))[0], expected, atol=1e-5)


def test_dropout_acts_in_training_only():
    model = make(dropout=0.5)
    calm = ops.convert_to_numpy(model(IDS))
    np.testing.assert_array_equal(calm, ops.convert_to_numpy(model(IDS, training=False)))
    assert np.abs(calm - ops.convert_to_numpy(model(IDS, training=True))).max() > 1e-2


def test_saved_and_loaded_in_a_fresh_process(tmp_path):
    model = make(kernel_size=3, dilations=(1, 2), dropout=0.2)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IDS, IDS, verbose=0)
    [there] = scores_in_a_fresh_process([model], IDS, tmp_path)
    np.testing.assert_allclose(there, model.score(IDS), atol=1e-5)


def test_the_seed_and_nothing_else_draws_the_weights():
    first = ConvLanguageModel(5, width=4, dilations=(1, 2), boundary=0, seed=3).get_weights()
    keras.utils.set_random_seed(99)
    again = ConvLanguageModel(5, width=4, dilations=(1, 2), boundary=0, seed=3).get_weights()
    other = ConvLanguageModel(5, width=4, dilations=(1, 2), boundary=0, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other.get_weights()[0])
    one, two = (ops.convert_to_numpy(b.conv.kernel) for b in other.blocks)
    assert not np.array_equal(one, two)


def test_the_standard_size_is_that_of_its_neighbours():
    model = ConvLanguageModel(191, boundary=0, seed=1)
    assert model.receptive_field == 64
    assert 110_000 < model.count_params() < 140_000


def learned(dilations):
    """Nats of each token of lines: a digit, two others, a mark, and the first digit again."""
    rng = np.random.default_rng(0)
    first, second, third = rng.integers(1, 6, size=(3, 2000))
    text = np.stack([first, second, third, 0 * first + 6, first, 0 * first], 1).ravel()
    model = ConvLanguageModel(7, width=16, dilations=dilations, boundary=0, seed=1)
    training.train(
        model,
        text[:-600],
        text[-600:],
        steps=150,
        window=6,
        batch_size=32,
        optimizer=training.muon(training.warmup_cosine(0.02, 150)),
        eval_every=150,
        seed=0,
        lines=True,
    )
    return -model.score(batches.lines(text[-600:], 0)[0]).mean(axis=0)


def test_learns_what_lies_in_its_receptive_field_and_nothing_else():
    nats = learned((1, 2))
    assert np.all(np.abs(nats[:3] - np.log(5)) < 0.15)
    assert np.all(nats[3:] < 0.15)  # the first digit is the oldest of the four tokens seen
    nats = learned((1, 1))
    assert nats[4] > np.log(5) - 0.1  # it is out of reach
    assert np.all(nats[[3, 5]] < 0.15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"kernel_size": 1}, "kernel_size must be at least 2 to see the past, got 1"),
        ({"dilations": ()}, r"dilations must be one or more numbers of at least 1, got \(\)"),
        ({"dilations": (1, 0)}, r"numbers of at least 1, got \(1, 0\)"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"boundary": 11}, "boundary must be one of 11 tokens, got 11"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
