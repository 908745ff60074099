"""When several devices pay: communication and computation, each measured alone and then together.

    python -m benchmarks.distributed [--rounds 15] [--out FILE]

Two processes on this machine, each with one thread, take turns in one run: they add up vectors of
several sizes; one of them takes whole steps while the other waits; both share the steps. From the
first two the model `StepTime` predicts the third. Then one process with one thread compares number
formats and XLA, the competitors taking turns. A time is the least of its round, which is what the
machine needs when nothing else disturbs it; the record holds the quartiles over rounds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from textgen_utils import runtime, training
from textgen_utils.files import write_atomically
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT
from textgen_utils.training.distributed.cluster import Cluster
from textgen_utils.training.distributed.communication import StepTime, line_through
from textgen_utils.training.distributed.launcher import launch
from textgen_utils.training.distributed.messages import send
from textgen_utils.training.distributed.replicas import Replicas

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/deep_text_generation/records/distributed.json"
SETTINGS = {
    "vocab_size": 200,
    "window": 32,
    "batch_sizes": [2, 4, 8, 16, 32, 64, 128],
    "numbers": [1, 10_000, 100_000, 300_000, 1_000_000, 3_000_000],
    "precision_batch": 32,
    "repeats": 5,
}
MODELS = ("GPT", "LSTM")
FORMATS = {
    "float32": ("float32", False),
    "float32, XLA": ("float32", True),
    "bfloat16": ("mixed_bfloat16", False),
    "bfloat16, XLA": ("mixed_bfloat16", True),
}


def make(name: str, policy: str = "float32") -> keras.Model:
    """Return a model of about half a million parameters."""
    keras.config.set_dtype_policy(policy)
    vocab_size, window = SETTINGS["vocab_size"], SETTINGS["window"]
    if name == "GPT":
        sizes = {"width": 128, "heads": 4, "depth": 2}
        model = GPT(vocab_size, max_context=window, boundary=0, seed=1, **sizes)
    else:
        model = LSTMLanguageModel(
            vocab_size, width=256, embedding_width=128, boundary=0, seed=1, depth=1
        )
    keras.config.set_dtype_policy("float32")
    return model


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets, random ids, (size, window)."""
    shape = (size, SETTINGS["window"] + 1)
    ids = np.random.default_rng(size).integers(SETTINGS["vocab_size"], size=shape, dtype=np.int32)
    return ids[:, :-1], ids[:, 1:]


def least(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some calls."""
    seconds = []
    for _ in range(SETTINGS["repeats"]):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def work(rounds: int) -> None:
    """Measure as one of two workers; the first one tells what it has found."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.RING
        )
    )
    chief = strategy.cluster_resolver.task_id == 0

    @tf.function(reduce_retracing=True)
    def add(vector: tf.Tensor) -> tf.Tensor:
        def replica() -> list[tf.Tensor]:
            return tf.distribute.get_replica_context().all_reduce("sum", [tf.identity(vector)])

        return strategy.experimental_local_results(strategy.run(replica)[0])[0]

    alone, together = (
        {name: Replicas(s, make(name), training.adam(1e-3)) for name in MODELS}
        for s in (tf.distribute.get_strategy(), strategy)
    )
    if chief:
        sizes = {name: replicas.model.count_params() for name, replicas in alone.items()}
        send(parameters=sizes)
    vectors = {n: tf.ones(n) for n in SETTINGS["numbers"]}

    def meet() -> None:
        add(vectors[1]).numpy()

    for turn in range(rounds + 1):  # the first one compiles
        for n, vector in vectors.items():
            meet()
            tell(turn and chief, kind="add", x=n, seconds=least(lambda v=vector: add(v).numpy()))
        for name in MODELS:
            for size in SETTINGS["batch_sizes"]:
                arrays = batch(size)
                if chief:
                    seconds = least(lambda n=name, a=arrays: alone[n].step(a))
                    tell(turn, kind="alone " + name, x=size, seconds=seconds)
                meet()
                seconds = least(lambda n=name, a=arrays: together[n].step(a))
                tell(turn and chief, kind="together " + name, x=size, seconds=seconds)
                meet()


def tell(wanted: object, **values: object) -> None:
    """Send a measurement if it is wanted."""
    if wanted:
        send(**values)


