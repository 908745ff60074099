"""What the recorded runs of sequence-to-sequence models share: train, write, measure, record."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textgen_utils import decoding, runtime, training
from textgen_utils.files import write_atomically
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.models.seq2seq import Seq2Seq
from textgen_utils.models.transformer_seq2seq import TransformerSeq2Seq
from textgen_utils.tokenizers.vocabulary import Tokenizer

MODELS = {"recurrent": RecurrentSeq2Seq, "transformer": TransformerSeq2Seq}


@dataclass(frozen=True)
class Task:
    """Pairs as ids, and how to judge what was written for the test part.

    Attributes:
        source, target: tokenizers.
        train, valid: pairs of ids.
        test_sources: ids of each source.
        length: the most tokens that are written.
        measure: from the target ids of the test part to named figures.
    """

    source: Tokenizer
    target: Tokenizer
    train: training.EncodedPairs
    valid: training.EncodedPairs
    test_sources: list[np.ndarray]
    length: int
    measure: Callable[[list[np.ndarray]], dict[str, Any]]


def make_model(task: Task, settings: dict[str, Any]) -> Seq2Seq:
    """Return the untrained model of the settings' name and sizes."""
    return MODELS[settings["model"]](
        task.source.vocab_size,
        task.target.vocab_size,
        boundary=task.target.boundary,
        padding=task.source.boundary,
        seed=settings["seed"],
        **settings["sizes"],
    )


def run(task: Task, settings: dict[str, Any], checkpoint: Path | None = None) -> dict[str, Any]:
    """Train, write the test part greedily and by beam search, and return what was measured."""
    runtime.setup(seed=settings["seed"])
    model = make_model(task, settings)
    schedule = training.warmup_cosine(settings["learning_rate"], settings["steps"], final=0.02)
    curve = training.train_pairs(
        model,
        task.train,
        task.valid,
        steps=settings["steps"],
        batch_size=settings["batch_size"],
        optimizer=training.muon(schedule),
        eval_every=settings["steps"] // settings["evaluations"],
        bounds=settings["bounds"],
        checkpoint=checkpoint,
        jit_compile=settings["jit_compile"],
        seed=settings["seed"],
    )
    greedy = decoding.translate(model, task.test_sources, task.length)
    searched = decoding.translate(
        model,
        task.test_sources,
        task.length,
        beam=settings["beam"],
        alpha=settings["alpha"],
    )
    return {
        "settings": settings,
        "parameters": model.count_params(),
        "curve": {"steps": curve.steps, "valid": curve.valid, "seconds": curve.seconds},
        "test": task.measure(greedy),
        "beam": {"width": settings["beam"], "alpha": settings["alpha"], **task.measure(searched)},
    }


def main(
    name: str,
    load: Callable[[dict[str, Any]], Task],
    settings: dict[str, dict[str, Any]],
    record: Path,
    published: dict[str, Any],
    arguments: list[str] | None = None,
) -> dict[str, Any]:
    """Read the command line, run what it asks for, and write the record.

    Args:
        name: of the benchmark, for the command in the record.
        load: makes the task from one of the settings.
        settings: by scale, "cpu" and "gpu".
        record: where the record goes if nothing else is asked for.
        published: figures of others, with their conventions.
        arguments: of the command line; None: the process's own.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", choices=tuple(settings), default=runtime.scale())
    parser.add_argument("--steps", type=int, help="instead of the scale's own")
    parser.add_argument("--out", type=Path, default=record)
    options = parser.parse_args(arguments)
    chosen = dict(settings[options.scale])
    command = f"python -m benchmarks.{name} --scale {options.scale}"
    if options.steps is not None:
        chosen["steps"] = options.steps
        command += f" --steps {options.steps}"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out.with_suffix(".checkpoint")
    result = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": runtime.device_report(),
        "python": sys.version.split()[0],
        "published": published,
        **run(load(chosen), chosen, checkpoint),
    }
    write_atomically(options.out, json.dumps(result, indent=1) + "\n")
    checkpoint.unlink(missing_ok=True)
    print(json.dumps(result["test"]), json.dumps(result["beam"]))
    return result
