"""Losses: Keras, closed forms, finite differences, and what holds for any forecast."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.optimize import minimize

from textgen_utils import losses
from textgen_utils.batches import Windows
from textgen_utils.batches.negatives import Negatives
from textgen_utils.losses import beliefs
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.training import train

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 5, 7)).astype("float32") * 3
TARGETS = RNG.integers(7, size=(3, 5)).astype("int32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], bool)


def probabilities(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, rtol=tolerance, atol=1e-6)


def test_cross_entropy_is_that_of_keras():
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(TARGETS, LOGITS)
    close(losses.cross_entropy(TARGETS, LOGITS), float(expected))


def test_cross_entropy_with_a_mask_averages_what_counts():
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    expected = loss(TARGETS, LOGITS, sample_weight=MASK.astype("float32"))
    close(losses.cross_entropy(TARGETS, LOGITS, MASK), float(expected))
    changed = np.where(MASK[..., None], LOGITS, 100.0)
    close(losses.cross_entropy(TARGETS, changed, MASK), float(expected))


def test_squared_error_is_that_of_keras_summed_over_the_vocabulary():
    truth = keras.ops.one_hot(TARGETS, 7)
    expected = 7 * float(keras.losses.MeanSquaredError()(truth, probabilities(LOGITS)))
    close(losses.squared_error(TARGETS, LOGITS), expected)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 0.0), (-1.0, 2.0)])
def test_squared_error_at_both_ends(sign, expected):
    close(losses.squared_error([0], np.array([[sign * 50.0, 0.0]], "float32")), expected)


def test_accuracy_is_that_of_keras():
    metric = keras.metrics.SparseCategoricalAccuracy()
    metric.update_state(TARGETS, LOGITS, sample_weight=MASK.astype("float32"))
    close(losses.accuracy(TARGETS, LOGITS, MASK), float(metric.result()))
    close(losses.accuracy(TARGETS, LOGITS), (LOGITS.argmax(-1) == TARGETS).mean())


def test_the_gradient_of_cross_entropy_is_p_minus_y():
    logits, targets, step = LOGITS[0].astype("float64"), TARGETS[0], 0.02
    expected = (probabilities(logits) - np.eye(7)[targets]) / len(targets)
    measured = np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        values = []
        for sign in (1, -1):
            moved = logits.copy()
            moved[place] += sign * step
            values.append(float(losses.cross_entropy(targets, moved.astype("float32"))))
        measured[place] = (values[0] - values[1]) / (2 * step)
    np.testing.assert_allclose(measured, expected, atol=1e-4)
    assert np.abs(expected).max() > 0.05


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, -1e4, 0.0]], "float32")
    close(losses.cross_entropy([0], logits), 0.0)
    close(losses.cross_entropy([1], logits), 2e4)


WEIGHTS = np.array([1.0, 0.5, 2.0, 0.0, 1.0, 3.0, 1.0])
UNIFORM = np.full(7, 1 / 7)


def each(values):
    """The mean over the positions that count of NumPy's own values."""
    return float((values * MASK).sum() / MASK.sum())


def test_focal_is_that_of_keras():
    for gamma in (0.0, 0.5, 2.0):
        keras_loss = keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=gamma, from_logits=True, reduction="none"
        )
        expected = ops.convert_to_numpy(keras_loss(np.eye(7)[TARGETS], LOGITS))
        close(losses.focal(TARGETS, LOGITS, MASK, gamma=gamma), each(expected), 1e-4)
    close(losses.focal(TARGETS, LOGITS, gamma=0.0), losses.cross_entropy(TARGETS, LOGITS))


def test_smoothing_is_that_of_keras():
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2, reduction="none"
    )
    expected = ops.convert_to_numpy(keras_loss(np.eye(7)[TARGETS], LOGITS))
    close(losses.smoothed_cross_entropy(TARGETS, LOGITS, MASK, smoothing=0.2), each(expected))


def test_weighted_cross_entropy_is_that_of_keras_with_sample_weights():
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    expected = keras_loss(TARGETS, LOGITS, sample_weight=WEIGHTS[TARGETS] * MASK)
    found = losses.weighted_cross_entropy(TARGETS, LOGITS, MASK, weights=WEIGHTS)
    close(found, float(expected) / MASK.sum())


