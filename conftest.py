"""Shared by the package's tests and by nbval, which runs the notebooks."""

from __future__ import annotations

import os

import hypothesis
import pytest

# Examples take longer on a busy machine: that is no failure of the code.
hypothesis.settings.register_profile("book", deadline=None)
hypothesis.settings.load_profile("book")


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Compare no stderr of notebooks: libraries write to it what differs between machines."""
    if collector.path.suffix == ".ipynb" and hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On another backend, skip the tests that teach TensorFlow itself; the report lists them."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        return
    for item in items:
        if item.get_closest_marker("tensorflow"):
            item.add_marker(pytest.mark.skip(reason="about TensorFlow itself"))
