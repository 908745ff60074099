"""The committed record of all comparisons: whole, in the form that the page draws."""

import json

import pytest

from benchmarks import suite
from benchmarks.turns import table

RECORD = json.loads(suite.RECORD.read_text())


def test_every_part_is_there_with_versions_and_hardware():
    assert list(RECORD["parts"]) == list(suite.PARTS)
    machine = RECORD["machine"]
    assert machine["cores"] >= RECORD["threads"]
    for name in ("torch", "keras-hub", "transformers", "nltk", "kenlm", "tensorflow"):
        assert machine["versions"][name]


@pytest.mark.parametrize("name", suite.PARTS)
def test_quartiles_are_in_order_and_the_reference_has_the_ratio_one(name):
    part = RECORD["parts"][name]
    assert table(part)
    for row in part["results"]:
        assert row["seconds"] == sorted(row["seconds"])
        assert row["seconds"][0] > 0
        if row["ratio"] is not None:
            assert row["ratio"] == sorted(row["ratio"])
            assert row["name"] != part["reference"] or row["ratio"] == [1, 1, 1]


def test_nothing_was_missing():
    assert all(not part["missing"] for part in RECORD["parts"].values())