def test_absolute_error_is_that_of_keras_summed_over_the_vocabulary():
    q, y = probabilities(LOGITS), np.eye(7)[TARGETS]
    expected = 7 * float(keras.losses.MeanAbsoluteError()(y, q))
    close(losses.absolute_error(TARGETS, LOGITS), expected)
    chosen = np.take_along_axis(q, TARGETS[..., None], -1)[..., 0]
    close(losses.absolute_error(TARGETS, LOGITS, MASK), each(2 * (1 - chosen)))
    weighted = (WEIGHTS * np.abs(q - y)).sum(-1)
    close(losses.absolute_error(TARGETS, LOGITS, MASK, weights=WEIGHTS), each(weighted))


def test_unlikelihood_by_loops():
    log_p = np.log(probabilities(LOGITS.astype("float64")))
    values = np.zeros(TARGETS.shape)
    for i, t in np.ndindex(TARGETS.shape):
        said = {w for s, w in enumerate(TARGETS[i, :t]) if MASK[i, s]} - {TARGETS[i, t]}
        values[i, t] = -log_p[i, t, TARGETS[i, t]]
        values[i, t] -= 0.5 * sum(np.log(1 - np.exp(log_p[i, t, w])) for w in said)
    close(losses.unlikelihood(TARGETS, LOGITS, MASK, weight=0.5), each(values))
    plain = losses.unlikelihood(TARGETS, LOGITS, MASK, weight=0.0)
    close(plain, losses.cross_entropy(TARGETS, LOGITS, MASK))


def test_log_complement_keeps_its_digits_near_certainty():
    found = ops.convert_to_numpy(losses.log_complement(np.array([[60.0, 0.0, -1.0]], "float32")))
    close(found[0, 0], np.log(1 + np.exp(-1.0)) - 60)
    close(found[0, 1:], 0.0)


def test_sampled_softmax_with_every_token_drawn_once_is_cross_entropy():
    everything = np.broadcast_to(np.arange(7), (*TARGETS.shape, 7))
    targets = np.concatenate([TARGETS[..., None], everything], axis=-1)
    found = losses.sampled_softmax(targets, LOGITS, MASK, proposal=UNIFORM, keep_hits=False)
    close(found, losses.cross_entropy(TARGETS, LOGITS, MASK))


@pytest.mark.tensorflow
@pytest.mark.parametrize("keep", [True, False])
def test_sampled_softmax_is_that_of_tensorflow(keep):
    import tensorflow as tf

    hidden = RNG.normal(size=(5, 4)).astype("float32")
    table, bias = RNG.normal(size=(7, 4)).astype("float32"), np.zeros(7, "float32")
    proposal = losses.log_uniform_proposal(7)
    drawn, targets = np.array([0, 2, 2, 5]), TARGETS[0]
    expected = tf.nn.sampled_softmax_loss(
        table, bias, targets[:, None], hidden, 4, 7,
        sampled_values=(drawn, *(np.float32(4 * proposal[k]) for k in (targets[:, None], drawn))),
        remove_accidental_hits=not keep,
    )  # fmt: skip
    both = np.concatenate([targets[:, None], np.tile(drawn, (5, 1))], axis=1)
    found = losses.sampled_softmax(both, hidden @ table.T, proposal=proposal, keep_hits=keep)
    close(found, np.mean(expected))


@pytest.mark.parametrize("samples", [1, 3])
def test_sampled_softmax_with_hits_kept_is_proper(samples):
    # The expectation over every target and every draw, of three tokens, near the truth.
    p, proposal = np.array([0.6, 0.3, 0.1]), np.array([0.5, 0.2, 0.3])
    lists = np.array(list(itertools.product(range(3), repeat=1 + samples)))
    weight = p[lists[:, 0]] * proposal[lists[:, 1:]].prod(axis=1)

    def expected(z, keep):
        chosen = z[lists] - np.log(proposal[lists] * samples)
        hits = lists[:, 1:] == lists[:, :1]
        wrong = np.where(hits & (not keep), -np.inf, chosen[:, 1:])
        every = np.concatenate([chosen[:, :1], wrong], axis=1)
        return weight @ (np.logaddexp.reduce(every, axis=1) - chosen[:, 0])

    kept, removed = (
        probabilities(minimize(expected, np.zeros(3), args=(keep,), tol=1e-9).x)
        for keep in (True, False)
    )
    np.testing.assert_allclose(kept, p, atol=1e-3)
    assert (removed[0] > 0.65) == (samples > 1)
    z = np.log([0.2, 0.5, 0.3])  # and the package computes the same
    copies = np.round(weight * 10 ** (1 + samples)).astype(int)  # whole numbers
    assert copies.sum() == 10 ** (1 + samples)
    for keep in (True, False):
        rows = np.repeat(lists, copies, axis=0)
        logits = np.tile(z, (len(rows), 1))
        found = losses.sampled_softmax(rows, logits, proposal=proposal, keep_hits=keep)
        close(found, expected(z, keep), 1e-3)


