"""What helps against vanishing and exploding gradients: each remedy alone, recorded.

    python -m benchmarks.vanishing_remedies [--steps 800] [--out FILE]

A recurrent network reads one of four symbols, then noise, and must name the symbol at the end: the
distance is a dial. It starts with a recurrent matrix that makes gradients vanish, or explode, and
each remedy is applied alone. All seeds, starts and learning rates of a remedy are trained at
once, stacked along the first axis of every array, on the same batches; each network has its own
loss, gradient and step. Every batch is new, so a loss in training is one on unseen data.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from textgen_utils import runtime
from textgen_utils.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/gradient_methods/records/vanishing_remedies.json"
SYMBOLS, NOISE = 4, 2
SETTINGS = {
    "width": 32,
    "batch_size": 32,
    "seeds": 3,
    "distances": [5, 40],
    "radii": {"vanishing": 0.7, "exploding": 3.0},
    "last": 50,  # steps over which the final loss is averaged
}
GATES = {"GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Remedy:
    """A plain tanh network with gradient descent, but for what is named.

    Attributes:
        cell: how the state goes on: tanh, residual, batch norm, layer norm, GRU, LSTM.
        optimizer: SGD, RMSprop or Adam, without a clip.
        orthogonal: whether the recurrent matrix starts orthogonal, whatever the radius.
        memory: if above 0, an LSTM's forget gates start so as to remember up to so many steps.
        clip: the longest gradient, or None.
        l1: weights of the absolute values of all matrices in the loss, those that are tried.
        l2: weights of their squares, likewise.
    """

    cell: str = "tanh"
    optimizer: str = "SGD"
    orthogonal: bool = False
    memory: int = 0
    clip: float | None = None
    l1: tuple[float, ...] = (0.0,)
    l2: tuple[float, ...] = (0.0,)

    def rates(self) -> list[float]:
        """The learning rates that are tried."""
        top = 1.0 if self.optimizer == "SGD" else 0.03
        return [top * share for share in (1, 0.3, 0.1, 0.03, 0.01, 0.003)]


REMEDIES = {
    "none": Remedy(),
    "RMSprop": Remedy(optimizer="RMSprop"),
    "Adam": Remedy(optimizer="Adam"),
    "L1": Remedy(l1=(1e-4, 1e-3)),
    "L2": Remedy(l2=(1e-3, 1e-2)),
    "batch normalisation": Remedy("batch norm"),
    "residual connections": Remedy("residual"),
    "clipping": Remedy(clip=1.0),
    "orthogonal start": Remedy(orthogonal=True),
    "layer normalisation": Remedy("layer norm"),
    "GRU": Remedy("GRU"),
    "LSTM": Remedy("LSTM"),
    "LSTM, long memory": Remedy("LSTM", memory=40),
    "LSTM, long memory, Adam, clipping": Remedy("LSTM", "Adam", memory=40, clip=1.0),
    "orthogonal start, Adam, clipping": Remedy(optimizer="Adam", orthogonal=True, clip=1.0),
}


def batch(rng: np.random.Generator, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, (distance + 1, batch), the symbol and then noise, and the symbols, (batch,)."""
    size = SETTINGS["batch_size"]
    noise = rng.integers(SYMBOLS, SYMBOLS + NOISE, size=(distance, size))
    symbol = rng.integers(SYMBOLS, size=size)
    return np.concatenate([symbol[None], noise]).astype("int32"), symbol.astype("int32")


def start(remedy: Remedy, radius: float, seed: int) -> dict[str, np.ndarray]:
    """Initial weights of one network."""
    rng, width, gates = np.random.default_rng(seed), SETTINGS["width"], GATES.get(remedy.cell, 1)
    recurrent = []
    for _ in range(gates):
        matrix = rng.normal(size=(width, width))
        if remedy.orthogonal:
            recurrent.append(np.linalg.qr(matrix)[0])
        else:
            recurrent.append(matrix * radius / np.abs(np.linalg.eigvals(matrix)).max())
    bias = np.zeros(gates * width)
    if remedy.cell == "LSTM":
        bias[width : 2 * width] = 1.0
    if remedy.memory:
        bias[width : 2 * width] = np.log(rng.uniform(1, remedy.memory, size=width))
        bias[:width] = -bias[width : 2 * width]
    return {
        "W": rng.normal(scale=0.3, size=(SYMBOLS + NOISE, gates * width)),
        "U": np.concatenate(recurrent, axis=1),
        "b": bias,
        "gain": np.ones(gates * width),
        "A": rng.normal(size=(width, SYMBOLS)) / width**0.5,
        "a": np.zeros(SYMBOLS),
    }


