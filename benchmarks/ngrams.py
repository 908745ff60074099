"""Kneser-Ney of ours beside KenLM and nltk: fit, log-probabilities, perplexity.

    python -m benchmarks.build_kenlm     (once; without it KenLM is not fitted)
    python -m benchmarks.ngrams [--threads 2] [--rounds 7] [--out FILE]

Ours and KenLM's are the same estimate, modified and interpolated, on the same lines, and must give
the same perplexity. nltk, whose estimate is simpler, takes part on the beginning of one corpus: all
of it would take hours. Each starts from the tokens in the form it takes them in: ours from ids in
memory, KenLM from a file (fit) or strings (scores) of symbols with spaces between them, nltk from
lists of symbols. What ours needs to get the ids from running text is the task "encode".
"""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ngram_texts
from benchmarks.ngram_texts import TOKENIZERS, Competitor, Text
from benchmarks.turns import Contestant, Makers, command, compete
from textgen_utils.corpora import Corpus
from textgen_utils.models.ngram import NGram

CORPORA = ("Keras manual", "Tiny Shakespeare")
BEGINNING = {"train": 10_000, "valid": 250}  # characters, of the first corpus, for nltk
SLOW = 3  # rounds in which nltk takes part
SAME = 1e-4  # KenLM computes in 32 bits and sums over a text in them
REFERENCE = "textgen_utils"
NOT_BUILT = "no lmplz: python -m benchmarks.build_kenlm builds it, and says what that needs"


class Ours(Competitor):
    """Fits and scores with `NGram`."""

    def __init__(self, texts: list[Text]) -> None:
        super().__init__(texts)
        parts = ("train", "valid")
        self.ids = {(text.name, part): text.ids(part) for text in texts for part in parts}
        self.models = {name: self.fit(name) for name in self.texts}
        self.running = {text.name: text.running() for text in texts}
        self.tokenizers = {text.name: text.tokenizer() for text in texts}
        self.facts = {
            "version": f"NumPy {np.__version__}",
            "perplexity": {name: self.perplexity(name) for name in self.texts},
            "grams": {name: model.sizes_ for name, model in self.models.items()},
        }

    def fit(self, name: str) -> NGram:
        """From ids to a model."""
        text = self.texts[name]
        model = NGram(text.order, text.vocab_size, text.boundary, independent_lines=True)
        return model.fit(self.ids[name, "train"])

    def score(self, name: str) -> np.ndarray:
        """Log-probabilities of all tokens of the validation text, ends of lines included, nats."""
        return self.models[name].score(self.ids[name, "valid"][None])[0]

    def perplexity(self, name: str) -> float:
        """Of the validation text."""
        return float(np.exp(-self.score(name).mean()))

    def encode(self, name: str) -> np.ndarray:
        """From the running text of the training part to ids; nobody else does this."""
        running = self.running[name]
        return self.tokenizers[name].encode(running)


def kenlm(texts: list[Text]) -> Contestant:
    """KenLM on all texts but nltk's."""
    from benchmarks.peers.kenlm_ngram import KenLM

    return KenLM([text for text in texts if not _short(text)])


def nltk(texts: list[Text]) -> Contestant:
    """The class Nltk on the texts that it can do in seconds."""
    from benchmarks.peers.nltk_ngram import Nltk

    return Nltk([text for text in texts if _short(text)])


def measure(
    *,
    threads: int = 2,
    rounds: int = 7,
    names: tuple[str, ...] = CORPORA,
    makers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Let all take turns.

    Args:
        threads: of each competitor.
        rounds: measured turns.
        names: of the corpora; one that cannot be had is reported as missing.
        makers: by name, what makes a competitor from a list of `Text`; None: ours, KenLM, nltk.

    Returns:
        What `turns.compete` does, and "settings".

    Raises:
        ValueError: if KenLM's perplexity is not ours.
    """
    start = time.perf_counter()
    makers = {REFERENCE: Ours, "KenLM": kenlm, "nltk": nltk} if makers is None else makers
    with tempfile.TemporaryDirectory() as folder:
        texts, missing = prepare(names, Path(folder))
        bound: Makers = {name: functools.partial(make, texts) for name, make in makers.items()}
        part = compete(bound, tasks(texts), rounds=rounds, threads=threads, reference=REFERENCE)
    part["missing"] |= missing
    if not part["facts"].get("KenLM", {}).get("fits", True):
        part["missing"]["KenLM, fit"] = NOT_BUILT
    check_equal(part["facts"])
    settings = {"threads": threads, "rounds": rounds}
    settings["texts"] = [ngram_texts.described(text) for text in texts]
    return {"settings": settings, **part, "seconds": time.perf_counter() - start}


def prepare(names: tuple[str, ...], folder: Path) -> tuple[list[Text], dict[str, str]]:
    """Write all texts, and return them and the corpora that could not be had, with the reason."""
    texts, missing = [], {}
    for i, corpus in enumerate(ngram_texts.corpora(list(names))):
        if not isinstance(corpus, Corpus):
            missing[corpus[0]] = corpus[1]
            continue
        pieces = [corpus] if i else [corpus, ngram_texts.beginning(corpus, **BEGINNING)]
        for j, piece in enumerate(pieces):
            for unit in TOKENIZERS:
                texts.append(ngram_texts.prepare(piece, unit, folder / f"{i}-{j}-{unit}"))
    return texts, missing


def tasks(texts: list[Text]) -> list[dict[str, Any]]:
    """Return each thing to do with each text; fewer rounds of nltk's."""
    return [
        text.task(do) | ({"rounds": SLOW} if _short(text) else {})
        for text in texts
        for do in ("fit", "score", "perplexity", "encode")
        if do != "encode" or not _short(text)
    ]


def check_equal(facts: dict[str, dict[str, Any]]) -> None:
    """Refuse another perplexity of KenLM than ours."""
    ours = facts[REFERENCE]["perplexity"]
    for name, theirs in facts.get("KenLM", {}).get("perplexity", {}).items():
        if not abs(theirs / ours[name] - 1) < SAME:
            raise ValueError(f"{name}: KenLM's perplexity is {theirs}, ours {ours[name]}")


def _short(text: Text) -> bool:
    return text.corpus.endswith("beginning")


if __name__ == "__main__":
    command(__doc__, measure)
