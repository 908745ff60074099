"""Numbers reach the page rounded, as plain Python numbers."""

import myst_nb
import numpy as np
import pytest

from textgen_utils import prose


@pytest.fixture
def glued(monkeypatch) -> dict:
    shown = {}
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: shown.update({name: value}))
    return shown


def test_numbers_are_plain_and_rounded(glued):
    prose.numbers(loss=np.float64(0.16556084143464284), order=np.int64(7), big=np.float32(1e9))
    assert {name: repr(value) for name, value in glued.items()} == {
        "loss": "0.165561",
        "order": "7",
        "big": "1000000000.0",
    }


def test_infinity_stays_itself(glued):
    prose.numbers(loss=float("inf"))
    assert glued == {"loss": float("inf")}


def test_what_is_not_a_number_is_refused(glued):
    with pytest.raises(ValueError, match="word"):
        prose.numbers(name="word")
