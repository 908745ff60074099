"""The GPT of KerasHub, with the weights of ours.

KerasHub's has biases, which ours lacks: they are zero at first, and are trained. Its gelu is the
approximation by a hyperbolic tangent that GPT-2 was trained with, ours the exact one.
"""

from __future__ import annotations

import keras
import keras_hub
import numpy as np

from benchmarks.keras_training import Training, adamw


def gpt(sizes: dict[str, int], weights: dict[str, np.ndarray]) -> Training:
    """Return KerasHub's GPT-2 without dropout, compiled as Keras does unless told: with XLA.

    Args:
        sizes: vocab_size, context, width, heads, depth.
        weights: by the names of `gpt_step.initial_weights`.
    """
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=sizes["vocab_size"],
        num_layers=sizes["depth"],
        num_heads=sizes["heads"],
        hidden_dim=sizes["width"],
        intermediate_dim=4 * sizes["width"],
        dropout=0.0,
        max_sequence_length=sizes["context"],
    )
    take(backbone, weights, sizes["heads"])
    model = keras_hub.models.GPT2CausalLM(backbone=backbone)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=adamw(), loss=loss, weighted_metrics=None)
    training = Training(model, read=lambda ids: {"token_ids": ids, "padding_mask": ids >= 0})
    training.version = f"KerasHub {keras_hub.__version__}, {training.version}"
    return training


def take(backbone: keras.Model, weights: dict[str, np.ndarray], heads: int) -> None:
    """Copy weights of a model without biases, and set the biases to zero."""
    for variable in backbone.weights:
        if variable.name in ("bias", "beta"):
            variable.assign(keras.ops.zeros_like(variable))
    backbone.token_embedding.embeddings.assign(weights["tokens.weight"])
    backbone.position_embedding.position_embeddings.assign(weights["positions.weight"])
    backbone.layer_norm.gamma.assign(weights["norm.weight"])
    for i, layer in enumerate(backbone.transformer_layers):
        own = {name: weights[f"blocks.{i}.{name}.weight"] for name in _PARTS}
        attention = layer._self_attention_layer
        width = own["combine"].shape[0]
        by_head = own["project"].reshape(width, 3, heads, width // heads)
        for j, dense in enumerate(
            (attention._query_dense, attention._key_dense, attention._value_dense)
        ):
            dense.kernel.assign(by_head[:, j])
        attention._output_dense.kernel.assign(own["combine"].reshape(heads, -1, width))
        layer._self_attention_layer_norm.gamma.assign(own["norm_1"])
        layer._feedforward_layer_norm.gamma.assign(own["norm_2"])
        layer._feedforward_intermediate_dense.kernel.assign(own["widen"])
        layer._feedforward_output_dense.kernel.assign(own["narrow"])


_PARTS = ("norm_1", "project", "combine", "norm_2", "widen", "narrow")
