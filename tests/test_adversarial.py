"""The policy gradient against an enumeration; the loops on texts that are told apart easily."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from textgen_utils.models.gan import Discriminator, gumbel_noise
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.relaxed import Drawer, Relaxed
from textgen_utils.training import adversarial, critic, reinforce

TIME = 3
REWARD = np.random.default_rng(7).uniform(size=3**TIME)


class Table:
    """A critic that knows a number for each text of three tokens."""

    def probabilities(self, rows):
        return REWARD[np.asarray(rows) @ 3 ** np.arange(TIME)]


class Constant:
    """A critic with one answer for all."""

    def __init__(self, answer):
        self.answer = answer

    def probabilities(self, rows):
        return np.full(len(rows), self.answer)


def small(vocab=3, width=2):
    model = LSTMLanguageModel(vocab, width=width, boundary=0, seed=1)
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def every_text():
    """All texts of at most three tokens, filled up with the boundary, and which tokens count."""
    grid = np.stack(np.meshgrid(*[range(3)] * TIME, indexing="ij"), -1).reshape(-1, TIME)
    inside = np.cumsum(grid == 0, axis=1) - (grid == 0) == 0
    texts = np.unique(np.where(inside, grid, 0), axis=0)
    return texts, np.cumsum(texts == 0, axis=1) - (texts == 0) == 0


def probabilities(model):
    texts, inside = every_text()
    return np.exp(np.where(inside, np.asarray(model.score(texts), float), 0).sum(axis=1))


def gradient(model, texts, weights):
    """What `reinforce` follows, per weight of the model: a step of plain descent with rate 1."""
    before = [w.copy() for w in model.get_weights()]
    if not model.compiled:
        model.compile(keras.optimizers.SGD(1.0), reinforce.sum_loss())
    reinforce.reinforce(model, texts, weights)
    change = [after - b for after, b in zip(model.get_weights(), before, strict=True)]
    model.set_weights(before)
    return np.concatenate([c.ravel() for c in change])


def by_differences(model, h=0.02):
    """The gradient of the expected reward, from the enumerated expectation."""
    texts, _ = every_text()
    rewards, start, slopes = Table().probabilities(texts), model.get_weights(), []
    for k, weight in enumerate(start):
        for i in np.ndindex(weight.shape):
            ends = []
            for sign in (1, -1):
                moved = [w.copy() for w in start]
                moved[k][i] += sign * h
                model.set_weights(moved)
                ends.append(probabilities(model) @ rewards)
            slopes.append((ends[0] - ends[1]) / (2 * h))
    model.set_weights(start)
    return np.array(slopes)


@pytest.fixture(scope="module")
def exact():
    return by_differences(small())


def test_weighted_cross_entropy_has_the_gradient_of_the_expected_reward(exact):
    model, (texts, inside) = small(), every_text()
    q = probabilities(model)
    weights = len(texts) * (q * Table().probabilities(texts))[:, None] * inside
    found = gradient(model, texts.astype("int32"), weights)
    np.testing.assert_allclose(found, exact, atol=3e-4)
    assert np.abs(exact).max() > 0.02
    # a constant that is taken from all rewards changes nothing
    moved = len(texts) * (q * (Table().probabilities(texts) - 5))[:, None] * inside
    np.testing.assert_allclose(gradient(model, texts.astype("int32"), moved), found, atol=1e-4)


@pytest.mark.parametrize("prefixes", [0, 2])
def test_advantages_of_rollouts_have_that_gradient_in_expectation(exact, prefixes):
    model, rng, estimates = small(), np.random.default_rng(3), []
    drawer = Drawer(model, TIME)
    for _ in range(30):
        texts = drawer(200, rng)
        values = reinforce.text_values(drawer, Table(), texts, rng, 2, prefixes)
        estimates.append(gradient(model, texts, reinforce.advantages(values, texts, 0)))
    mean = np.mean(estimates, axis=0)
    error = np.std(estimates, axis=0, ddof=1) / len(estimates) ** 0.5
    assert (np.abs(mean - exact) < 4.5 * error + 1e-3).all()
    # and it is small enough to tell it from nothing, and from its opposite
    assert np.linalg.norm(mean - exact) < 0.3 * np.linalg.norm(exact)


def test_rollouts_estimate_the_expected_reward_after_a_prefix():
    model = small()
    (texts, _), q = every_text(), probabilities(model)
    first = np.array([[1, 2, 1], [2, 2, 2]], "int32")
    values = reinforce.text_values(
        Drawer(model, TIME), Table(), first, np.random.default_rng(1), 4000, 2
    )
    rewards = Table().probabilities(texts)
    for row, text in zip(values, first, strict=True):
        for place, value in zip((1, 2), row, strict=False):
            same = (texts[:, :place] == text[:place]).all(axis=1)
            assert value == pytest.approx(q[same] @ rewards[same] / q[same].sum(), abs=0.03)
        assert row[2] == Table().probabilities(text[None])[0]


def test_advantages_by_hand():
    texts = np.array([[1, 2, 1, 2], [2, 0, 0, 0]])
    values = np.array([[0.5, 0.9], [0.3, 0.2]])
    found = reinforce.advantages(values, texts, boundary=0)
    wanted = [[0.2, 0.2, 0.4, 0.4], [-0.2, -0.2, 0, 0]]
    np.testing.assert_allclose(found, wanted)
    with pytest.raises(ValueError, match="two texts"):
        reinforce.advantages(values[:1], texts[:1], boundary=0)


def test_the_gradient_passes_through_relaxed_texts_and_not_through_drawn_ones():
    model, judge = small(), Discriminator(3, width=4, filters=4, kernel_sizes=(1, 2), seed=1)
    noise = gumbel_noise((16, TIME, 3), np.random.default_rng(1))

    class Drawn(keras.Model):
        def __init__(self):
            super().__init__()
            self.writer = Relaxed(model)

        def call(self, put_in):
            return ops.one_hot(ops.argmax(self.writer(put_in), axis=-1), 3)

    def change(writer):
        before = [w.copy() for w in model.get_weights()]
        judge.trainable = False
        composite = keras.Sequential([writer, judge])
        composite.compile(keras.optimizers.SGD(1.0), critic.critic_loss())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras: gradients do not exist
            try:
                composite.train_on_batch(noise, np.ones(16, "float32"))
            except ValueError:  # no weight at all has a gradient
                return 0.0
        after = model.get_weights()
        model.set_weights(before)
        return max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))

    assert change(Relaxed(model)) > 1e-5
    assert change(Relaxed(model, straight_through=True)) > 1e-5
    assert change(Drawn()) == 0


def test_a_critic_separates_what_is_easily_told_apart():
    rng = np.random.default_rng(0)
    real, written = rng.integers(1, 4, size=(200, 6)), rng.integers(1, 4, size=(200, 6))
    written[np.arange(200), rng.integers(6, size=200)] = 4  # a token that real texts never have
    rows, labels = np.concatenate([real, written]), np.repeat([1, 0], 200)
    judge = Discriminator(5, width=8, filters=8, kernel_sizes=(1, 2), seed=1)
    losses = critic.train_discriminator(
        judge, rows[::2], labels[::2], steps=80, batch_size=64, learning_rate=0.01, seed=1
    )
    assert losses[0] == pytest.approx(np.log(2), abs=0.1)
    assert critic.balanced_accuracy(judge, rows[1::2], labels[1::2]) > 0.98


def test_the_optimal_critic_is_p_over_p_plus_q():
    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.1, 0.3, 0.3, 0.3])

    class Known:
        """A language of four texts of one token and its end, 4."""

        vocab_size, boundary, max_context = 5, 4, None

        def __init__(self, probabilities):
            with np.errstate(divide="ignore"):
                self.table = np.log(probabilities)

        def score(self, ids):
            return np.stack([self.table[ids[:, 0]], np.zeros(len(ids))], axis=1)

    optimal = critic.PerfectCritic(Known(p), Known(q))

    # each text as often as it is expected: accuracies are then exact
    real, written = (np.repeat(np.arange(4), np.round(100 * x).astype(int)) for x in (p, q))
    rows = np.concatenate([real, written])[:, None]
    labels = np.repeat([1, 0], 100)
    bound = (1 + 0.5 * np.abs(p - q).sum()) / 2
    texts = np.concatenate([rows, np.full_like(rows, 4)], axis=1)
    assert critic.balanced_accuracy(optimal, texts, labels) == pytest.approx(bound)
    np.testing.assert_allclose(optimal.probabilities(np.array([[0, 4], [3, 4]])), [5 / 6, 0])
    assert optimal.probabilities(np.array([[0, 0]])) == 0  # no end: no text
    # a network that can hold any table of four numbers finds it
    judge = Discriminator(4, width=8, filters=16, kernel_sizes=(1,), seed=1)
    critic.train_discriminator(
        judge, rows, labels, steps=300, batch_size=200, learning_rate=0.02, seed=1
    )
    found = judge.probabilities(np.arange(4)[:, None])
    np.testing.assert_allclose(found, p / (p + q), atol=0.08)


def corpus():
    """Texts of one to five tokens 1, ended by 0; the token 2 never occurs."""
    lengths = np.random.default_rng(0).integers(1, 6, size=(200, 1))
    return (np.arange(6) < lengths).astype("int32")


@pytest.mark.parametrize(
    "train", [adversarial.train_policy_gradient, adversarial.train_gumbel], ids=["pg", "gumbel"]
)
def test_a_critic_teaches_where_the_difference_is_easy(train):
    model = LSTMLanguageModel(3, width=8, boundary=0, seed=1)
    judge = Discriminator(3, width=8, filters=8, kernel_sizes=(1, 2), seed=1)
    options = {"straight_through": True} if train is adversarial.train_gumbel else {"prefixes": 2}
    seen = []
    before = Drawer(model, 6)(400, np.random.default_rng(9))
    history = train(
        model,
        judge,
        corpus(),
        steps=60,
        batch_size=32,
        learning_rate=0.02,
        critic_first=10,
        critic_steps=1,
        observe=seen.append,
        observe_every=30,
        seed=1,
        **options,
    )
    after = Drawer(model, 6)(400, np.random.default_rng(9))
    assert (after == 2).any(axis=1).mean() < 0.4 * (before == 2).any(axis=1).mean()
    assert seen == [0, 30, 60] == [step for step, _ in history.observed]
    columns = (history.reward, history.spread, history.accuracy, history.updated, history.seconds)
    assert {len(column) for column in columns} == {60}
    assert np.isfinite(history.reward + history.spread + history.accuracy).all()
    assert history.seconds == sorted(history.seconds)


@pytest.mark.parametrize("answer", [1e-9, 1.0])
def test_a_critic_that_wins_at_once_is_reported_and_teaches_nothing(answer):
    model = small()
    before = model.get_weights()
    with pytest.warns(RuntimeWarning, match="the reward has vanished") as caught:
        history = adversarial.train_policy_gradient(
            model, Constant(answer), every_text()[0], steps=2, batch_size=4, prefixes=1, seed=1
        )
    assert len([w for w in caught if "vanished" in str(w.message)]) == 1
    assert history.updated == [False, False]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_discriminator_that_wins_at_once_stops_relaxed_training_too():
    model, judge = small(), Discriminator(3, width=2, filters=2, kernel_sizes=(1,), seed=1)
    judge.head.bias.assign([-30.0])
    with pytest.warns(RuntimeWarning, match="the reward has vanished"):
        history = adversarial.train_gumbel(
            model, judge, every_text()[0], steps=1, batch_size=4, critic_first=0, seed=1
        )
    assert history.updated == [False]
    assert np.isfinite(model.get_weights()[0]).all()


def test_nan_is_not_trained_on():
    with pytest.raises(FloatingPointError, match="not finite"):
        adversarial.train_policy_gradient(
            small(), Constant(np.nan), every_text()[0], steps=1, batch_size=4, prefixes=0, seed=1
        )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"rows": np.zeros((0, 3), int)}, "text"),
        ({"rows": [[7, 0]]}, r"\[0, 3\)"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 1}, "batch_size"),
        ({"rollouts": 0}, "rollouts"),
        ({"prefixes": 3}, "prefixes"),
        ({"critic_steps": -1}, "critic_steps"),
    ],
)
def test_bad_input_of_the_policy_gradient(options, word):
    settings = {"rows": every_text()[0], "steps": 1, "batch_size": 4, "seed": 1, "prefixes": 1}
    settings |= options
    with pytest.raises(ValueError, match=word):
        adversarial.train_policy_gradient(small(), Table(), settings.pop("rows"), **settings)


@pytest.fixture(scope="module")
def judge():
    """An untrained critic."""
    return Discriminator(3, width=2, filters=2, kernel_sizes=(1,), seed=1)


@pytest.mark.parametrize("temperature", [-1.0, 0.0, float("nan")])
def test_bad_temperature(judge, temperature):
    with pytest.raises(ValueError, match="temperature"):
        adversarial.train_gumbel(
            small(), judge, every_text()[0], steps=1, temperature=temperature, seed=1
        )


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [1, 0, 2], [1, 0]])
def test_labels_of_one_class_are_refused(judge, labels):
    rows = np.ones((3, 2), int)
    with pytest.raises(ValueError, match="labels"):
        critic.train_discriminator(judge, rows, labels, steps=1, seed=1)
    with pytest.raises(ValueError, match="labels"):
        critic.balanced_accuracy(Constant(0.5), rows, labels)