def cell_step(cell: str, p: dict, state: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """The state after one more input; x: (networks, batch, gates * width), W x_t."""
    if cell == "LSTM":
        h, c = tf.split(state, 2, axis=-1)
        i, f, g, o = tf.split(x + h @ p["U"] + p["b"], 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.concat([tf.sigmoid(o) * tf.tanh(c), c], axis=-1)
    if cell == "GRU":
        uz, ur, uh = tf.split(p["U"], 3, axis=-1)
        xz, xr, xh = tf.split(x + p["b"], 3, axis=-1)
        z, r = tf.sigmoid(xz + state @ uz), tf.sigmoid(xr + state @ ur)
        return z * state + (1 - z) * tf.tanh(xh + (r * state) @ uh)
    sums = x + state @ p["U"]
    if cell == "layer norm":
        sums = p["gain"] * normalised(sums, axis=-1)
    if cell == "batch norm":
        sums = p["gain"] * normalised(sums, axis=1)
    f = tf.tanh(sums + p["b"])
    return state + f if cell == "residual" else f


def normalised(z: tf.Tensor, axis: int) -> tf.Tensor:
    """Mean 0 and variance 1 along `axis`: of the features, or of the examples of the batch."""
    mean, variance = tf.nn.moments(z, [axis], keepdims=True)
    return (z - mean) * tf.math.rsqrt(variance + 1e-5)


def losses(cell: str, p: dict, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each network, (networks,); x: (time, networks, batch, gates * width)."""
    networks, size, width = p["U"].shape[0], y.shape[0], SETTINGS["width"]
    p = {k: v if k in "WUA" else v[:, None] for k, v in p.items()}
    zeros = tf.zeros((networks, size, width * (2 if cell == "LSTM" else 1)))
    time = x.shape[0]
    _, state = tf.while_loop(
        lambda t, _: t < time,
        lambda t, state: (t + 1, cell_step(cell, p, state, x[t])),
        (0, zeros),
        maximum_iterations=time,
    )
    logits = state[..., :width] @ p["A"] + p["a"]
    y = tf.tile(y[None], [networks, 1])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits), axis=1)


def embedded(p: dict, x: tf.Tensor) -> tf.Tensor:
    """W x_t: (time, batch) ints to (time, networks, batch, gates * width)."""
    return tf.transpose(tf.gather(p["W"], x, axis=1), [1, 0, 2, 3])


def ratio(cell: str, p: dict, distance: int) -> np.ndarray:
    """Norm of dL/d(W x) at the first step over that at the last, one a network."""
    x, y = batch(np.random.default_rng(5), distance)
    x = embedded(p, x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(losses(cell, p, x, tf.constant(y)))
    norms = tf.reduce_mean(tf.norm(tape.gradient(loss, x), axis=-1), axis=-1).numpy()
    with np.errstate(all="ignore"):
        return norms[0] / norms[-1]


def norm(arrays: list[tf.Tensor]) -> tf.Tensor:
    """The length of each network's part of the arrays, (networks,)."""
    return tf.sqrt(sum(tf.reduce_sum(tf.reshape(a, (a.shape[0], -1)) ** 2, 1) for a in arrays))


def each(numbers: tf.Tensor, array: tf.Tensor) -> tf.Tensor:
    """One number a network, in a shape that multiplies the array."""
    return tf.reshape(numbers, (-1,) + (1,) * (len(array.shape) - 1))


def train(remedy: Remedy, radius: float, distance: int, steps: int) -> list[dict]:
    """Train all seeds, learning rates and penalties of a remedy; one dictionary a network."""
    tried = [
        {"seed": seed, "rate": rate, "l1": l1, "l2": l2}
        for seed in range(SETTINGS["seeds"])
        for rate in remedy.rates()
        for l1 in remedy.l1
        for l2 in remedy.l2
    ]
    starts = [start(remedy, radius, one["seed"]) for one in tried]
    p = {k: tf.Variable(np.stack([s[k] for s in starts]).astype("float32")) for k in starts[0]}
    before = ratio(remedy.cell, p, distance)
    step = stepper(remedy, p, tried, lambda x, y: losses(remedy.cell, p, embedded(p, x), y))
    rng = np.random.default_rng(99)
    seen = [step(*map(tf.constant, batch(rng, distance))).numpy() for _ in range(steps)]
    loss, gradient, relative = np.array(seen).transpose(1, 2, 0)  # each (networks, steps)
    numbers = {
        "ratio_start": before,
        "ratio_end": ratio(remedy.cell, p, distance),
        "largest_gradient": gradient.max(axis=1),
        "largest_step": relative.max(axis=1),
        "loss": loss[:, -SETTINGS["last"] :].mean(axis=1),
    }
    return [
        one | {name: float(values[i]) for name, values in numbers.items()}
        for i, one in enumerate(tried)
    ]


def stepper(
    remedy: Remedy, p: dict, tried: list[dict], losses_of: Callable[..., tf.Tensor]
) -> tf.types.experimental.GenericFunction:
    """The compiled step: it returns loss, length of the gradient, length of step over weights.

    Args:
        remedy: what is done with the gradients.
        p: the weights, variables, stacked.
        tried: rate and penalties of each network.
        losses_of: from a batch to the loss of each network, (networks,).
    """
    rate, l1, l2 = (tf.constant([one[k] for one in tried]) for k in ("rate", "l1", "l2"))
    # A step of rate 1 is taken, and then scaled to the rate of each network.
    optimizer = getattr(keras.optimizers, remedy.optimizer)(1.0)
    weights = list(p.values())
    optimizer.build(weights)

    @tf.function(jit_compile=True)
    def step(*batch: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = losses_of(*batch)
            matrices = [p[k] for k in "WUA"]
            absolute = sum(tf.reduce_sum(tf.abs(m), [1, 2]) for m in matrices)
            squares = sum(tf.reduce_sum(m**2, [1, 2]) for m in matrices)
            total = tf.reduce_sum(loss + l1 * absolute + l2 * squares)
        gradients = tape.gradient(total, weights, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        length, old = norm(gradients), [tf.identity(w) for w in weights]
        if remedy.clip is not None:
            share = tf.minimum(1.0, remedy.clip / length)
            gradients = [each(share, g) * g for g in gradients]
        optimizer.apply(gradients, weights)
        moves = [each(rate, w) * (w - o) for w, o in zip(weights, old, strict=True)]
        for weight, before, move in zip(weights, old, moves, strict=True):
            weight.assign(before + move)
        return tf.stack([loss, length, norm(moves) / norm(old)])

    return step


def summary(runs: list[dict]) -> dict:
    """What the runs of one remedy, start and distance come to.

    The rate (and the penalty) is the one with the lowest median loss over the seeds. A run has
    exploded if a number in it was not finite, or one step was longer than the weights it changed.
    """
    choices = {}
    for run in runs:
        choices.setdefault((run["rate"], run["l1"], run["l2"]), []).append(run)
    median = {k: np.median([_or_inf(r["loss"]) for r in rs]) for k, rs in choices.items()}
    best = min(median, key=median.get)
    exploded = [not (np.isfinite(r["loss"]) and r["largest_step"] <= 1) for r in runs]
    middle = {
        name: _number(np.median([r[name] for r in choices[best]]))
        for name in ("ratio_start", "ratio_end", "largest_gradient", "largest_step")
    }
    return {
        "rate": best[0],
        "penalty": max(best[1:]),
        "losses": [_number(r["loss"]) for r in choices[best]],
        **middle,
        "exploded": int(sum(exploded)),
        "runs": len(runs),
    }


def _or_inf(number: float) -> float:
    return number if np.isfinite(number) else np.inf


def _number(number: float) -> float | None:
    """As JSON can hold it: None if not finite."""
    return float(f"{number:.6g}") if np.isfinite(number) else None


def main(arguments: list[str] | None = None) -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--out", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    runtime.setup(seed=13)
    began, results = time.perf_counter(), {}
    for name, remedy in REMEDIES.items():
        results[name] = {}
        for kind, radius in SETTINGS["radii"].items():
            results[name][kind] = {
                str(distance): summary(train(remedy, radius, distance, options.steps))
                for distance in SETTINGS["distances"]
            }
            print(name, kind, {d: r["losses"] for d, r in results[name][kind].items()})
    record = {
        "command": f"python -m benchmarks.vanishing_remedies --steps {options.steps}",
        "date": datetime.date.today().isoformat(),
        "machine": runtime.device_report(),
        "python": sys.version.split()[0],
        "seconds": round(time.perf_counter() - began, 1),
        "settings": {**SETTINGS, "steps": options.steps},
        "baseline": float(np.log(SYMBOLS)),
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
