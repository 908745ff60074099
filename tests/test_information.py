import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy

from textgen_utils import information as info


@st.composite
def distributions(draw, number=1):
    """`number` distributions over the same outcomes, some of them impossible."""
    size = draw(st.integers(1, 8))
    weights = st.floats(0, 1).map(lambda w: 0.0 if w < 0.1 else w)
    found = []
    for _ in range(number):
        w = draw(arrays(float, size, elements=weights))
        w[draw(st.integers(0, size - 1))] += 1
        found.append(w / w.sum())
    return found


@given(distributions())
def test_entropy_is_scipys_and_lies_between_0_and_log_n(ps):
    (p,) = ps
    h = info.entropy(p)
    assert h == pytest.approx(scipy_entropy(p), abs=1e-12)
    assert info.entropy(p, base="bits") == pytest.approx(scipy_entropy(p, base=2), abs=1e-12)
    assert -1e-12 <= h <= np.log(len(p)) + 1e-12


@given(distributions(2))
def test_kl_is_scipys_and_never_negative(pq):
    p, q = pq
    kl = info.kl_divergence(p, q)
    assert kl == pytest.approx(scipy_entropy(p, q), abs=1e-12)
    assert kl >= -1e-12
    assert info.kl_divergence(p, p) == 0


@given(distributions(2))
def test_cross_entropy_is_entropy_plus_divergence(pq):
    p, q = pq
    for base in ("nats", "bits"):
        total = info.entropy(p, base) + info.kl_divergence(p, q, base)
        assert info.cross_entropy(p, q, base) == pytest.approx(total, abs=1e-12)


@given(distributions(2))
def test_jensen_shannon_is_scipys_symmetric_and_at_most_log_2(pq):
    p, q = pq
    js = info.jensen_shannon(p, q)
    # SciPy returns the square root, whose error near 0 is that of the root
    assert js == pytest.approx(np.nan_to_num(jensenshannon(p, q)) ** 2, abs=1e-9)
    assert js == pytest.approx(info.jensen_shannon(q, p), abs=1e-12)
    assert -1e-12 <= js <= np.log(2) + 1e-12


def test_closed_forms():
    assert info.entropy([0.5, 0.5], "bits") == 1
    assert info.entropy([0.5, 0.25, 0.25], "bits") == 1.5
    assert info.entropy([1, 0]) == 0
    assert info.entropy(np.full(8, 1 / 8)) == pytest.approx(np.log(8))
    assert info.kl_divergence([0.5, 0.5], [0.25, 0.75], "bits") == pytest.approx(
        1 - 0.5 * np.log2(3)
    )
    assert info.jensen_shannon([1, 0], [0, 1], "bits") == 1
    assert info.perplexity(np.log(7)) == pytest.approx(7)
    assert info.perplexity(np.inf) == np.inf
    assert info.to_bits(np.log(2)) == 1
    assert info.to_nats(info.to_bits(1.3)) == pytest.approx(1.3)


def test_impossible_outcomes():
    assert info.cross_entropy([0.5, 0.5], [1, 0]) == np.inf
    assert info.kl_divergence([0.5, 0.5], [1, 0]) == np.inf
    assert info.kl_divergence([1, 0], [1, 0]) == 0
    assert info.kl_divergence([1, 0], [0.5, 0.5]) == pytest.approx(np.log(2))


def test_batches_are_rows():
    p = np.array([[0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    q = np.array([[0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    for f in (info.cross_entropy, info.kl_divergence, info.jensen_shannon):
        np.testing.assert_array_equal(f(p, q), [f(*rows) for rows in zip(p, q, strict=True)])
    np.testing.assert_array_equal(info.entropy(p), [info.entropy(row) for row in p])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: info.entropy([0.5, 0.6]), "sum to 1"),
        (lambda: info.entropy([1.5, -0.5]), "non-negative"),
        (lambda: info.entropy([np.nan, 1.0]), "non-negative"),
        (lambda: info.entropy([]), "outcomes"),
        (lambda: info.entropy([1.0], base="bans"), "bans"),
        (lambda: info.cross_entropy([1.0], [0.5, 0.5]), "one shape"),
        (lambda: info.kl_divergence([0.5, 0.5], [0.5, 0.4]), "q must sum"),
        (lambda: info.empirical([], 3), "at least one"),
        (lambda: info.empirical([0.5], 3), "integer"),
        (lambda: info.empirical([3], 3), r"\[0, 3\)"),
        (lambda: info.empirical([-1], 3), r"\[0, 3\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_empirical_minimises_cross_entropy():
    ids = np.array([[0, 1, 1], [2, 1, 0]])
    p = info.empirical(ids, 4)
    np.testing.assert_allclose(p, [2 / 6, 3 / 6, 1 / 6, 0])
    rng = np.random.default_rng(0)
    for q in rng.dirichlet(np.ones(4), size=100):
        assert info.cross_entropy(p, q) > info.entropy(p)
