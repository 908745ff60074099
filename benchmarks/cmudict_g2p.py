"""Spelling to sound on CMUdict: PER and WER on the test words, recorded.

    python -m benchmarks.cmudict_g2p [--scale cpu|gpu] [--steps N] [--out FILE]

Words are split by their hash, stress is stripped, and a hypothesis is right if it equals any listed
pronunciation of its word. A run that was stopped goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import seq2seq_run
from textgen_utils import evaluation
from textgen_utils.corpora import cmudict
from textgen_utils.corpora.types import Pair
from textgen_utils.tokenizers import Characters, Words
from textgen_utils.training import EncodedPairs

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/deep_text_generation/records/cmudict_g2p.json"
SETTINGS = {
    "cpu": {
        "model": "recurrent",
        "sizes": {"width": 256, "depth": 1, "attention": "dot", "dropout": 0.2},
        "batch_size": 128,
        "steps": 7500,
        "evaluations": 15,
        "learning_rate": 0.01,
        "bounds": [6, 8, 10, 13],
        "jit_compile": False,
        "beam": 5,
        "alpha": 0.0,
        "seed": 1,
    },
    "gpu": {
        "model": "transformer",
        "sizes": {"width": 256, "heads": 4, "depth": 3, "dropout": 0.2, "max_context": 40},
        "batch_size": 512,
        "steps": 20_000,
        "evaluations": 20,
        "learning_rate": 0.01,
        "bounds": [8, 12],
        "jit_compile": True,
        "beam": 5,
        "alpha": 0.0,
        "seed": 1,
    },
}
# Word error rates in percent, without stress; source: README of g2p-seq2seq.
PUBLISHED = {
    "Phonetisaurus": {"2007 split": 24.4, "latest cmudict": 33.89},
    "g2p-seq2seq, transformer 3x256": {"2007 split": 20.6, "latest cmudict": 30.2},
}


def load(settings: dict[str, Any]) -> seq2seq_run.Task:
    """Return words as characters and pronunciations as phonemes; any listed one is right."""
    pairs = cmudict.load()
    spelling = Characters.fit("".join(pair.source for pair in pairs.train))
    phonemes = Words.fit("".join(f" {t}" for pair in pairs.train for t in pair.targets) + "\n")

    def encoded(part: tuple[Pair, ...]) -> EncodedPairs:
        sources = [spelling.encode(pair.source) for pair in part]
        return EncodedPairs(sources, [phonemes.encode(f" {pair.target}\n") for pair in part])

    def measure(written: list[np.ndarray]) -> dict[str, Any]:
        hypotheses = [phonemes.decode(ids).split() for ids in written]
        listed = [[target.split() for target in pair.targets] for pair in pairs.test]
        return {
            "per": evaluation.phoneme_error_rate(hypotheses, listed),
            "wer": evaluation.word_error_rate(hypotheses, listed),
            "words": len(hypotheses),
        }

    return seq2seq_run.Task(
        source=spelling,
        target=phonemes,
        train=encoded(pairs.train),
        valid=encoded(pairs.valid[:1500]),
        test_sources=encoded(pairs.test).sources,
        length=32,
        measure=measure,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run, and write the record."""
    seq2seq_run.main("cmudict_g2p", load, SETTINGS, RECORD, PUBLISHED, arguments)


if __name__ == "__main__":
    main()
