import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen_utils import optimizers
from textgen_utils.optimizers import (
    AdaGrad,
    Adam,
    AdamW,
    GradientDescent,
    Lion,
    Momentum,
    Muon,
    RMSProp,
)

STEPS = 50
RULES = [GradientDescent, Momentum, AdaGrad, RMSProp, Adam, AdamW, Lion, Muon]


def in_keras(rule):
    """The Keras optimizer with the same numbers."""
    eta = rule.learning_rate
    match rule:
        case Muon():
            return keras.optimizers.Muon(
                eta,
                momentum=rule.momentum,
                nesterov=rule.nesterov,
                weight_decay=rule.weight_decay,
                rms_rate=rule.rms_rate,
            )
        case Lion():
            return keras.optimizers.Lion(
                eta, rule.beta_1, rule.beta_2, weight_decay=rule.weight_decay
            )
        case AdamW():
            return keras.optimizers.AdamW(
                eta, rule.weight_decay, rule.beta_1, rule.beta_2, rule.epsilon
            )
        case Adam():
            return keras.optimizers.Adam(eta, rule.beta_1, rule.beta_2, rule.epsilon)
        case RMSProp():
            return keras.optimizers.RMSprop(eta, rule.rho, epsilon=rule.epsilon)
        case AdaGrad():
            return keras.optimizers.Adagrad(eta, rule.initial_accumulator, rule.epsilon)
        case Momentum():
            return keras.optimizers.SGD(eta, rule.momentum, rule.nesterov)
        case GradientDescent():
            return keras.optimizers.SGD(eta)


def gradients(shape, steps=STEPS, seed=0):
    rng = np.random.default_rng(seed)
    sizes = 10 ** rng.uniform(-2, 1, size=(steps,) + (1,) * len(shape))
    return (sizes * rng.normal(size=(steps, *shape))).astype("float32")


def values(variable):
    return np.array(np.asarray(variable.value))  # a copy: a backend may go on in place


def keras_path(optimizer, theta, all_gradients):
    variable = keras.Variable(theta)
    path = [values(variable)]
    for g in all_gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
        path.append(values(variable))
    return np.stack(path)


def our_path(rule, theta, all_gradients):
    state, path = rule.start(theta), [theta]
    for g in all_gradients:
        theta, state = rule.step(theta, g, state)
        path.append(theta)
    return np.stack(path)


def assert_same_path(rule, optimizer, shape, steps=STEPS, seed=0, atol=1e-5):
    theta = np.random.default_rng(seed + 1).normal(size=shape).astype("float32")
    g = gradients(shape, steps, seed)
    expected = keras_path(optimizer, theta, g)
    size = float(np.abs(expected).max())
    np.testing.assert_allclose(our_path(rule, theta, g), expected, rtol=1e-4, atol=atol * size)
    assert np.abs(np.diff(expected, axis=0)).max() > 10 * atol * size, "hardly moved"


OTHER_NUMBERS = [
    GradientDescent(0.3),
    Momentum(0.02, 0.7),
    Momentum(0.02, 0.95, nesterov=True),
    AdaGrad(0.5, 0.0, 1e-3),
    RMSProp(0.02, 0.6, 1e-2),
    Adam(0.05, 0.5, 0.9, 1e-2),
    AdamW(0.05, 0.8, 0.99, 1e-4, weight_decay=0.5),
    Lion(0.03, 0.7, 0.9, weight_decay=0.3),
]


@pytest.mark.parametrize("shape", [(7,), (3, 5)])
@pytest.mark.parametrize("rule", OTHER_NUMBERS, ids=repr)
def test_trajectories_are_those_of_keras(rule, shape):
    assert_same_path(rule, in_keras(rule), shape)


@pytest.mark.parametrize("shape", [(3, 5), (6, 2), (4, 4), (1, 3)])
@pytest.mark.parametrize(
    "rule",
    [Muon(0.1, weight_decay=0.4), Muon(0.1, 0.5, nesterov=False, rms_rate=None)],
    ids=repr,
)
def test_muon_is_that_of_keras(rule, shape):
    assert_same_path(rule, in_keras(rule), shape, atol=1e-4)


DEFAULTS = {
    GradientDescent: keras.optimizers.SGD,
    AdaGrad: keras.optimizers.Adagrad,
    RMSProp: keras.optimizers.RMSprop,
    Adam: keras.optimizers.Adam,
    AdamW: keras.optimizers.AdamW,
    Lion: keras.optimizers.Lion,
    Muon: keras.optimizers.Muon,
}


@pytest.mark.parametrize("ours", DEFAULTS)
def test_defaults_are_those_of_keras(ours):
    assert_same_path(ours(), DEFAULTS[ours](), (3, 4))


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["momentum", "rmsprop", "adam", "lion"]),
    eta=st.floats(1e-3, 1.0),
    first=st.floats(0.01, 0.98),
    second=st.floats(0.01, 0.999),
    epsilon=st.floats(1e-6, 1.0),
    decay=st.floats(0.0, 0.5),
    seed=st.integers(0, 1000),
)
def test_trajectories_are_those_of_keras_whatever_the_numbers(
    kind, eta, first, second, epsilon, decay, seed
):
    rule = {
        "momentum": Momentum(eta, first, nesterov=seed % 2 == 1),
        "rmsprop": RMSProp(eta, second, epsilon),
        "adam": AdamW(eta, first, second, epsilon, decay),
        "lion": Lion(eta, first, second, decay),
    }[kind]
    assert_same_path(rule, in_keras(rule), (4,), steps=12, seed=seed)


