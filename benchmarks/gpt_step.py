"""One training step of our GPT beside the same GPT in PyTorch, on the same cores.

    pip install '.[peers]'
    python -m benchmarks.gpt_step [--rounds 15] [--steps 20] [--threads 2] [--out FILE]

Each library runs in a process of its own; they start with the same weights, must give the same
loss on the same batch, and then take turns (A B C A B C ...), so that whatever else the machine
does falls on all. The setting is nanoGPT's for a CPU. The limit is what a matrix product of the
model's size reaches on these cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from textgen_utils.files import write_atomically
from textgen_utils.runtime import progress

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/gradient_methods/records/gpt_step.json"
SIZES = {"vocab_size": 65, "context": 64, "width": 128, "heads": 4, "depth": 4}
BATCH = 12
PEERS = ("keras", "keras xla", "torch")


class KerasCompetitor:
    """Loss and training step of `textgen_utils.models.transformer.GPT`."""

    def __init__(self, sizes: dict[str, int], weights: dict[str, np.ndarray], xla: bool) -> None:
        from textgen_utils import runtime

        runtime.setup(seed=0)
        import keras

        from textgen_utils import training
        from textgen_utils.models.transformer import GPT

        others = {name: sizes[name] for name in ("width", "heads", "depth")}
        self.model = GPT(sizes["vocab_size"], max_context=sizes["context"], boundary=0, **others)
        for name, weight in named_weights(self.model).items():
            weight.assign(weights[name])
        optimizer = training.adam(1e-3, weight_decay=0.1)
        self.model.compile(optimizer, training.token_loss(), jit_compile=xla)
        self.parameters = self.model.count_params()
        backend = keras.config.backend()
        self.version = f"Keras {keras.version()}, {backend} {sys.modules[backend].__version__}"

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean cross-entropy, nats per token."""
        return float(self.model.test_on_batch(ids, targets))

    def step(self, ids: np.ndarray, targets: np.ndarray) -> None:
        """Do one step of training, gradient clipped at 1."""
        self.model.train_on_batch(ids, targets)


def named_weights(model: Any) -> dict[str, Any]:
    """Return the variables of a `GPT` by the names that PyTorch's has."""
    names = {
        "tokens.weight": model.tokens.embeddings,
        "positions.weight": model.positions.embeddings,
    }
    for i, block in enumerate(model.blocks):
        names |= {
            f"blocks.{i}.norm_1.weight": block.norm_1.gamma,
            f"blocks.{i}.project.weight": block.attention.project.kernel,
            f"blocks.{i}.combine.weight": block.attention.combine.kernel,
            f"blocks.{i}.norm_2.weight": block.norm_2.gamma,
            f"blocks.{i}.widen.weight": block.perceptron.widen.kernel,
            f"blocks.{i}.narrow.weight": block.perceptron.narrow.kernel,
        }
    return {**names, "norm.weight": model.norm.gamma}


