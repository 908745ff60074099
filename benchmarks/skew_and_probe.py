"""A skew planted in the grammar of the reviews, and probes of the states of an LSTM, recorded.

    python -m benchmarks.skew_and_probe [--seeds 3] [--out FILE]

For each seed one LSTM learns the reviews as they are, and one a language in which the first
judgement of a kettle is a complaint with probability 0.8. Recorded is how often each complains,
by product and temperature, among the valid continuations of first sentences. Then a linear probe
reads four latent factors from the states of the first LSTM, and of one that was never trained, at
four places of a review. Finished runs stay in the file, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from benchmarks import records
from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import lines
from textgen_utils.corpora.reviews import Lexicon, Review, Reviews
from textgen_utils.corpora.reviews.grammar import Grammar
from textgen_utils.corpora.reviews.meaning import State
from textgen_utils.models.compiled import shift_right
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.tokenizers import Words

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/generative_models/records/skew_and_probe.json"
SETTINGS = {
    "reviews": 20_000,
    "valid": 300,
    "width": 128,
    "steps": 300,
    "batch_size": 64,
    "learning_rate": 0.02,
    "skew": {"product": "kettle", "share": 0.8},
    "temperatures": [1.0, 0.8, 0.6, 0.4, 0.2],
    "continuations": 250,
    "probe": {"train": 2_000, "test": 1_000, "ridge": 1.0},
}
# First sentences of eight tokens each.
OPENINGS = [
    "I bought {this} in a sale.",
    "I got {this} for my birthday.",
    "For my birthday I got {this}.",
    "{This} {was} recommended by a colleague.",
]
NOUNS = {"running shoes": "shoes"}  # of one word
PLACES = ["first sentence", "first clause", "all but the verdict", "everything"]


class SkewedGrammar(Grammar):
    """The grammar, but the first judgement of one product is a complaint with a given share."""

    def __init__(self, lexicon: Lexicon, product: str, share: float) -> None:
        super().__init__(lexicon)
        self.product, self.share = product, {-1: share, +1: 1 - share}

    def _degree(self, state: State) -> list[tuple]:
        rows = super()._degree(state)
        if state.product != self.product or state.first:
            return rows
        total = {s: sum(p for p, _, a in rows if a.polarity == s) for s in self.share}
        return [(p * self.share[a.polarity] / total[a.polarity], e, a) for p, e, a in rows]


class SkewedReviews(Reviews):
    """The reviews of a skewed grammar."""

    def __init__(self, product: str, share: float) -> None:
        super().__init__()
        self.grammar = SkewedGrammar(self.lexicon, product, share)


def trained(reviews: Reviews, words: Words, seed: int) -> LSTMLanguageModel:
    """Return the chapter's LSTM, trained."""
    train, valid = (
        words.encode(reviews.text(SETTINGS[name], seed=part, language="en"))
        for part, name in enumerate(("reviews", "valid"), 1)
    )
    model, steps = network(words, seed), SETTINGS["steps"]
    training.train(
        model,
        train,
        valid,
        steps=steps,
        window=40,
        batch_size=SETTINGS["batch_size"],
        eval_every=steps // 2,
        seed=seed,
        lines=True,
        optimizer=training.muon(
            training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
        ),
    )
    return model


def network(words: Words, seed: int) -> LSTMLanguageModel:
    """Return the chapter's LSTM, untrained."""
    width, boundary = SETTINGS["width"], words.boundary
    return LSTMLanguageModel(words.vocab_size, width=width, boundary=boundary, seed=seed)


def prompts(reviews: Reviews, product: str) -> list[str]:
    """Return first sentences about a product."""
    plural, noun = reviews.lexicon.products[product].plural, NOUNS.get(product, product)
    this, was = ("these", "were") if plural else ("this", "was")
    forms = {"this": f"{this} {noun}", "This": f"{this.title()} {noun}", "was": was}
    return [opening.format(**forms) for opening in OPENINGS]


def complaints(
    model: Any, reviews: Reviews, words: Words, product: str, temperature: float, seed: int
) -> tuple[int, int]:
    """Return how many valid continuations complain first, and how many there are."""
    begun = np.stack([words.encode(prompt) for prompt in prompts(reviews, product)])
    begun = np.repeat(begun, SETTINGS["continuations"], axis=0)
    written = decoding.generate(
        model, begun, 40, temperature=temperature, stop=words.boundary, seed=seed
    )
    polarities = []
    for row in np.concatenate([begun, written], axis=1):
        try:
            meaning = reviews.parse(words.decode(row).split("\n")[0], "en")
        except ValueError:
            continue
        polarities.append(meaning.clauses[0].polarity)
    return polarities.count(-1), len(polarities)