def test_a_schedule_is_asked_as_keras_asks_it():
    in_steps = keras.optimizers.schedules.InverseTimeDecay(0.2, 4, 1.0)
    for ours in (GradientDescent, Momentum, AdamW):
        rule = ours(lambda done: 0.2 / (1 + done / 4))
        assert_same_path(rule, in_keras(ours(in_steps)), (3,))
    asked = []
    path = optimizers.minimise(
        GradientDescent(lambda done: asked.append(done) or 0.1 * done), np.ones_like, [0.0], 3
    )
    assert asked == [0, 1, 2]
    np.testing.assert_allclose(path[:, 0], [0.0, 0.0, -0.1, -0.3])


def quadratic(eigenvalues):
    return lambda theta: np.asarray(eigenvalues) * theta


def test_gradient_descent_on_a_quadratic_is_a_power():
    eigenvalues, start = np.array([0.1, 1.0, 4.0]), np.array([1.0, -2.0, 3.0])
    path = optimizers.minimise(GradientDescent(0.3), quadratic(eigenvalues), start, 20)
    powers = (1 - 0.3 * eigenvalues) ** np.arange(21)[:, None]
    np.testing.assert_allclose(path, powers * start, rtol=1e-12)


@pytest.mark.parametrize(("factor", "converges"), [(0.99, True), (1.01, False)])
def test_the_largest_stable_rate_is_two_over_the_largest_eigenvalue(factor, converges):
    path = optimizers.minimise(
        GradientDescent(factor * 2 / 5.0), quadratic([0.5, 5.0]), [1.0, 1.0], 400
    )
    assert (abs(path[-1]).max() < 0.1) == converges
    assert (abs(path[-1]).max() > 10) != converges


@settings(max_examples=30)
@given(kappa=st.floats(2.0, 200.0))
def test_best_momentum_has_the_rate_of_theory(kappa):
    # The spectral radius of the two-step recursion, from its matrix, against the closed form.
    root = math.sqrt(kappa)
    mu, eta = ((root - 1) / (root + 1)) ** 2, 4 / (root + 1) ** 2  # eigenvalues 1 and kappa
    for eigenvalue in (1.0, (1 + kappa) / 2, kappa):
        columns = []
        for theta, u in ((1.0, 0.0), (0.0, 1.0)):
            rule = Momentum(eta, mu)
            theta, (_, (u,)) = rule.step([theta], [eigenvalue * theta], (0, (np.array([u]),)))
            columns.append([theta[0], u[0]])
        radius = np.abs(np.linalg.eigvals(np.array(columns).T)).max()
        assert abs(radius - (root - 1) / (root + 1)) < 1e-5


@pytest.mark.parametrize("rule", [Adam(0.3), Adam(0.3, 0.5, 0.6), Lion(0.3), RMSProp(0.3, 0.0)])
def test_the_first_step_is_the_sign_of_the_gradient(rule):
    g = np.array([3.0, -0.2, 50.0, -7.0])
    theta, _ = rule.step(np.zeros(4), g, rule.start(np.zeros(4)))
    np.testing.assert_allclose(theta, -0.3 * np.sign(g), rtol=1e-4)


def test_adam_with_a_large_epsilon_is_gradient_descent_with_momentum():
    big = 1e6
    path = our_path(Adam(0.1 * big, 0.0, 0.999, big), np.ones(3), gradients((3,)))
    t = np.arange(1, STEPS + 1)[:, None]
    steps = 0.1 * np.sqrt(1 - 0.999**t) * gradients((3,))
    np.testing.assert_allclose(np.diff(path, axis=0), -steps, rtol=1e-4)


def test_orthogonalise_keeps_the_vectors_and_moves_the_values_near_one():
    rng = np.random.default_rng(3)
    for shape in ((6, 6), (4, 9), (9, 4)):
        left, s, right = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
        result = left.T @ optimizers.orthogonalise((left * s) @ right) @ right.T
        moved = s / np.sqrt((s**2).sum())
        for _ in range(5):
            moved = np.polyval([2.0315, 0, -4.7750, 0, 3.4445, 0], moved)
        np.testing.assert_allclose(result, np.diag(moved), atol=1e-6)
        assert 0.68 < np.median(moved) < 1.21


def test_the_range_of_singular_values_that_the_docstring_states():
    shares = np.geomspace(0.002, 0.99, 100)  # one value at a share of the Frobenius norm
    values = [
        np.linalg.svd(optimizers.orthogonalise(np.diag([s, math.sqrt(1 - s**2)])))[1]
        for s in shares
    ]
    assert 0.68 < np.min(values) < 0.70
    assert 1.1 < np.max(values) < 1.21
    tiny = optimizers.orthogonalise(np.diag([1e-5, 1.0]))
    assert tiny[0, 0] < 0.1


