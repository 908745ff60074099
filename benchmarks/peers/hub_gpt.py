"""A GPT-2 of KerasHub with the weights of our GPT, and its `generate`.

Called as its documentation has it: a sampler given to `compile`; the prompt, padded to the whole
length, and a mask given to `generate`. It has biases, which stay 0. Its GELU is an approximation
by a tanh; here it is the exact one, which all others compute and which is not slower.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import keras
import keras_hub
import numpy as np

from benchmarks.gpt_step import initial_weights
from benchmarks.turns import Task
from benchmarks.writers import BEAMS, NUCLEUS, Sizes, mean_log_p, prompt, text


class HubWriter:
    """A `benchmarks.writers.Writer`.

    Args:
        sizes: by name.
        xla: whether the whole call is compiled with XLA.
    """

    def __init__(self, sizes: Sizes, xla: bool) -> None:
        self.xla = xla
        self.backbones = {name: backbone(size) for name, size in sizes.items()}
        self.models: dict[tuple[str, str], Any] = {}
        version, backend = importlib.metadata.version("keras-hub"), keras.config.backend()
        version = f"KerasHub {version}, Keras {keras.version()}, {backend}"
        self.facts: dict[str, Any] = {"version": version}
        for name, network in self.backbones.items():
            ids = text(sizes[name])
            facts = {"parameters": network.count_params(), "zeros": count_zeros(network)}
            self.facts[name] = {**facts, "log_p": mean_log_p(logits(network, ids), ids)}

    def write(self, task: Task, seed: int) -> np.ndarray:
        """Return the new tokens; the samplers count their calls, so `seed` is not used."""
        read = prompt(task)
        ids = np.zeros((task["batch"], task["prompt"] + task["new"]), np.int32)
        ids[:, : task["prompt"]] = read
        mask = np.zeros_like(ids)
        mask[:, : task["prompt"]] = 1
        model = self._model(task["size"], task["method"])
        out = model.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)
        return out["token_ids"][:, task["prompt"] :]

    def _model(self, size: str, method: str) -> Any:
        if (size, method) not in self.models:
            model = keras_hub.models.GPT2CausalLM(backbone=self.backbones[size], preprocessor=None)
            model.compile(sampler=sampler(method), jit_compile=self.xla)
            self.models[size, method] = model
        return self.models[size, method]


def sampler(method: str) -> Any:
    """Return the sampler of a method."""
    samplers = keras_hub.samplers
    if method == "beam":
        return samplers.BeamSampler(num_beams=BEAMS)
    return samplers.TopPSampler(p=NUCLEUS, seed=0) if method == "nucleus" else "greedy"


def backbone(size: dict[str, int]) -> Any:
    """Return KerasHub's GPT-2 with the weights that all have."""
    network = keras_hub.models.GPT2Backbone(
        vocabulary_size=size["vocab_size"],
        num_layers=size["depth"],
        num_heads=size["heads"],
        hidden_dim=size["width"],
        intermediate_dim=4 * size["width"],
        max_sequence_length=size["context"],
        dropout=0.0,
    )
    weights = initial_weights(size)
    network.token_embedding.embeddings.assign(weights["tokens.weight"])
    network.position_embedding.position_embeddings.assign(weights["positions.weight"])
    network.layer_norm.gamma.assign(weights["norm.weight"])
    for i, layer in enumerate(network.transformer_layers):
        start = f"blocks.{i}."
        own = {k.removeprefix(start): w for k, w in weights.items() if k.startswith(start)}
        take(layer, own, size["heads"])
    return network


def take(layer: Any, weights: dict[str, np.ndarray], heads: int) -> None:
    """Copy a block's weights; KerasHub keeps an axis for the heads."""
    layer._feedforward_intermediate_dense.activation = keras.activations.gelu
    width = len(weights["combine.weight"])
    parts = weights["project.weight"].reshape(width, 3, heads, width // heads)
    attention = layer._self_attention_layer
    attention._query_dense.kernel.assign(parts[:, 0])
    attention._key_dense.kernel.assign(parts[:, 1])
    attention._value_dense.kernel.assign(parts[:, 2])
    combine = weights["combine.weight"].reshape(heads, width // heads, width)
    attention._output_dense.kernel.assign(combine)
    layer._self_attention_layer_norm.gamma.assign(weights["norm_1.weight"])
    layer._feedforward_layer_norm.gamma.assign(weights["norm_2.weight"])
    layer._feedforward_intermediate_dense.kernel.assign(weights["widen.weight"])
    layer._feedforward_output_dense.kernel.assign(weights["narrow.weight"])


def count_zeros(network: Any) -> int:
    """Return the number of biases, all 0."""
    biases = [w for w in network.weights if w.name in ("bias", "beta")]
    if any(np.any(w) for w in biases):
        raise ValueError("a bias is not 0")
    return sum(w.numpy().size for w in biases)


def logits(network: Any, ids: np.ndarray) -> np.ndarray:
    """Return logits, (batch, time, vocab), of ids, (batch, time)."""
    vectors = network({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    return keras.ops.convert_to_numpy(network.token_embedding(vectors, reverse=True))