def initial_weights(sizes: dict[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Draw weights by name and shape, as both libraries get them."""
    width = sizes["width"]
    shapes = {
        "tokens.weight": (sizes["vocab_size"], width),
        "positions.weight": (sizes["context"], width),
        "norm.weight": (width,),
    }
    for i in range(sizes["depth"]):
        shapes |= {f"blocks.{i}.norm_{k}.weight": (width,) for k in (1, 2)}
        shapes[f"blocks.{i}.project.weight"] = (width, 3 * width)
        shapes[f"blocks.{i}.combine.weight"] = (width, width)
        shapes[f"blocks.{i}.widen.weight"] = (width, 4 * width)
        shapes[f"blocks.{i}.narrow.weight"] = (4 * width, width)
    rng = np.random.default_rng(seed)
    return {
        name: (np.ones(s) if len(s) == 1 else rng.normal(0, 0.05, s)).astype("float32")
        for name, s in shapes.items()
    }


def batch(sizes: dict[str, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw ids and targets, int32, (BATCH, context)."""
    shape = (2, BATCH, sizes["context"])
    ids, targets = np.random.default_rng(seed).integers(sizes["vocab_size"], size=shape, dtype="i4")
    return ids, targets


def make(peer: str, sizes: dict[str, int], threads: int) -> Any:
    """Build a competitor in this process."""
    weights = initial_weights(sizes)
    if peer == "torch":
        from benchmarks.peers.torch_gpt import Competitor

        return Competitor(sizes, weights, threads)
    return KerasCompetitor(sizes, weights, xla=peer == "keras xla")


def work(peer: str, sizes: dict[str, int], threads: int, pipe: Any) -> None:
    """Answer a first message with facts, and each number n after it with the times of n steps."""
    competitor = make(peer, sizes, threads)
    ids, targets = batch(sizes, 1)
    facts = {"parameters": competitor.parameters, "version": competitor.version}
    pipe.send({**facts, "loss": competitor.loss(ids, targets)})
    while n := pipe.recv():
        seconds = []
        for _ in range(n):
            start = time.perf_counter()
            competitor.step(ids, targets)
            seconds.append(time.perf_counter() - start)
        pipe.send(seconds)


def matrix_product_rate(sizes: dict[str, int], seconds: float = 1.0) -> float:
    """Return the floating-point operations a second of the widest product of a step."""
    rng = np.random.default_rng(0)
    rows, width = BATCH * sizes["context"], sizes["width"]
    a, b = (rng.normal(size=s).astype("float32") for s in ((rows, width), (width, 4 * width)))
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * rows * width * 4 * width / float(np.median(times))


def step_operations(sizes: dict[str, int]) -> float:
    """Return the multiplications and additions of one step: forward, and twice that backward."""
    tokens, width = BATCH * sizes["context"], sizes["width"]
    products = 12 * width**2 * sizes["depth"] + width * sizes["vocab_size"]
    attention = 2 * width * sizes["context"] * sizes["depth"]
    return 6.0 * tokens * (products + attention)


def run(rounds: int, steps: int, threads: int, peers: tuple[str, ...] = PEERS) -> dict:
    """Let the competitors take turns and return facts, times and ratios."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = str(threads)
    context = multiprocessing.get_context("spawn")
    pipes, facts, medians = {}, {}, {peer: [] for peer in peers}
    for peer in peers:
        pipes[peer], theirs = context.Pipe()
        arguments = (peer, SIZES, threads, theirs)
        context.Process(target=work, args=arguments, daemon=True).start()
        facts[peer] = pipes[peer].recv()
    check_equal(facts)
    for turn in progress(range(rounds + 1), "rounds"):
        for peer, pipe in pipes.items():
            pipe.send(steps)
            seconds = pipe.recv()
            if turn:  # the first one compiles
                medians[peer].append(float(np.median(seconds)))
    for pipe in pipes.values():
        pipe.send(0)
    rate = context.Pool(1).apply(matrix_product_rate, (SIZES,))
    return summary(facts, medians, rate)


def check_equal(facts: dict[str, dict]) -> None:
    """Raise ValueError unless all have the same number of parameters and the same loss."""
    first = next(iter(facts.values()))
    for peer, fact in facts.items():
        equal = fact["parameters"] == first["parameters"]
        if not equal or abs(fact["loss"] - first["loss"]) > 1e-4:
            raise ValueError(f"{peer} does not compute the same: {facts}")


def summary(facts: dict[str, dict], medians: dict[str, list[float]], rate: float) -> dict:
    """Return milliseconds and ratios, with the quartiles over rounds."""

    def quartiles(values: np.ndarray, scale: float = 1.0) -> list[float]:
        return [float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)) * scale]

    times = {peer: np.array(values) for peer, values in medians.items()}
    last = list(times)[-1]
    return {
        "facts": facts,
        "milliseconds": {peer: quartiles(t, 1e3) for peer, t in times.items()},
        "ratio": {peer: quartiles(t / times[last]) for peer, t in times.items()},
        "operations": step_operations(SIZES),
        "matrix_product_rate": rate,
        "share_of_limit": {
            peer: step_operations(SIZES) / rate / float(np.median(t)) for peer, t in times.items()
        },
    }


def main(arguments: list[str] | None = None, *, measure: Callable[..., dict] = run) -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(options, name) for name in ("rounds", "steps", "threads")}
    flags = " ".join(f"--{name} {value}" for name, value in settings.items())
    start = time.perf_counter()
    measured = measure(**settings)
    record = {
        "command": f"python -m benchmarks.gpt_step {flags}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} used",
        "python": sys.version.split()[0],
        "seconds": time.perf_counter() - start,
        "settings": {**settings, **SIZES, "batch": BATCH},
        **measured,
    }
    write_atomically(options.out, json.dumps(record, indent=1) + "\n")
    for peer, (_, ms, _) in record["milliseconds"].items():
        print(f"{peer:10} {ms:6.1f} ms a step, {record['ratio'][peer][1]:.2f} of the last")


if __name__ == "__main__":
    main()