def test_sampled_softmax_with_many_draws_has_the_gradient_of_cross_entropy():
    z, target, samples, step = LOGITS[0, :1], TARGETS[0, :1], 50_000, 0.05
    drawn = RNG.choice(7, p=UNIFORM, size=(1, samples))
    both = np.concatenate([target[:, None], drawn], axis=1)

    def slopes(loss):
        ends = [[float(loss(z + s * step * e)) for s in (1, -1)] for e in np.eye(7, dtype="f4")]
        return np.array([(up - down) / (2 * step) for up, down in ends])

    sampled = slopes(lambda x: losses.sampled_softmax(both, x, proposal=UNIFORM))
    full = slopes(lambda x: losses.cross_entropy(target, x))
    np.testing.assert_allclose(sampled, full, atol=0.02)
    assert np.abs(full).max() > 0.1


def test_proposals():
    close(losses.log_uniform_proposal(50).sum(), 1.0)
    assert np.all(np.diff(losses.log_uniform_proposal(50)) < 0)
    found = losses.unigram_proposal([0, 0, 1, 3], 4)
    np.testing.assert_allclose(found, [3 / 8, 2 / 8, 1 / 8, 2 / 8])
    np.testing.assert_allclose(losses.unigram_proposal([0, 0, 1], 3, power=0.0), 1 / 3)


def test_negatives_are_drawn_beside_the_targets_and_again_in_the_next_epoch():
    ids, proposal = RNG.integers(4, size=300), [0.7, 0.0, 0.2, 0.1]
    windows = Windows(ids, 10, 8, 3, seed=1)
    batches = Negatives(Windows(ids, 10, 8, 3, seed=1), proposal, 50, seed=2)
    inputs, both = batches[1]
    np.testing.assert_array_equal(inputs, windows[1][0])
    np.testing.assert_array_equal(both[..., 0], windows[1][1])
    np.testing.assert_array_equal(both, batches[1][1])
    shares = np.bincount(both[..., 1:].ravel(), minlength=4) / both[..., 1:].size
    np.testing.assert_allclose(shares, proposal, atol=0.03)
    assert shares[1] == 0
    batches.on_epoch_end()
    assert (batches.epoch, batches.batches.epoch) == (1, 1)
    assert not np.array_equal(batches[1][1][..., 1:], both[..., 1:])


def own_gradients(q, k):
    """The gradients by the logits of one position whose target is k, of formulas."""
    y, n = np.eye(7)[k], len(q)
    pull = (1 - q[k]) * (1 - q[k] - 2 * q[k] * np.log(q[k]))
    said = sum(q[c] / (1 - q[c]) * (np.eye(n)[c] - q) for c in (0, 4) if c != k)
    slope = WEIGHTS * np.where(y == 1, -1, 1)
    return {
        "cross_entropy": q - y,
        "weighted_cross_entropy": WEIGHTS[k] * (q - y),
        "smoothed_cross_entropy": q - (0.9 * y + 0.1 / n),
        "focal": pull * (q - y),
        "squared_error": 2 * (np.diag(q) - np.outer(q, q)) @ (q - y),
        "absolute_error": q * (slope - slope @ q),
        "unlikelihood": q - y + said,
    }


SETTINGS = {"weighted_cross_entropy": {"weights": WEIGHTS}, "absolute_error": {"weights": WEIGHTS}}


@pytest.mark.parametrize("name", list(own_gradients(UNIFORM, 0)))
def test_gradients_are_those_of_the_formulas(name):
    function, options, step = losses.named.FUNCTIONS[name], SETTINGS.get(name, {}), 0.02
    history, z = np.array([0, 4, 2]), LOGITS[0, 2].astype("float64")
    for k in (2, 3, 5):
        targets = np.array([[*history[:2], k]])
        mask = np.array([[1, 1, 1]])
        measured = np.zeros(7)
        for j in range(7):
            ends = []
            for sign in (1, -1):
                logits = np.zeros((1, 3, 7), "float32")
                logits[0, 2] = z + sign * step * np.eye(7)[j]
                ends.append(3 * float(function(targets, logits, mask, **options)))
            measured[j] = (ends[0] - ends[1]) / (2 * step)
        expected = own_gradients(probabilities(z), k)[name]
        np.testing.assert_allclose(measured, expected, atol=1e-3)
        assert np.abs(expected).max() > 0.01 or WEIGHTS[k] == 0