def test_muon_turns_with_the_matrix_and_adam_does_not():
    rng = np.random.default_rng(5)
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    g, theta = gradients((4, 4)).astype(float), np.zeros((4, 4))
    for rule, equivariant in ((Muon(0.1), True), (GradientDescent(), True), (Adam(), False)):
        turned = our_path(rule, turn @ theta, turn @ g)
        assert np.allclose(turned, turn @ our_path(rule, theta, g), atol=1e-6) == equivariant


@pytest.mark.parametrize("rule", RULES)
def test_a_step_leaves_its_arguments_alone_and_keeps_the_dtype(rule):
    for dtype in ("float32", "float64"):
        theta, g = np.ones((2, 3), dtype), np.full((2, 3), 0.5)
        state = rule().start(theta)
        once, later = rule().step(theta, g, state)
        rule().step(once, g, later)
        again, _ = rule().step(theta, g, state)
        np.testing.assert_array_equal(once, again)
        assert (theta == 1).all()
        assert once.dtype == dtype
        assert all(a.dtype == dtype and a.shape == (2, 3) for a in later[1])
        assert (once < theta).all()


def test_integers_become_floats():
    path = optimizers.minimise(GradientDescent(0.5), lambda theta: theta, [4, 2], 2)
    assert path.tolist() == [[4.0, 2.0], [2.0, 1.0], [1.0, 0.5]]


def test_clipping_shortens_what_is_too_long():
    np.testing.assert_allclose(optimizers.clip_by_norm([3.0, 4.0], 1.0), [0.6, 0.8])
    np.testing.assert_allclose(optimizers.clip_by_norm([3.0, 4.0], 6.0), [3.0, 4.0])
    assert optimizers.clip_by_norm(np.zeros(2), 1.0).tolist() == [0.0, 0.0]
    g = gradients((5,), 1)[0] * 100
    expected = keras.optimizers.SGD(1.0, clipnorm=0.5)
    variable = keras.Variable(np.zeros(5, "float32"))
    expected.apply([keras.ops.convert_to_tensor(g)], [variable])
    np.testing.assert_allclose(-optimizers.clip_by_norm(g, 0.5), values(variable), rtol=1e-5)
    with pytest.raises(ValueError, match="positive length, got -1"):
        optimizers.clip_by_norm([1.0], -1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientDescent(0.0), "learning_rate must be positive and finite, got 0.0"),
        (lambda: Adam(-0.1), "learning_rate must be positive"),
        (lambda: Adam(math.nan), "got nan"),
        (lambda: Lion(math.inf), "got inf"),
        (lambda: Muon("fast"), "got 'fast'"),
        (lambda: Momentum(momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: RMSProp(rho=-0.1), "rho must be in"),
        (lambda: Adam(beta_2=1.5), "beta_2 must be in"),
        (lambda: Lion(beta_1=math.nan), "beta_1 must be in"),
        (lambda: Adam(epsilon=-1e-8), "epsilon must be finite and at least 0"),
        (lambda: AdamW(weight_decay=math.inf), "weight_decay must be finite"),
        (lambda: AdaGrad(initial_accumulator=-1), "initial_accumulator must be finite"),
        (lambda: Muon(rms_rate=0), "rms_rate must be positive"),
        (lambda: Momentum(nesterov=0.9), "nesterov must be True or False, got 0.9"),
        (lambda: Muon().start(np.zeros(3)), r"Muon moves a matrix.*\(3,\)"),
        (lambda: optimizers.orthogonalise(np.zeros((2, 2, 2))), "takes a matrix"),
        (lambda: optimizers.minimise(Adam(), np.sign, [1.0], 0), "positive integer, got 0"),
        (lambda: optimizers.minimise(Adam(), lambda x: x[:1], [1.0, 2.0], 1), "shape of theta"),
        (
            lambda: optimizers.minimise(Adam(lambda done: 1.0 - done), np.sign, [1.0], 5),
            "rate -1.0 after 2 steps",
        ),
        (lambda: Adam().step(np.ones(3), np.ones(3), Adam().start(np.ones(2))), "shape of theta"),
    ],
)
def test_bad_input_is_refused_with_a_reason(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_path_that_diverges_says_where_and_what_to_look_at():
    with pytest.raises(FloatingPointError, match=r"at step \d+ of Gradient.*lower the learning"):
        optimizers.minimise(GradientDescent(1e100), quadratic([1.0]), [1.0], 50)
    calls = []

    def breaks(theta):
        calls.append(theta)
        return theta * (math.nan if len(calls) == 4 else 1.0)

    with pytest.raises(FloatingPointError, match="the gradient is not finite at step 4"):
        optimizers.minimise(Adam(), breaks, [1.0], 10)
    with pytest.raises(FloatingPointError, match="before the first step"):
        optimizers.minimise(Adam(), np.sign, [math.nan], 1)
