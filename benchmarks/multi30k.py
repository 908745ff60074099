"""English to German image captions: BLEU on Multi30k's test set of 2016, recorded.

    TEXTGEN_DATA=DIR python -m benchmarks.multi30k [--scale cpu|gpu] [--steps N] [--out FILE]

Captions are cut into byte pairs, learnt from the training part of each language. BLEU is
sacreBLEU's with its tokenizer 13a, with case, against the one reference. A run that was stopped
goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import seq2seq_run
from textgen_utils import evaluation
from textgen_utils.corpora import multi30k
from textgen_utils.corpora.types import Pair
from textgen_utils.tokenizers import BytePair
from textgen_utils.training import EncodedPairs

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/deep_text_generation/records/multi30k.json"
SETTINGS = {
    "cpu": {
        "model": "recurrent",
        "sizes": {
            "width": 256,
            "depth": 1,
            "embedding_width": 128,
            "attention": "dot",
            "dropout": 0.3,
        },
        "vocab_size": 4000,
        "batch_size": 128,
        "steps": 1500,
        "evaluations": 15,
        "learning_rate": 0.01,
        "bounds": [12, 16, 22],
        "jit_compile": False,
        "beam": 5,
        "alpha": 1.0,
        "seed": 1,
    },
    "gpu": {
        "model": "transformer",
        "sizes": {"width": 256, "heads": 8, "depth": 3, "dropout": 0.3, "max_context": 80},
        "vocab_size": 8000,
        "batch_size": 256,
        "steps": 8000,
        "evaluations": 16,
        "learning_rate": 0.005,
        "bounds": [12, 16, 22],
        "jit_compile": True,
        "beam": 5,
        "alpha": 1.0,
        "seed": 1,
    },
}
# No figure of others by the same convention was at hand.
PUBLISHED: dict[str, Any] = {}


def load(settings: dict[str, Any]) -> seq2seq_run.Task:
    """Return captions as byte pairs; the test part is judged by BLEU."""
    pairs = multi30k.load("en", "de")
    english, german = (
        BytePair.fit("".join(line + "\n" for line in lines), settings["vocab_size"])
        for lines in zip(*((pair.source, pair.target) for pair in pairs.train), strict=True)
    )

    def encoded(part: tuple[Pair, ...]) -> EncodedPairs:
        sources = [english.encode(pair.source) for pair in part]
        return EncodedPairs(sources, [german.encode(pair.target + "\n") for pair in part])

    def measure(written: list[np.ndarray]) -> dict[str, Any]:
        texts = [german.decode(ids) for ids in written]
        result = evaluation.bleu(texts, [pair.targets for pair in pairs.test])
        examples = zip(pairs.test[:5], texts[:5], strict=True)
        return {
            "bleu": result.score,
            "signature": result.signature,
            "captions": len(texts),
            "examples": [[pair.source, pair.target, text] for pair, text in examples],
        }

    return seq2seq_run.Task(
        source=english,
        target=german,
        train=encoded(pairs.train),
        valid=encoded(pairs.valid),
        test_sources=encoded(pairs.test).sources,
        length=60,
        measure=measure,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run, and write the record."""
    seq2seq_run.main("multi30k", load, SETTINGS, RECORD, PUBLISHED, arguments)


if __name__ == "__main__":
    main()