def test_a_weight_of_zero():
    z = LOGITS[0, :1].astype("float64")
    up = z + 0.5 * np.eye(7)[3]
    # As a target the token is never pushed up by the cross-entropy ...
    values = [
        float(losses.weighted_cross_entropy([3], x.astype("float32"), weights=WEIGHTS))
        for x in (z, up)
    ]
    assert values == [0.0, 0.0]
    # ... and pushed down by every other one; the absolute error does push it up.
    assert losses.weighted_cross_entropy(
        [2], up.astype("float32"), weights=WEIGHTS
    ) > losses.weighted_cross_entropy([2], z.astype("float32"), weights=WEIGHTS)
    assert losses.absolute_error(
        [3], up.astype("float32"), weights=WEIGHTS
    ) < losses.absolute_error([3], z.astype("float32"), weights=WEIGHTS)


SCORES = {
    "log": lambda q: -np.log(q),
    "smoothed": lambda q: -0.8 * np.log(q) - 0.2 * np.log(q).mean(),
    "weighted": lambda q: -(np.arange(len(q)) + 1.0) * np.log(q),
    "focal": lambda q: -((1 - q) ** 2) * np.log(q),
    "squared": lambda q: (q**2).sum() - 2 * q + 1,
}
BELIEFS = {
    "log": lambda p: p,
    "smoothed": lambda p: beliefs.smoothed_belief(p, 0.2),
    "weighted": lambda p: beliefs.weighted_belief(p, np.arange(len(p)) + 1.0),
    "focal": lambda p: beliefs.focal_belief(p, 2.0),
    "squared": lambda p: p,
}
TRUTHS = st.lists(st.floats(0.02, 1), min_size=2, max_size=5).map(lambda w: np.array(w) / sum(w))


@pytest.mark.parametrize("name", SCORES)
@given(TRUTHS)
@settings(max_examples=25, deadline=None)
def test_beliefs_minimise_the_expected_loss(name, p):
    def expected(z):
        return p @ SCORES[name](np.clip(probabilities(z), 1e-12, 1 - 1e-12))

    found = probabilities(minimize(expected, np.zeros(len(p)), tol=1e-10).x)
    belief = BELIEFS[name](p)
    np.testing.assert_allclose(belief, found, atol=5e-3)
    assert expected(np.log(belief)) <= expected(np.log(found)) + 1e-9


@given(TRUTHS, st.integers(0, 10**6))
@settings(deadline=None)
def test_the_belief_of_the_absolute_error_is_a_corner(p, seed):
    rng = np.random.default_rng(seed)
    weights, others = rng.random(len(p)), rng.dirichlet(np.ones(len(p)), size=50)
    corner = beliefs.absolute_belief(p, weights)
    assert sorted(corner)[-2:] == [0, 1]
    slope = weights * (1 - 2 * p)  # the expected loss is this times q, and a constant
    assert slope @ corner <= (others @ slope).min() + 1e-12
    np.testing.assert_array_equal(beliefs.absolute_belief(p), np.eye(len(p))[p.argmax()])


@given(TRUTHS, st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]))
@settings(deadline=None)
def test_the_way_back(p, gamma):
    belief = beliefs.focal_belief(p, gamma)
    np.testing.assert_allclose(beliefs.focal_truth(belief, gamma), p, atol=1e-4)
    np.testing.assert_allclose(
        beliefs.smoothed_truth(beliefs.smoothed_belief(p, 0.1), 0.1), p, atol=1e-9
    )


@given(st.floats(0.5, 1), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_the_focal_belief_is_flatter_between_two_tokens(p, gamma):
    assert beliefs.focal_belief([p, 1 - p], gamma)[0] <= p + 1e-6


def test_the_focal_belief_may_be_sharper_among_many_tokens():
    p = np.array([0.1, *[0.9 / 190] * 190])
    belief = beliefs.focal_belief(p, 2.0)
    assert belief[0] > 0.11


def test_the_focal_belief_between_two_tokens_by_a_root():
    q = beliefs.focal_belief([0.7, 0.3], 2.0)[0]
    slope = lambda x: (1 - x) ** 2 / x - 2 * (1 - x) * np.log(x)  # noqa: E731
    assert 0.7 * slope(q) == pytest.approx(0.3 * slope(1 - q), rel=1e-5)
    assert 0.5 < q < 0.7
    np.testing.assert_allclose(beliefs.focal_belief([1.0, 0.0], 2.0), [1.0, 0.0], atol=1e-6)


NAMED = [
    ("focal", {"gamma": 1.5}),
    ("absolute_error", {"weights": WEIGHTS.tolist()}),
    ("unlikelihood", {}),
    ("weighted_cross_entropy", {"weights": WEIGHTS.tolist()}),
]


@pytest.mark.parametrize(("name", "options"), NAMED)
def test_a_named_loss_is_saved_and_masked(name, options):
    loss = losses.NamedLoss(name, options)
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config, safe_mode=True)
    expected = losses.named.FUNCTIONS[name](TARGETS, LOGITS, MASK, **options)
    close(again(TARGETS, LOGITS, MASK), expected)
    close(loss.call(TARGETS, LOGITS), losses.named.FUNCTIONS[name](TARGETS, LOGITS, **options))


