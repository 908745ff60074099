"""Integers into batches: random windows of one long text, and padded pairs of sequences.

Batch `i` of epoch `e` depends on (seed, e, i) only, so that a run that was stopped goes on with
the batches that it would have seen.
"""

from textgen_utils.batches.padding import lines, pad
from textgen_utils.batches.pairs import PairBatches
from textgen_utils.batches.windows import Windows

__all__ = ["PairBatches", "Windows", "lines", "pad"]