def compare_formats(rounds: int) -> None:
    """Measure number formats and XLA, one after the other in every round."""
    arrays, competitors = batch(SETTINGS["precision_batch"]), {}
    for name in MODELS:
        for form, (policy, xla) in FORMATS.items():
            model = make(name, policy)
            model.compile(training.adam(1e-3), training.token_loss(), jit_compile=xla)
            competitors[name, form] = model
    for turn in range(rounds + 1):
        for (name, form), model in competitors.items():
            seconds = least(lambda m=model: m.train_on_batch(*arrays))
            tell(turn, kind="format " + name, x=form, seconds=seconds)


def measure(rounds: int) -> dict:
    """Run the workers and return the times of all rounds, by kind and then by x."""
    times: dict[str, dict] = {}
    facts: dict = {}

    def hear(index: int, message: dict) -> None:
        if "kind" in message:
            values = times.setdefault(message["kind"], {}).setdefault(str(message["x"]), [])
            values.append(message["seconds"])
        else:
            facts.update({k: v for k, v in message.items() if k == "parameters"})

    for workers, part in ((2, "work"), (1, "compare_formats")):
        command = [sys.executable, "-m", "benchmarks.distributed", part, "--rounds", str(rounds)]
        with Cluster.on_this_machine(workers) as cluster:
            launch(command, cluster, threads=1, silence=600, on_message=hear)
    return {"times": times, **facts}


def quartiles(values: np.ndarray) -> list[float]:
    """Return the three of them."""
    return [float(q) for q in np.quantile(values, (0.25, 0.5, 0.75))]


def summary(measured: dict) -> dict:
    """Return quartiles, the constants of the model, and what it predicts."""
    times = {kind: {x: np.array(t) for x, t in v.items()} for kind, v in measured["times"].items()}
    seconds = {k: {x: quartiles(t) for x, t in v.items()} for k, v in times.items()}
    numbers = SETTINGS["numbers"]
    # Two workers: 2 rounds, in each of which half of the vector goes to the other.
    per_call, per_byte = line_through(
        [4 * n for n in numbers], [seconds["add"][str(n)][1] for n in numbers]
    )
    link = {"latency": per_call / 2, "bandwidth": 1 / per_byte}
    models, speedups = {}, {}
    for name in MODELS:
        sizes = SETTINGS["batch_sizes"]
        alone, together = times["alone " + name], times["together " + name]
        fixed, per_item = line_through(sizes, [np.median(alone[str(s)]) for s in sizes])
        models[name] = {"fixed": fixed, "per_item": per_item}
        step = StepTime(fixed, per_item, 4 * measured["parameters"][name], **_order(link))
        speedups[name] = {
            str(size): {
                "measured": quartiles(alone[str(size)] / together[str(size)]),
                "predicted": step.speedup(size, 2),
            }
            for size in sizes
        }
    ratios = {
        name: {
            form: quartiles(t / times["format " + name]["float32"])
            for form, t in times["format " + name].items()
        }
        for name in MODELS
    }
    return {
        "parameters": measured["parameters"],
        "seconds": seconds,
        "link": link,
        "compute": models,
        "speedup": speedups,
        "format_ratio": ratios,
    }


def _order(link: dict[str, float]) -> dict[str, float]:
    return {"bandwidth": link["bandwidth"], "latency": link["latency"]}


def main(arguments: list[str] | None = None, *, measure: Callable[[int], dict] = measure) -> None:
    """Run, and write the record; or be one of the workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["work", "compare_formats"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    if options.part:
        {"work": work, "compare_formats": compare_formats}[options.part](options.rounds)
        sys.stdout.flush()
        os._exit(0)
    start, load = time.perf_counter(), os.getloadavg()[0]
    measured = summary(measure(options.rounds))
    record = {
        "command": f"python -m benchmarks.distributed --rounds {options.rounds}",
        "date": datetime.date.today().isoformat(),
        "machine": runtime.device_report(),
        "load_before": load,
        "seconds": time.perf_counter() - start,
        "settings": {**SETTINGS, "rounds": options.rounds},
        **measured,
    }
    write_atomically(options.out, json.dumps(record, indent=1) + "\n")
    for name in MODELS:
        for size, s in record["speedup"][name].items():
            print(f"{name} {size:>4}: {s['measured'][1]:.2f}, predicted {s['predicted']:.2f}")


if __name__ == "__main__":
    main()