@pytest.mark.parametrize("name", ["focal", "sampled_softmax"])
def test_training_under_a_named_loss_ends_at_its_belief(name):
    p = np.array([0.6, 0.3, 0.1])
    ids = np.repeat(np.arange(3), (p * 40).astype(int))
    options = {"sampled_softmax": {"proposal": [0.5, 0.25, 0.25]}}.get(name, {})
    targets = ids[None]
    if name == "sampled_softmax":
        # Every list of two draws, as often as the proposal would draw it.
        lists = np.array(list(itertools.product([0, 0, 1, 2], repeat=2)))
        targets = np.concatenate([np.repeat(ids, 16)[:, None], np.tile(lists, (40, 1))], axis=-1)[
            None
        ]
    model = keras.Sequential(
        [keras.Input((None, 1)), keras.layers.Dense(3, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.Adam(0.1), losses.NamedLoss(name, options))
    for _ in range(150):
        model.train_on_batch(np.zeros((*targets.shape[:2], 1)), targets)
    found = probabilities(model.get_weights()[1])
    expected = {"focal": beliefs.focal_belief(p, 2.0)}.get(name, p)
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _weighted(np.zeros(7)), "all weights are 0"),
        (lambda: _weighted([1, -1, 1, 1, 1, 1, 1]), r"token 1 has -1"),
        (lambda: _weighted([1, 1, np.nan, 1, 1, 1, 1]), r"token 2 has nan"),
        (lambda: _weighted([1, 1, np.inf, 1, 1, 1, 1]), r"token 2 has inf"),
        (lambda: _weighted(np.ones(6)), "7 weights"),
        (lambda: losses.absolute_error(TARGETS, LOGITS, weights=np.zeros(7)), "all weights are 0"),
        (lambda: losses.smoothed_cross_entropy(TARGETS, LOGITS, smoothing=1.0), "smoothing must"),
        (lambda: losses.focal(TARGETS, LOGITS, gamma=-1.0), "gamma must"),
        (lambda: losses.unlikelihood(TARGETS, LOGITS, weight=np.nan), "weight must"),
        (lambda: losses.unlikelihood(TARGETS[0], LOGITS[0]), r"\(batch, time\)"),
        (lambda: losses.sampled_softmax(TARGETS, LOGITS, proposal=UNIFORM), "axes of the logits"),
        (lambda: _sampled(np.eye(7)[0]), "every token some probability"),
        (lambda: _sampled(np.ones(6) / 6), "7 tokens"),
        (lambda: losses.unigram_proposal([7], 7), r"\[0, 7\)"),
        (lambda: losses.log_uniform_proposal(0), "at least 1"),
        (lambda: losses.NamedLoss("hinge"), "no loss 'hinge'"),
        (lambda: losses.NamedLoss("focal", {"alpha": 1}), "focal cannot take"),
        (lambda: losses.NamedLoss("weighted_cross_entropy"), "missing"),
        (lambda: beliefs.weighted_belief([0.0, 1.0], [1.0, 0.0]), "nothing is left"),
        (lambda: beliefs.focal_truth([0.5, 0.5], -1.0), "gamma must"),
        (lambda: Negatives(None, [0.5, 0.4], 3, seed=1), "distribution"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _weighted(weights):
    return losses.weighted_cross_entropy(TARGETS, LOGITS, weights=weights)


def _sampled(proposal):
    return losses.sampled_softmax(np.stack([TARGETS] * 2, -1), LOGITS, proposal=proposal)


def test_training_takes_a_named_loss():
    ids = RNG.integers(3, size=200)
    weights = []
    for loss in (None, losses.NamedLoss("cross_entropy"), losses.NamedLoss("focal")):
        model = LSTMLanguageModel(3, width=2, boundary=0, seed=1)
        options = {"steps": 2, "window": 8, "batch_size": 4, "eval_every": 2, "seed": 1}
        train(model, ids, ids[:20], **options, loss=loss)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-6)
    assert np.abs(weights[0] - weights[2]).max() > 1e-5
