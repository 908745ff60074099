"""Translation and spelling to sound with and without attention: accuracy by length, recorded.

    python -m benchmarks.attention_or_not [--seeds 2] [--out FILE]

For each task, model, width and seed: the loss and the share of right outputs on the test part, in
all and by the length of the source. All models have the same data, steps, batches and optimizer.
At the end the time of a training step, the models in turn, the least of several rounds, because
other work on the machine can only add to it. Finished runs stay in the file, so that a run that
was stopped goes on.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textgen_utils import decoding, evaluation, runtime, training
from textgen_utils.batches import PairBatches
from textgen_utils.corpora import cmudict
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.files import write_atomically
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.models.transformer_seq2seq import TransformerSeq2Seq
from textgen_utils.tokenizers import Characters, Lexicon, Words
from textgen_utils.training import EncodedPairs

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/deep_text_generation/records/attention_or_not.json"
SETTINGS = {
    "widths": [32, 64],
    "steps": 400,
    "learning_rate": 0.02,
    "evaluations": 4,
    "valid": 300,
    "tasks": {
        "reviews": {"pairs": 20_000, "test": 500, "batch_size": 64, "bounds": []},
        "spelling": {"pairs": 113_484, "test": 1500, "batch_size": 128, "bounds": [8]},
    },
}
KINDS = ("none", "dot", "additive", "transformer")
# The first and the last length of each group, in source tokens.
GROUPS = {
    "reviews": [(1, 21), (22, 25), (26, 29), (30, 31), (32, 99)],
    "spelling": [(1, 4), (5, 6), (7, 8), (9, 10), (11, 99)],
}


@dataclass(frozen=True)
class Task:
    """Pairs of ids, and whether an output for a test source is right.

    Attributes:
        sizes: of the source's and the target's vocabulary.
        ends: the source's padding and the target's boundary.
        train, valid, test: pairs.
        length: the most tokens that are written.
        right: from the place of a test pair and the ids written to True or False.
    """

    name: str
    sizes: tuple[int, int]
    ends: tuple[int, int]
    train: EncodedPairs
    valid: EncodedPairs
    test: EncodedPairs
    length: int
    right: Callable[[int, np.ndarray], bool]


def reviews_task() -> Task:
    """English reviews and their Chinese translations; right is any wording of the meaning."""
    settings, reviews = SETTINGS["tasks"]["reviews"], Reviews()
    train = reviews.sample(settings["pairs"], seed=1)
    valid = reviews.sample(SETTINGS["valid"], seed=2)
    test = reviews.sample(settings["test"], seed=3)
    words = reviews.automaton("zh", "words").symbols
    english = Words(["\n", *sorted(set(reviews.automaton("en", "words").symbols) - {"\n"})])
    chinese = Lexicon.fit("".join(r.chinese + "\n" for r in train), [w for w in words if w != "\n"])

    def encoded(part: list) -> EncodedPairs:
        sources = [english.encode(r.english) for r in part]
        return EncodedPairs(sources, [chinese.encode(r.chinese + "\n") for r in part])

    listed = [reviews.translations(r.english, "en") for r in test]
    return Task(
        name="reviews",
        sizes=(english.vocab_size, chinese.vocab_size),
        ends=(english.boundary, chinese.boundary),
        train=encoded(train),
        valid=encoded(valid),
        test=encoded(test),
        length=48,
        right=lambda i, ids: chinese.decode(ids) in listed[i],
    )


def spelling_task() -> Task:
    """Words and their phonemes, without stress; right is any listed pronunciation."""
    settings, pairs = SETTINGS["tasks"]["spelling"], cmudict.load()
    letters = Characters.fit("".join(pair.source for pair in pairs.train))
    phonemes = Words.fit("".join(f" {t}" for pair in pairs.train for t in pair.targets) + "\n")
    rng = np.random.default_rng(0)
    test = [pairs.test[i] for i in rng.permutation(len(pairs.test))[: settings["test"]]]
    valid = [pairs.valid[i] for i in rng.permutation(len(pairs.valid))[: SETTINGS["valid"]]]

    def encoded(part: Any) -> EncodedPairs:
        sources = [letters.encode(pair.source) for pair in part]
        return EncodedPairs(sources, [phonemes.encode(f" {pair.target}\n") for pair in part])

    return Task(
        name="spelling",
        sizes=(letters.vocab_size, phonemes.vocab_size),
        ends=(letters.boundary, phonemes.boundary),
        train=encoded(pairs.train[: settings["pairs"]]),
        valid=encoded(valid),
        test=encoded(test),
        length=32,
        right=lambda i, ids: phonemes.decode(ids).strip() in test[i].targets,
    )


TASKS = {"reviews": reviews_task, "spelling": spelling_task}


def make_model(task: Task, kind: str, width: int, seed: int) -> Seq2Seq:
    """Return an untrained model."""
    ends = dict(zip(("padding", "boundary"), task.ends, strict=True))
    if kind == "transformer":
        return TransformerSeq2Seq(*task.sizes, width=width, max_context=48, seed=seed, **ends)
    attention = None if kind == "none" else kind
    return RecurrentSeq2Seq(*task.sizes, width=width, attention=attention, seed=seed, **ends)


def optimizer() -> Any:
    """Return Muon with the schedule that all runs share."""
    steps = SETTINGS["steps"]
    return training.muon(training.warmup_cosine(SETTINGS["learning_rate"], steps, final=0.05))


def run(task: Task, kind: str, width: int, seed: int) -> dict[str, Any]:
    """Train and test one model."""
    runtime.setup(seed=seed)
    model = make_model(task, kind, width, seed)
    settings = SETTINGS["tasks"][task.name]
    curve = training.train_pairs(
        model,
        task.train,
        task.valid,
        steps=SETTINGS["steps"],
        batch_size=settings["batch_size"],
        bounds=settings["bounds"],
        optimizer=optimizer(),
        eval_every=SETTINGS["steps"] // SETTINGS["evaluations"],
        seed=seed,
    )
    written = decoding.translate(model, task.test.sources, task.length)
    right = np.array([task.right(i, ids) for i, ids in enumerate(written)])
    lengths = np.array([len(source) for source in task.test.sources])
    groups = [(lengths >= low) & (lengths <= high) for low, high in GROUPS[task.name]]
    return {
        "task": task.name,
        "model": kind,
        "width": width,
        "seed": seed,
        "parameters": model.count_params(),
        "steps": curve.steps,
        "valid": curve.valid,
        "nats": evaluation.evaluate_pairs(model, *task.test).nats_per_token,
        "right": float(right.mean()),
        "by_length": [{"pairs": int(g.sum()), "right": int(right[g].sum())} for g in groups],
    }


def mean_lengths(task: Task) -> list[float]:
    """Return the mean length of the test sources in each group, tokens; 0 where there is none."""
    lengths = np.array([len(source) for source in task.test.sources])
    groups = [lengths[(lengths >= a) & (lengths <= b)] for a, b in GROUPS[task.name]]
    return [float(group.mean()) if len(group) else 0.0 for group in groups]


def step_ms(task: Task, rounds: int = 25) -> dict[str, float]:
    """Return the milliseconds of a training step of each model, the mean over shapes of batches."""
    settings = SETTINGS["tasks"][task.name]
    sizes = settings["batch_size"], 40, 0
    ends = dict(zip(("padding", "boundary"), task.ends, strict=True))
    batches = PairBatches(*task.train, *sizes, **ends, bounds=settings["bounds"])
    by_shape: dict[tuple, list] = {}
    for i in range(len(batches)):
        batch = batches[i]
        by_shape.setdefault(batch[0][0].shape, []).append(batch)
    models = {}
    for kind, width in itertools.product(KINDS, SETTINGS["widths"]):
        models[f"{kind} {width}"] = model = make_model(task, kind, width, 0)
        model.compile(optimizer=optimizer(), loss=training.token_loss(), jit_compile=False)
    mean = dict.fromkeys(models, 0.0)
    for same in by_shape.values():
        for name, ms in _least(models, same[0], rounds).items():
            mean[name] += ms * len(same) / len(batches)
    return mean


def _least(models: dict[str, Seq2Seq], batch: tuple, rounds: int) -> dict[str, float]:
    inputs, target, mask = batch
    least = dict.fromkeys(models, np.inf)
    for measured in [False] + rounds * [True]:  # the first call compiles
        for name, model in models.items():
            began = time.perf_counter()
            model.train_on_batch(inputs, target, mask)
            if measured:
                least[name] = min(least[name], 1000 * (time.perf_counter() - began))
    return least


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the record after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    record = {
        "command": f"python -m benchmarks.attention_or_not --seeds {options.seeds}",
        "settings": SETTINGS,
        "groups": {name: [list(group) for group in GROUPS[name]] for name in TASKS},
        "step_ms": {},
        "runs": [],
    }
    if options.out.exists():
        old = json.loads(options.out.read_text())
        if old["settings"] == SETTINGS:
            record |= {"runs": old["runs"], "step_ms": old["step_ms"]}

    def save() -> None:
        record["date"] = datetime.date.today().isoformat()
        record["machine"] = runtime.device_report()
        record["python"] = sys.version.split()[0]
        record["threads"] = os.environ.get("TF_NUM_INTRAOP_THREADS", "as many as cores")
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, json.dumps(record, indent=1) + "\n")

    names = ("task", "model", "width", "seed")
    done = {tuple(r[name] for name in names) for r in record["runs"]}
    tasks = {name: make() for name, make in TASKS.items()}
    record["mean_length"] = {name: mean_lengths(task) for name, task in tasks.items()}
    for seed, width, kind, name in itertools.product(
        range(1, options.seeds + 1), SETTINGS["widths"], KINDS, TASKS
    ):
        if (name, kind, width, seed) in done:
            continue
        record["runs"].append(run(tasks[name], kind, width, seed))
        print({k: record["runs"][-1][k] for k in (*names, "nats", "right")}, flush=True)
        save()
    for name, task in tasks.items():
        if name not in record["step_ms"]:
            record["step_ms"][name] = step_ms(task)
    save()


if __name__ == "__main__":
    main()