def factors(review: Review) -> dict[str, Any]:
    """Return what the probes look for."""
    meaning = review.meaning
    first = meaning.clauses[0].polarity
    return {
        "product": meaning.product,
        "polarity": first,
        "link": meaning.link,
        "verdict": meaning.verdict,
    }


def places(reviews: Reviews, review: Review) -> list[int]:
    """Return how many words have been read at each of `PLACES`."""
    words, events = reviews.words(review.english, "en"), review.meaning.events()
    offset, after = 0, {}
    for event, options in zip(events, reviews.wordings(review.meaning, "en"), strict=True):
        fitting = [w for _, w in options if tuple(words[offset : offset + len(w)]) == tuple(w)]
        offset += max(map(len, fitting))
        after.setdefault(event.factor, []).append(offset)
    # The full stop after the last clause says that there is no other.
    return [after["opening"][0], after["opinion"][0], after["opinion"][-1] + 1, len(words)]


def states(model: LSTMLanguageModel, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the hidden states after so many words, (n, places, width)."""
    read = shift_right(rows, model.boundary)
    parts = [
        ops.convert_to_numpy(model.recurrent[0](model.embedding(read[i : i + 500])))
        for i in range(0, len(read), 500)
    ]
    return np.take_along_axis(np.concatenate(parts), at[:, :, None], axis=1)


def probe(x: np.ndarray, labels: np.ndarray, train: int, ridge: float) -> float:
    """Return the share that a linear probe, fitted by least squares, reads rightly."""
    mean, spread = x[:train].mean(axis=0), x[:train].std(axis=0) + 1e-6
    x = np.concatenate([(x - mean) / spread, np.ones((len(x), 1))], axis=1)
    values = np.unique(labels)
    one_hot = (labels[:train, None] == values).astype(float)
    gram = x[:train].T @ x[:train] + ridge * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x[:train].T @ one_hot)
    return float((values[(x[train:] @ weights).argmax(axis=1)] == labels[train:]).mean())


def probes(model: LSTMLanguageModel, reviews: Reviews, words: Words) -> dict[str, list[float]]:
    """Return what is read rightly of each factor at each place."""
    setting = SETTINGS["probe"]
    sample = reviews.sample(setting["train"] + setting["test"], seed=3)
    rows, _ = lines(words.encode("".join(r.english + "\n" for r in sample)), words.boundary)
    found = states(model, rows, np.array([places(reviews, review) for review in sample]))
    labels = [factors(review) for review in sample]
    return {
        name: [
            probe(
                found[:, k], np.array([f[name] for f in labels]), setting["train"], setting["ridge"]
            )
            for k in range(len(PLACES))
        ]
        for name in labels[0]
    }


def run(seed: int) -> dict[str, Any]:
    """Train, sample and probe."""
    runtime.setup(seed=seed)
    plain, skewed = Reviews(), SkewedReviews(**SETTINGS["skew"])
    words = Words(plain.oracle("en", "words").tokens)
    models = {name: trained(r, words, seed) for name, r in (("plain", plain), ("skewed", skewed))}
    test = words.encode(plain.text(300, seed=4, language="en"))
    rows, _ = lines(test, words.boundary)
    gap = evaluation.text_log_probs(plain.oracle("en", "words"), rows)
    gap -= evaluation.text_log_probs(models["plain"], rows)
    return {
        "seed": seed,
        "excess": float(gap.mean()),
        "complaints": [
            dict(zip(("complaints", "texts"), counted, strict=True))
            | {"language": name, "product": product, "temperature": temperature}
            for name, model in models.items()
            for product in plain.lexicon.products
            for temperature in SETTINGS["temperatures"]
            for counted in [complaints(model, plain, words, product, temperature, seed)]
        ],
        "probes": {
            "trained": probes(models["plain"], plain, words),
            "untrained": probes(network(words, seed), plain, words),
        },
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    record = {
        "command": f"python -m benchmarks.skew_and_probe --seeds {options.seeds}",
        "settings": SETTINGS,
        "places": PLACES,
        "runs": [],
    }
    record["runs"] = records.finished(options.out, SETTINGS)
    done = {r["seed"] for r in record["runs"]}
    for seed in range(1, options.seeds + 1):
        if seed in done:
            continue
        record["runs"].append(run(seed))
        print(seed, record["runs"][-1]["probes"], flush=True)
        records.save(options.out, record)


if __name__ == "__main__":
    main()
