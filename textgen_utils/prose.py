"""Measured numbers for the prose of a page, so that none is typed by hand."""

from __future__ import annotations

import math


def numbers(**values: float) -> None:
    """Offer numbers to the text of a notebook, where the role ``glue:text`` shows them.

    Six significant digits are kept: more would differ between machines, whose sums are taken in
    different orders, and no sentence needs them.

    Args:
        **values: name to number.

    Raises:
        ValueError: if a value is not a number (NaN is none); nothing is offered then.
        ModuleNotFoundError: if MyST-NB is missing; it comes with ``textgen_utils[book]``.
    """
    from myst_nb import glue

    checked = {name: _number(name, value) for name, value in values.items()}
    for name, value in checked.items():
        whole = math.isfinite(value) and value == int(value) and abs(value) < 1e6
        glue(name, int(value) if whole else float(f"{value:.6g}"), display=False)


def _number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"{name} must be one number, got {value!r}")
    return number
