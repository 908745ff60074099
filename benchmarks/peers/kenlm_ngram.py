"""KenLM: `lmplz` estimates a model, its Python module answers.

`lmplz` is a program that the package does not install: `python -m benchmarks.build_kenlm` builds
it. Without it nothing is fitted, and the module is asked for the probabilities of our own model.

Options, as its help recommends: a bound for the memory of its sorting and a folder for temporary
files. The bound is the one that was fastest of those tried on these texts; its default, 80 % of
the machine's memory, takes several times as long. Where counts of counts do not allow an estimate
of the discounts, those it proposes are taken, which are also ours.

Given its discounts, ours and its probabilities are the same to 32 bits. The discounts differ a
little: the last gram of each order enters its counts of counts with another count than that which
is discounted, and it estimates them also where no gram was counted four times. On the corpora
measured here that moves the perplexity by less than 1 in 100,000.

Source: K. Heafield, I. Pouzyrevsky, J. Clark and P. Koehn, "Scalable modified Kneser-Ney language
model estimation", 2013; K. Heafield, "KenLM: faster and smaller language model queries", 2011.
"""

from __future__ import annotations

import importlib.metadata
import math
import subprocess
from pathlib import Path

import kenlm
import numpy as np

from benchmarks.build_kenlm import find_lmplz
from benchmarks.ngram_texts import UNKNOWN, Competitor, Text
from benchmarks.peers import arpa
from textgen_utils.models.ngram import NGram

MEMORY = "50M"


def estimate(lmplz: str, text: Text) -> Path:
    """Estimate a model of a text's training part and return its file, in the ARPA format."""
    path = Path(text.folder) / "kenlm.arpa"
    command = [lmplz, "--order", str(text.order), "--memory", MEMORY, "--discount_fallback"]
    files = ["--temp_prefix", text.folder, "--text", str(text.path("train")), "--arpa", str(path)]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"lmplz failed:\n{done.stderr}")
    path.with_suffix(".log").write_text(done.stderr)  # the discounts
    return path


def ours(text: Text) -> Path:
    """Write our own model of a text and return its file."""
    model = NGram(text.order, text.vocab_size, text.boundary, independent_lines=True)
    symbols, path = text.symbols(), Path(text.folder) / "ours.arpa"
    arpa.write(model.fit(text.ids("train")), symbols, symbols.index(UNKNOWN), path)
    return path


def load(path: Path) -> kenlm.Model:
    """Read a model without a word."""
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    return kenlm.Model(str(path), config)


class KenLM(Competitor):
    """Fits with `lmplz`, if there is one, and scores with the Python module."""

    def __init__(self, texts: list[Text]) -> None:
        super().__init__(texts)
        self.lmplz = find_lmplz()
        files = {t.name: estimate(self.lmplz, t) if self.lmplz else ours(t) for t in texts}
        self.models = {name: load(path) for name, path in files.items()}
        self.valid = {text.name: text.lines("valid") for text in texts}
        self.facts = {
            "version": f"KenLM {importlib.metadata.version('kenlm')}",
            "fits": self.lmplz is not None,
            "perplexity": {name: self.perplexity(name) for name in self.texts},
        }

    def __call__(self, task: dict) -> float | None:
        """Return the seconds of a task; None for a fit without `lmplz`."""
        if task["do"] == "fit" and self.lmplz is None:
            return None
        return super().__call__(task)

    def fit(self, name: str) -> None:
        """From a file of lines to a file with the model."""
        estimate(self.lmplz, self.texts[name])

    def score(self, name: str) -> np.ndarray:
        """Log-probabilities of all tokens of the validation text, ends of lines included, nats."""
        model = self.models[name]
        scores = [p for line in self.valid[name] for p, _, _ in model.full_scores(line)]
        return np.array(scores) * math.log(10)

    def perplexity(self, name: str) -> float:
        """Of the validation text, from the sums that KenLM forms by itself."""
        model, lines = self.models[name], self.valid[name]
        tokens = self.texts[name].tokens["valid"]
        return 10 ** (-sum(model.score(line) for line in lines) / tokens)
