"""Recurrent and Transformer sequence to sequence, held against the layers that Keras ships."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from test_attention import keras_twin

from textgen_utils import decoding
from textgen_utils.batches import pad
from textgen_utils.models.attention import MultiHeadAttention, Scores
from textgen_utils.models.base import LanguageModel
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.transformer_seq2seq import TransformerSeq2Seq, sinusoids

# A source of one token is looked at with a weight of 1, and Keras wonders.
pytestmark = pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
RNG = np.random.default_rng(0)
PADDING, BOUNDARY = 3, 2
# 11 source tokens, 9 target tokens; the padding is not 0, so that no zero passes for it.
SOURCES = [[1, 5, 10], [4, 4, 7, 9, 0, 2, 6, 8], [9]]
TARGETS = RNG.integers(9, size=(3, 5)).astype("int32")
KINDS = {
    "fixed": (RecurrentSeq2Seq, {"width": 8, "depth": 2, "embedding_width": 5}),
    "dot": (RecurrentSeq2Seq, {"width": 8, "attention": "dot"}),
    "additive": (RecurrentSeq2Seq, {"width": 8, "attention": "additive"}),
    "transformer": (TransformerSeq2Seq, {"width": 12, "heads": 2, "depth": 2, "max_context": 6}),
}
LOOKING = ["dot", "additive", "transformer"]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_path = pytest.mark.parametrize("kind", ["fixed", "dot", "transformer"])
each_family = pytest.mark.parametrize("kind", ["dot", "transformer"])


def fresh(kind, **changes):
    maker, options = KINDS[kind]
    return maker(11, 9, **{"boundary": BOUNDARY, "padding": PADDING, **options, **changes})


def strong(layer):
    """The same layer with weights larger than at the start of training, so that mistakes show."""
    rng = np.random.default_rng(4)
    layer.set_weights([rng.normal(size=w.shape).astype("float32") / 2 for w in layer.weights])
    return layer


@pytest.fixture(scope="module")
def models():
    return {kind: strong(fresh(kind)) for kind in KINDS}


def logits_of(model, source, targets):
    front = np.full((len(targets), 1), BOUNDARY)
    return to_numpy(model((np.asarray(source), np.hstack([front, targets[:, :-1]]))))


def to_numpy(tensor):
    return ops.convert_to_numpy(tensor)


# What the models compute.


def lstm_stack(own, x, mask, states=None):
    """LSTM layers of Keras with the weights of `own`: outputs and the states of each."""
    found = []
    for i, layer in enumerate(own):
        twin = keras.layers.LSTM(layer.units, return_sequences=True, return_state=True)
        twin.build(x.shape)
        twin.set_weights(layer.get_weights())
        x, *last = twin(x, mask=mask, initial_state=None if states is None else states[i])
        found.append(last)
    return x, found


def bidirectional_stack(model, x, mask):
    """Bidirectional layers of Keras: outputs, and h and c of each."""
    found = []
    for ahead, behind in zip(model.forwards, model.backwards, strict=True):
        twin = keras.layers.Bidirectional(
            keras.layers.LSTM(ahead.units, return_sequences=True, return_state=True)
        )
        twin.build(x.shape)
        twin.set_weights(ahead.get_weights() + behind.get_weights())
        x, *last = twin(x, mask=mask)
        found.append([np.concatenate(pair, -1) for pair in (last[::2], last[1::2])])
    return x, found


def assembled_recurrent(model, source, targets):
    """The logits from Keras's LSTM, Bidirectional and Dense, and from NumPy's softmax."""
    mask = source != PADDING
    memory, states = bidirectional_stack(model, model.source_tokens(source), mask)
    shifted = np.hstack([np.full((len(targets), 1), BOUNDARY), targets[:, :-1]])
    h, _ = lstm_stack(model.decoders, model.target_tokens(shifted), None, states)
    h, memory = to_numpy(h), to_numpy(memory)
    if model.scores is not None:
        weights = scores_by_hand(model.scores, h, memory, mask)
        h = np.concatenate([h, weights @ memory], -1)
        kernel, bias = model.combine.get_weights()
        h = np.tanh(h @ kernel + bias)
    kernel, bias = model.head.get_weights()
    return h @ kernel + bias


def scores_by_hand(layer, queries, memory, mask):
    """softmax of W_q q . W_k k / sqrt(width), or of v . tanh(W_q q + W_k k), over the source."""
    queries, keys = queries @ layer.query.get_weights()[0], memory @ layer.key.get_weights()[0]
    if layer.kind == "dot":
        fit = np.einsum("bmd,bnd->bmn", queries, keys) / np.sqrt(layer.width)
    else:
        v = layer.v.get_weights()[0][:, 0]
        fit = np.einsum("bmnd,d->bmn", np.tanh(queries[:, :, None] + keys[:, None]), v)
    fit = np.exp(fit) * mask[:, None]
    return fit / fit.sum(-1, keepdims=True)


@pytest.mark.parametrize("kind", ["fixed", "dot", "additive"])
def test_recurrent_logits_are_those_of_the_layers_of_keras(models, kind):
    source = models[kind].padded(SOURCES)
    expected = assembled_recurrent(models[kind], source, TARGETS)
    np.testing.assert_allclose(
        logits_of(models[kind], source, TARGETS), expected, rtol=1e-4, atol=1e-4
    )


def cross_twin(layer):
    """Keras's own multi-head attention with the weights of a `MultiHeadAttention`."""
    width, heads = layer.width, layer.heads
    twin = keras.layers.MultiHeadAttention(heads, width // heads, use_bias=False)
    twin.build((None, None, width), (None, None, width))
    query, key_value, combine = layer.get_weights()
    key, value = key_value[:, :width], key_value[:, width:]
    by_name = {"query": query, "key": key, "value": value, "attention_output": combine}
    for weight in twin.weights:
        own = next(v for k, v in by_name.items() if f"/{k}/" in f"/{weight.path}")
        weight.assign(own.reshape(weight.shape))
    return twin


def keras_norm(own, x):
    layer = keras.layers.LayerNormalization(center=False, epsilon=1e-5)
    layer.build(x.shape)
    layer.gamma.assign(own.gamma)
    return layer(x)


def keras_perceptron(own, x):
    widened = keras.layers.Dense(own.widen.units, use_bias=False, activation="gelu")
    narrow = keras.layers.Dense(own.narrow.units, use_bias=False)
    for layer, weights in ((widened, own.widen), (narrow, own.narrow)):
        layer.build((None, weights.kernel.shape[0]))
        layer.kernel.assign(weights.kernel)
    return narrow(widened(x))


def waves(time, width):
    """Sines and cosines of the paper's formula, one entry at a time."""
    table = np.zeros((time, width))
    for position in range(time):
        for i in range(width // 2):
            angle = position / 10_000 ** (2 * i / width)
            table[position, i], table[position, width // 2 + i] = np.sin(angle), np.cos(angle)
    return table


def assembled_transformer(model, source, targets):
    """The logits from the layers that Keras ships, with the same weights."""
    mask = source != PADDING
    width, heads = model.width, model.heads
    tables = [layer.get_weights()[0] for layer in (model.source_tokens, model.target_tokens)]
    x = tables[0][source] * np.sqrt(width) + waves(source.shape[1], width)
    for block in model.readers:
        y = keras_norm(block.norm_1, x)
        x = x + cross_twin(block.attention)(y, y, attention_mask=mask[:, None, :])
        x = x + keras_perceptron(block.perceptron, keras_norm(block.norm_2, x))
    memory = keras_norm(model.source_norm, x)
    shifted = np.hstack([np.full((len(targets), 1), BOUNDARY), targets[:, :-1]])
    x = tables[1][shifted] * np.sqrt(width) + waves(targets.shape[1], width)
    for block in model.writers:
        y = keras_norm(block.norm_1, x)
        x = x + keras_twin(block.attention, width, heads)(y, y, use_causal_mask=True)
        y = keras_norm(block.norm_2, x)
        x = x + cross_twin(block.cross)(y, memory, attention_mask=mask[:, None, :])
        x = x + keras_perceptron(block.perceptron, keras_norm(block.norm_3, x))
    return to_numpy(keras_norm(model.target_norm, x)) @ tables[1].T


def test_transformer_logits_are_those_of_the_layers_of_keras(models):
    model = models["transformer"]
    source = model.padded(SOURCES)
    expected = assembled_transformer(model, source, TARGETS)
    np.testing.assert_allclose(logits_of(model, source, TARGETS), expected, atol=1e-3)
    assert np.abs(expected).max() > 1


def test_sinusoids_are_those_of_the_formula():
    found = to_numpy(sinusoids(np.arange(40).reshape(2, 20), 10))
    np.testing.assert_allclose(found.reshape(40, 10), waves(40, 10), atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 6])
def test_multi_head_attention_is_the_layer_of_keras_with_the_same_weights(heads):
    layer = MultiHeadAttention(12, heads)
    layer.build((None, None, 12))
    strong(layer)
    x, memory = (RNG.normal(size=(2, time, 12)).astype("float32") for time in (3, 5))
    mask = np.array([[True] * 5, [True, True, False, False, False]])
    expected, weights = cross_twin(layer)(
        x, memory, attention_mask=mask[:, None, :], return_attention_scores=True
    )
    np.testing.assert_allclose(to_numpy(layer(x, memory, mask)), to_numpy(expected), atol=1e-4)
    found = to_numpy(layer.weights_of(x, layer.keys_values(memory)[0], mask))
    np.testing.assert_allclose(found, to_numpy(weights), atol=1e-5)
    assert not found[1, ..., 2:].any()


@settings(max_examples=20)
@given(st.sampled_from(["dot", "additive"]), st.integers(0, 2**32 - 1))
def test_scores_are_the_sums_of_their_definition(kind, seed):
    rng = np.random.default_rng(seed)
    m, n = 3, 4  # other shapes would only be compiled anew
    layer = Scores(6, kind)
    layer.build((None, None, 6))
    strong(layer)
    queries, memory = (rng.normal(size=(2, time, 6)).astype("float32") for time in (m, n))
    mask = rng.random((2, n)) < 0.6
    mask[np.arange(2), rng.integers(n, size=2)] = True
    found = to_numpy(layer(ops.array(queries), layer.key(memory), mask))
    np.testing.assert_allclose(found, scores_by_hand(layer, queries, memory, mask), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("dot", keras.layers.Attention), ("additive", keras.layers.AdditiveAttention)],
)
def test_scores_are_those_of_the_layers_of_keras(kind, theirs):
    layer = Scores(6, kind)
    layer.build((None, None, 6))
    strong(layer)
    queries, memory = (RNG.normal(size=(2, time, 6)).astype("float32") for time in (3, 4))
    mask = np.array([[True] * 4, [True, False, False, False]])
    asked, keys = to_numpy(layer.query(queries)), to_numpy(layer.key(memory))
    # Keras's product has no root of the width in it.
    twin = theirs(use_scale=kind == "additive")
    inputs = [asked / (np.sqrt(6) if kind == "dot" else 1), keys, keys]
    twin.build([part.shape for part in inputs])
    if kind == "additive":
        twin.set_weights([layer.v.get_weights()[0][:, 0]])
    _, expected = twin(inputs, mask=[None, mask], return_attention_scores=True)
    found = to_numpy(layer(queries, ops.array(keys), mask))
    np.testing.assert_allclose(found, to_numpy(expected), atol=1e-5)


# What they promise as language models.


@each_kind
def test_token_by_token_and_at_once_give_the_forward_pass(models, kind):
    """The first source is also read on its own, without padding."""
    model = models[kind]
    given_sources = model.condition(SOURCES)
    assert isinstance(given_sources, LanguageModel)
    expected = logits_of(model, model.padded(SOURCES), TARGETS)
    alone = logits_of(model, SOURCES[:1], TARGETS[:1])
    np.testing.assert_allclose(expected[:1], alone, atol=1e-3)
    expected = to_numpy(ops.log_softmax(expected))
    scores = np.take_along_axis(expected, TARGETS[..., None], -1)[..., 0]
    np.testing.assert_allclose(given_sources.score(TARGETS), scores, atol=1e-3)
    state = given_sources.initial_state(3)
    tokens = np.full(3, BOUNDARY)
    for t in range(TARGETS.shape[1]):
        log_probs, state = given_sources.step(tokens, state)
        np.testing.assert_allclose(log_probs, expected[:, t], atol=1e-3)
        tokens = TARGETS[:, t]
    assert np.abs(expected[0] - expected[1]).max() > 0.1


@each_path
def test_rows_belong_to_sources_in_turn(models, kind):
    model = models[kind].condition(SOURCES)
    rows = np.repeat(np.arange(3), 2)
    other = (TARGETS + 1) % 9
    both = np.stack([TARGETS, other], axis=1).reshape(6, -1)
    found = model.score(both)
    np.testing.assert_allclose(found[::2], model.score(TARGETS), atol=1e-4)
    np.testing.assert_allclose(found[1::2], model.score(other), atol=1e-4)
    once = model.step(TARGETS[:, 0], model.initial_state(3))[0]
    twice = model.step(TARGETS[rows, 0], model.initial_state(6))[0]
    np.testing.assert_allclose(twice, once[rows], atol=1e-4)


@each_path
def test_later_tokens_change_nothing_before_them(models, kind):
    changed = TARGETS.copy()
    changed[:, 2:] = (changed[:, 2:] + 1) % 9
    source = models[kind].padded(SOURCES)
    first, second = (logits_of(models[kind], source, ids) for ids in (TARGETS, changed))
    np.testing.assert_allclose(first[:, :3], second[:, :3], atol=1e-5)
    assert np.abs(first[:, 3:] - second[:, 3:]).max() > 1e-2


@each_path
def test_every_source_token_matters_and_so_does_its_place(models, kind):
    model = models[kind]
    base = model.condition(SOURCES).score(TARGETS)[1]
    for place in range(len(SOURCES[1])):
        changed = list(SOURCES[1])
        changed[place] = (changed[place] + 1) % 11 if changed[place] != 2 else 5
        sources = [SOURCES[0], changed, SOURCES[2]]
        assert np.abs(model.condition(sources).score(TARGETS)[1] - base).max() > 1e-4
    sources = [SOURCES[0], SOURCES[1][::-1], SOURCES[2]]
    assert np.abs(model.condition(sources).score(TARGETS)[1] - base).max() > 1e-3


@each_path
def test_an_old_state_stays_valid(models, kind):
    model = models[kind].condition(SOURCES)
    _, state = model.step([2, 2, 2], model.initial_state(3))
    once, _ = model.step([4, 5, 6], state)
    model.step([7, 8, 0], state)
    np.testing.assert_array_equal(model.step([4, 5, 6], state)[0], once)


@each_family
def test_a_source_longer_than_any_before_is_read(models, kind):
    source = RNG.integers(4, 11, size=(1, 30))
    score = models[kind].condition(source).score(TARGETS[:1])
    expected = to_numpy(ops.log_softmax(logits_of(models[kind], source, TARGETS[:1])))
    expected = np.take_along_axis(expected, TARGETS[:1, :, None], -1)[..., 0]
    np.testing.assert_allclose(score, expected, atol=1e-3)


@each_family
def test_it_sees_new_weights(kind):
    model = strong(fresh(kind))
    conditioned = model.condition(SOURCES)
    before = conditioned.score(TARGETS)
    model.set_weights([w * 0.5 for w in model.get_weights()])
    after = model.condition(SOURCES)
    assert np.abs(after.score(TARGETS) - before).max() > 1e-2
    step = after.step(np.full(3, BOUNDARY), after.initial_state(3))[0]
    np.testing.assert_allclose(
        step[np.arange(3), TARGETS[:, 0]], after.score(TARGETS)[:, 0], atol=1e-4
    )


@pytest.mark.parametrize("kind", LOOKING)
def test_attention_rows_are_distributions_over_the_source_and_not_its_padding(models, kind):
    model = models[kind]
    weights = model.attention(SOURCES, TARGETS)
    layers, heads = (2, 2) if kind == "transformer" else (1, 1)
    assert weights.shape == (3, layers, heads, 5, 8)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    for row, source in enumerate(SOURCES):
        assert not weights[row, ..., len(source) :].any()
        alone = model.attention([source], TARGETS[row : row + 1])
        np.testing.assert_allclose(weights[row], alone[0], atol=1e-4)


@pytest.mark.parametrize("kind", ["dot", "additive"])
def test_what_attention_reports_is_what_the_forward_pass_mixes(models, kind):
    model, source = models[kind], models[kind].padded(SOURCES)
    memory, states = bidirectional_stack(model, model.source_tokens(source), source != PADDING)
    shifted = np.hstack([np.full((3, 1), BOUNDARY), TARGETS[:, :-1]])
    h, _ = lstm_stack(model.decoders, model.target_tokens(shifted), None, states)
    expected = scores_by_hand(model.scores, to_numpy(h), to_numpy(memory), source != PADDING)
    np.testing.assert_allclose(model.attention(SOURCES, TARGETS)[:, 0, 0], expected, atol=1e-4)


def test_what_attention_reports_changes_with_the_layer(models):
    """The first writer's look, by Keras's layer."""
    model, source = models["transformer"], models["transformer"].padded(SOURCES)
    memory, mask = model.encode(model.embed(source), model.mask(source))
    shifted = np.hstack([np.full((3, 1), BOUNDARY), TARGETS[:, :-1]])
    table = model.target_tokens.get_weights()[0]
    y = table[shifted] * np.sqrt(model.width) + waves(5, model.width)
    block = model.writers[0]
    normed = keras_norm(block.norm_1, y)
    y = y + keras_twin(block.attention, model.width, 2)(normed, normed, use_causal_mask=True)
    _, expected = cross_twin(block.cross)(
        keras_norm(block.norm_2, y),
        memory,
        attention_mask=to_numpy(mask)[:, None, :],
        return_attention_scores=True,
    )
    found = model.attention(SOURCES, TARGETS)
    np.testing.assert_allclose(found[:, 0], to_numpy(expected), atol=1e-3)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-2


# Weights: drawn, learnt, saved.


@each_family
def test_the_seed_and_nothing_else_draws_the_weights(kind):
    first = fresh(kind, seed=3).get_weights()
    keras.utils.set_random_seed(99)
    again, other = (fresh(kind, seed=seed).get_weights() for seed in (3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    drawn = [w for w in first if w.ndim == 2 and w.std() > 0]
    changed = [not np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim == 2]
    assert all(changed)
    for i, one in enumerate(drawn):
        alike = [two for two in drawn[i + 1 :] if two.shape == one.shape]
        assert not any(np.array_equal(one, two) for two in alike)


@each_path
def test_every_weight_learns_and_the_loss_falls(kind):
    """Finite gradients, none of them zero: what a step of descent leaves unchanged had none."""
    model = strong(fresh(kind))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss)
    inputs = model.padded(SOURCES), np.hstack([np.full((3, 1), BOUNDARY), TARGETS[:, :-1]])
    before = model.get_weights()
    first = model.train_on_batch(inputs, TARGETS)
    after = model.get_weights()
    assert all(np.isfinite(w).all() for w in after)
    unchanged = [
        weight.path
        for weight, a, b in zip(model.weights, before, after, strict=True)
        if np.array_equal(a, b) and "seed_generator" not in weight.path
    ]
    assert not unchanged
    last = [model.train_on_batch(inputs, TARGETS) for _ in range(15)][-1]
    assert last < 0.97 * first


@each_family
def test_dropout_acts_in_training_only(kind):
    model = strong(fresh(kind, dropout=0.5))
    inputs = model.padded(SOURCES), TARGETS
    calm = to_numpy(model(inputs))
    np.testing.assert_array_equal(calm, to_numpy(model(inputs, training=False)))
    assert np.abs(calm - to_numpy(model(inputs, training=True))).max() > 1e-2


LOADED_ELSEWHERE = """
import sys, keras, numpy as np
import textgen_utils.models.recurrent_seq2seq, textgen_utils.models.transformer_seq2seq
folder, *kinds = sys.argv[1:]
data = np.load(folder + "/data.npz")
logits = {}
for kind in kinds:
    model = keras.saving.load_model(f"{folder}/{kind}.keras", safe_mode=True)
    logits[kind] = keras.ops.convert_to_numpy(model((data["source"], data["targets"])))
np.savez(folder + "/logits.npz", **logits)
"""


def test_saved_and_loaded_in_a_fresh_process(models, tmp_path):
    """All kinds in one process: it takes longer to start than to score."""
    for kind, model in models.items():
        model.save(tmp_path / f"{kind}.keras")
    source = models["fixed"].padded(SOURCES)
    np.savez(tmp_path / "data.npz", source=source, targets=TARGETS)
    command = [sys.executable, "-c", LOADED_ELSEWHERE, str(tmp_path), *models]
    subprocess.run(command, check=True, env=os.environ)
    there = np.load(tmp_path / "logits.npz")
    for kind, model in models.items():
        here = to_numpy(model((source, TARGETS)))
        np.testing.assert_allclose(there[kind], here, atol=1e-4, err_msg=kind)


# What they refuse.


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("fixed", {"width": 7}, "width must be even, half for each direction, got 7"),
        ("fixed", {"width": 0}, "width must be at least 1, got 0"),
        ("fixed", {"embedding_width": 0}, "embedding_width must be at least 1"),
        (
            "fixed",
            {"attention": "cosine"},
            'attention must be None, "dot" or "additive", got \'cosine\'',
        ),
        ("fixed", {"boundary": 9}, "boundary must be one of 9 tokens, got 9"),
        ("fixed", {"padding": 11}, "padding must be one of 11 source tokens, got 11"),
        ("fixed", {"padding": -1}, "padding must be one of 11 source tokens, got -1"),
        ("fixed", {"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        (
            "transformer",
            {"width": 9, "heads": 3},
            "width must be even, for sines and cosines, got 9",
        ),
        ("transformer", {"heads": 5}, "multiple of the heads, got 12 and 5"),
        ("transformer", {"max_context": 0}, "max_context must be at least 1, got 0"),
        ("transformer", {"depth": 0}, "depth must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        fresh(kind, **changes)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "sources must be a list of lists of ids"),
        ("a text", "sources must be a list of lists of ids, got 'a text'"),
        (["a text"], "sources must be a list of lists of ids"),
        ([4, 5], "sources must be a list of lists of ids"),
        ([[4], []], "source 1 is empty"),
        ([[PADDING, PADDING]], "source 0 is empty"),
        ([[4, 11]], r"ids must lie in \[0, 11\); got \d+ to 11"),
        ([[4, -1]], r"ids must lie in \[0, 11\); got -1"),
        ([[4.5, 1.0]], "must be integers, got dtype float64"),
    ],
)
def test_bad_sources_are_refused(models, sources, message):
    with pytest.raises(ValueError, match=message):
        models["dot"].condition(sources)


@each_family
def test_bad_targets_are_refused(models, kind):
    model = models[kind].condition(SOURCES)
    with pytest.raises(ValueError, match=r"must lie in \[0, 9\); got 0 to 9"):
        model.score(np.array([[0, 9]] * 3))
    with pytest.raises(ValueError, match="got the text 'abc'"):
        model.step("abc", model.initial_state(3))
    with pytest.raises(ValueError, match="multiple of the 3 sources, got 4"):
        model.score(np.zeros((4, 5), int))
    with pytest.raises(ValueError, match="multiple of the 3 sources, got 0"):
        model.initial_state(0)
    with pytest.raises(ValueError, match="got 3 sources but 2 targets"):
        models[kind].attention(SOURCES, TARGETS[:2])


def test_no_more_is_written_than_the_context_holds(models):
    model = models["transformer"].condition(SOURCES)
    message = "at most 6 tokens, got 7"
    with pytest.raises(ValueError, match=message):
        model.score(np.zeros((3, 7), int))
    with pytest.raises(ValueError, match=message):
        models["transformer"].attention(SOURCES, np.zeros((3, 7), int))
    state = model.initial_state(3)
    for _ in range(6):
        _, state = model.step([4, 5, 6], state)
    with pytest.raises(ValueError, match=message):
        model.step([4, 5, 6], state)
    with pytest.raises(ValueError, match="at most 6 tokens"):
        decoding.generate(model, np.zeros((3, 0), int), 7, seed=0)
    assert decoding.generate(model, np.zeros((3, 0), int), 6, seed=0).shape == (3, 6)


def test_a_model_without_attention_has_none_to_show(models):
    with pytest.raises(ValueError, match="no attention: make it with attention="):
        models["fixed"].attention(SOURCES, TARGETS)


def test_sources_are_padded_to_few_lengths(models):
    array = models["fixed"].padded([[4] * 9, [5]])
    assert array.shape == (2, 16)
    np.testing.assert_array_equal(array, pad([[4] * 9, [5]], PADDING, 16)[0])
