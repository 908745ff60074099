"""One network for English and Chinese, or one for each, where English is scarce; recorded.

    python -m benchmarks.two_languages [--seeds 3] [--out FILE]

There are many Chinese reviews and few or many English ones. `en` and `zh`: a network for one
language. `both`: one network for the two, with as many parameters and as many steps as the two
networks have together. Half of what it reads is English, repeated as often as that takes, so that
a language is read as much by it as by a network of its own. It thereby makes twice as many steps as
each of them, so that a control does the same: one language, in twice the steps of half the size.
The two languages share no word, only the grammar behind them. Finished runs stay in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from benchmarks import records
from textgen_utils import evaluation, runtime, training
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.models.base import LanguageModel, to_numpy
from textgen_utils.models.recurrent import LSTMLanguageModel

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/loss_optimization/records/two_languages.json"
SETTINGS: dict[str, Any] = {
    "english": [300, 1_500, 20_000],
    "chinese": 20_000,
    "valid": 300,
    "test": 1_000,
    "width": {"one": 128, "both": 181},
    "steps": {"one": 300, "both": 600, "control": 600},
    "batch_size": {"one": 64, "both": 64, "control": 32},
    "evaluations": 4,
    "window": 40,
    "learning_rate": 0.02,
}
Text = list[np.ndarray]


class Task:
    """Reviews in ids of one language or of two.

    Args:
        languages: "en", "zh" or both.

    Attributes:
        tokens: the words of the languages, the newline first.
        oracles: the truth of each language.
    """

    def __init__(self, languages: tuple[str, ...]) -> None:
        self.reviews = Reviews()
        self.languages = languages
        self.oracles = {name: self.reviews.oracle(name, "words") for name in languages}
        words = [w for oracle in self.oracles.values() for w in oracle.tokens if w != "\n"]
        self.tokens = ["\n", *words]
        self._ids = {token: i for i, token in enumerate(self.tokens)}

    def text(self, count: int, seed: int, language: str) -> Text:
        """Return reviews in ids, each with the newline at its end."""
        text = self.reviews.text(count, seed=seed, language=language)
        words = [self.reviews.words(line, language) for line in text.splitlines()]
        return [np.array([*map(self._ids.__getitem__, row), 0], np.int32) for row in words]

    def nats(self, model: LanguageModel, text: Text, language: str) -> float:
        """Return nats a review, the language being given: to name it is not counted."""
        log_probs = evaluation.token_log_probs(model, np.concatenate(text), lines=True)
        first, _ = model.step(np.zeros(1, np.int32), model.initial_state(1))
        known = np.isin(self.tokens, self.oracles[language].tokens)
        named = logsumexp(to_numpy(first)[0, known])
        return float(named - log_probs.sum() / len(text))

    def truth(self, count: int, seed: int, language: str) -> float:
        """Return what the truth needs for the same text, nats a review."""
        text = self.reviews.text(count, seed=seed, language=language).splitlines()
        return -float(np.mean([self.reviews.log_prob(line, language) for line in text]))


def mixed(texts: list[Text], seed: int) -> np.ndarray:
    """Return one text of all, in random order, the shorter ones repeated to the same length."""
    count = max(map(len, texts))
    rows = [text[i % len(text)] for text in texts for i in range(count)]
    order = np.random.default_rng(seed).permutation(len(rows))
    return np.concatenate([rows[i] for i in order])


def run(kind: str, languages: tuple[str, ...], english: int, seed: int) -> dict[str, Any]:
    """Train a network of a kind on its languages and test it on each."""
    runtime.setup(seed=seed)
    task = Task(languages)
    sizes = {"en": english, "zh": SETTINGS["chinese"]}
    texts = [task.text(sizes[name], 1, name) for name in task.languages]
    valid = [task.text(SETTINGS["valid"], 2, name) for name in task.languages]
    steps, width = SETTINGS["steps"][kind], SETTINGS["width"]["both" if kind == "both" else "one"]
    model = LSTMLanguageModel(len(task.tokens), width=width, boundary=0, seed=seed)
    schedule = training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05)
    curve = training.train(
        model,
        mixed(texts, seed),
        mixed(valid, seed),
        steps=steps,
        window=SETTINGS["window"],
        batch_size=SETTINGS["batch_size"][kind],
        optimizer=training.muon(schedule),
        eval_every=steps // SETTINGS["evaluations"],
        lines=True,
        seed=seed,
    )
    test = {name: task.text(SETTINGS["test"], 3, name) for name in task.languages}
    return {
        "kind": kind,
        "languages": list(task.languages),
        "english": english,
        "seed": seed,
        "parameters": model.count_params(),
        "seconds": round(curve.seconds[-1], 1),
        "best_step": int(curve.steps[int(np.argmin(curve.valid))]),
        "nats": {name: task.nats(model, text, name) for name, text in test.items()},
        "truth": {name: task.truth(SETTINGS["test"], 3, name) for name in task.languages},
    }


def asked() -> list[tuple[str, tuple[str, ...], int]]:
    """Kind, languages and English reviews (0: none) of each run of a seed."""
    sizes = SETTINGS["english"]
    alone = [("one", ("zh",), 0), *(("one", ("en",), size) for size in sizes)]
    both = [("both", ("en", "zh"), size) for size in sizes]
    return [*alone, *both, ("control", ("zh",), 0), ("control", ("en",), max(sizes))]


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the record."""
    options = records.options(__doc__, RECORD, arguments)
    runs = records.finished(options.out, SETTINGS)
    done = {(r["kind"], tuple(r["languages"]), r["english"], r["seed"]) for r in runs}
    command = f"python -m benchmarks.two_languages --seeds {options.seeds}"
    for seed in range(1, options.seeds + 1):
        for kind, languages, english in asked():
            if (kind, languages, english, seed) in done:
                continue
            runs.append(run(kind, languages, english, seed))
            print(kind, languages, english, seed, runs[-1]["nats"], runs[-1]["truth"], flush=True)
            records.save(options.out, {"command": command, "settings": SETTINGS, "runs": runs})


if __name__ == "__main__":
    main()
