"""What writes texts from one GPT: our loops, and what all writers share.

The peers' are in `benchmarks.peers`. All get the same weights; biases, which ours does not have,
stay 0 in those that have them.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any, Protocol

import numpy as np

from benchmarks.gpt_step import initial_weights, named_weights
from benchmarks.turns import Task

VOCABULARY = 65
BOUNDARY = 0
STOP = 64  # no beam of these weights meets it, so that all texts are equally long
NUCLEUS = 0.9
BEAMS = 4
Sizes = dict[str, dict[str, int]]


class Writer(Protocol):
    """What writes texts.

    Attributes:
        facts: its version; by size the parameters, those of them that are kept at 0, and the mean
            log p of the tokens of `text`, nats.
    """

    facts: dict[str, Any]

    def write(self, task: Task, seed: int) -> np.ndarray | None:
        """Write the texts of a task.

        Args:
            task: "size", one of the names; "batch", texts; "prompt", tokens that are read, the
                boundary included; "new", tokens to write; "method", greedy, nucleus or beam.
            seed: of the sampling.

        Returns:
            The new tokens, ints, (batch, new), or fewer where each takes as long as any other;
            None if it has no such way.
        """
        ...


class Loop:
    """`decoding.generate` and `decoding.beam_search`: a loop on the host around one step."""

    def __init__(self, sizes: Sizes) -> None:
        self.models = {name: our_model(size) for name, size in sizes.items()}
        self.facts = {"version": our_version()}
        for name, model in self.models.items():
            log_p = float(model.score(text(sizes[name])[:, 1:]).mean())
            self.facts[name] = {"parameters": model.count_params(), "zeros": 0, "log_p": log_p}

    def write(self, task: Task, seed: int) -> np.ndarray:
        """See `Writer`."""
        return by_steps(self.models[task["size"]], task, task["new"], seed)


class Compiled(Loop):
    """`decoding.CompiledSampler` and `decoding.CompiledBeamSearch`: the loop is compiled."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.programs: dict[tuple, Any] = {}

    def write(self, task: Task, seed: int) -> np.ndarray:
        """See `Writer`."""
        key = tuple(task[name] for name in ("size", "batch", "method", "new"))
        if key not in self.programs:
            self.programs[key] = self._program(task)
        if task["method"] == "beam":
            return unfinished(self.programs[key]())
        return self.programs[key](prompt(task)[:, 1:], seed=seed)

    def _program(self, task: Task) -> Any:
        from textgen_utils import decoding

        model, new, batch = self.models[task["size"]], task["new"], task["batch"]
        if task["method"] == "beam":
            return decoding.CompiledBeamSearch(model, new, width=BEAMS, stop=STOP, n=batch)
        return decoding.CompiledSampler(model, new, batch_size=batch, **filters(task))


class Recomputed(Loop):
    """The loop of `Loop` without a cache: each step runs over a window as long as the whole text.

    Args:
        sizes: by name.
        limits: how many tokens are written instead of all, by size and batch: a step takes as
            long at each position.
    """

    def __init__(self, sizes: Sizes, limits: dict[tuple[str, int], int]) -> None:
        super().__init__(sizes)
        self.limits = limits
        self.windowed: dict[tuple[str, int], Any] = {}

    def write(self, task: Task, seed: int) -> np.ndarray:
        """See `Writer`."""
        key = task["size"], task["prompt"] + task["new"]
        if key not in self.windowed:
            self.windowed[key] = windowed(self.models[key[0]], key[1])
        if task["new"] > 1:
            new = min(task["new"], self.limits.get((task["size"], task["batch"]), task["new"]))
            return by_steps(self.windowed[key], task, new, seed)
        read = prompt(task)  # without a cache, a prompt is read in one step
        window, _ = self.windowed[key].initial_state(task["batch"])
        window[:, : task["prompt"]] = read
        log_probs, _ = self.windowed[key].step(read[:, -1], (window, task["prompt"] - 1))
        return log_probs.argmax(axis=-1)[:, None]


def by_steps(model: Any, task: Task, new: int, seed: int) -> np.ndarray:
    """Write with the loops on the host."""
    from textgen_utils import decoding

    if task["method"] == "beam":
        n = task["batch"]
        return unfinished(decoding.beam_search(model, new, width=BEAMS, stop=STOP, n=n))
    return decoding.generate(model, prompt(task)[:, 1:], new, seed=seed, **filters(task))


def filters(task: Task) -> dict[str, Any]:
    """Return what our samplers are told of a task's method."""
    return {"greedy": {"greedy": True}, "nucleus": {"nucleus": NUCLEUS}}[task["method"]]


def unfinished(beams: Any) -> np.ndarray:
    """Return the best text of each search, if all have the full length."""
    if beams.finished.any():
        raise RuntimeError(f"a beam met the token {STOP}, so that the texts differ in length")
    return beams.ids[:, 0]


def prompt(task: Task) -> np.ndarray:
    """Return what is read, int32, (batch, prompt): the boundary, then random tokens."""
    ids = np.random.default_rng(0).integers(VOCABULARY, size=task["prompt"], dtype="i4")
    ids[0] = BOUNDARY
    return np.repeat(ids[None], task["batch"], axis=0)


def text(size: dict[str, int]) -> np.ndarray:
    """Return a text whose log-probability all must agree on, int32, (1, context)."""
    return prompt({"batch": 1, "prompt": size["context"]})


def mean_log_p(logits: np.ndarray, ids: np.ndarray) -> float:
    """Return the mean log p of all tokens but the first, nats.

    Args:
        logits: floats, (1, time, vocab), after each token.
        ids: ints, (1, time).
    """
    logits = logits[0, :-1].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return float(log_probs[np.arange(len(logits)), ids[0, 1:]].mean())


def our_model(size: dict[str, int]) -> Any:
    """Return our GPT with the weights that all have."""
    from textgen_utils import runtime

    runtime.setup(seed=0)
    from textgen_utils.models.transformer import GPT

    others = {name: size[name] for name in ("width", "heads", "depth")}
    model = GPT(size["vocab_size"], max_context=size["context"], boundary=BOUNDARY, **others)
    weights = initial_weights(size)
    for name, weight in named_weights(model).items():
        weight.assign(weights[name])
    return model


def windowed(network: Any, context: int) -> Any:
    """Return our network without its cache, over windows of `context` tokens."""
    from textgen_utils.models.windowed import WindowedLanguageModel

    return WindowedLanguageModel(network, boundary=BOUNDARY, max_context=context)


def our_version() -> str:
    """Return the versions of Keras and of its backend."""
    import keras

    backend = keras.config.backend()
    return f"Keras {keras.version()}, {backend} {importlib.metadata.version(backend)}"
