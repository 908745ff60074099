"""Loss and training step of a Keras model of language: ours, and one of Keras's own layers.

AdamW with decay of the matrices only, gradients clipped by their global norm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.gpt_step import named_weights
from textgen_utils import training
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT

Sizes = dict[str, int]


class Training:
    """What of a training step can be timed: forward, with gradients, all of it.

    Args:
        model: compiled; gives logits, (batch, time, vocab), of what `read` makes of ids.
        read: from ids, (batch, time), to the model's input.
    """

    def __init__(self, model: keras.Model, read: Callable[[np.ndarray], Any] = np.asarray) -> None:
        self.model = model
        self.parameters = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        self.version = f"Keras {keras.version()}, TensorFlow {tf.__version__}"
        self._read = read
        self._forward = tf.function(self._loss, jit_compile=model.jit_compile)
        self._gradients = tf.function(self._loss_and_gradients, jit_compile=model.jit_compile)

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean cross-entropy, nats per token."""
        return float(self._loss(self._read(ids), targets))

    def forward(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Return the loss, compiled as the step is."""
        return float(self._forward(self._read(ids), targets))

    def gradients(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Compute the gradient, compiled as the step is, and return the loss."""
        return float(self._gradients(self._read(ids), targets)[0])

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Do one step of training, gradient clipped at 1, and return the loss before it."""
        return float(np.ravel(self.model.train_on_batch(self._read(ids), targets))[0])

    def _loss(self, inputs: Any, targets: Any) -> Any:
        return self.model.loss(targets, self.model(inputs))

    def _loss_and_gradients(self, inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self._loss(inputs, targets)
        gradients = tape.gradient(loss, [w.value for w in self.model.trainable_weights])
        return loss, [tf.convert_to_tensor(g) for g in gradients]


def gpt(sizes: Sizes, weights: dict[str, np.ndarray], *, xla: bool) -> Training:
    """Return our GPT with these weights, by the names of `gpt_step.initial_weights`."""
    others = {name: sizes[name] for name in ("width", "heads", "depth")}
    model = GPT(sizes["vocab_size"], max_context=sizes["context"], boundary=0, **others)
    for name, weight in named_weights(model).items():
        weight.assign(weights[name])
    return _compiled(model, xla=xla)


def lstm(sizes: Sizes, weights: list[np.ndarray], *, xla: bool) -> Training:
    """Return our LSTM with these weights."""
    model = LSTMLanguageModel(
        sizes["vocab_size"],
        width=sizes["width"],
        embedding_width=sizes["embedding_width"],
        boundary=0,
    )
    model.set_weights(weights)
    return _compiled(model, xla=xla)


def sequential(sizes: Sizes, weights: list[np.ndarray]) -> Training:
    """Return the same LSTM of Keras's own layers, compiled as Keras does unless told."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(sizes["vocab_size"], sizes["embedding_width"]),
            layers.LSTM(sizes["width"], return_sequences=True),
            layers.Dense(sizes["vocab_size"]),
        ]
    )
    model.set_weights(weights)
    model.compile(adamw(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Training(model)


def adamw() -> keras.optimizers.Optimizer:
    """Return Keras's AdamW with the settings of all competitors."""
    optimizer = keras.optimizers.AdamW(1e-3, beta_2=0.99, weight_decay=0.1, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def multiplication(a: np.ndarray, b: np.ndarray) -> Callable[[], Any]:
    """Return the product of two matrices, to be timed."""
    a, b = tf.constant(a), tf.constant(b)
    return lambda: tf.matmul(a, b)


def _compiled(model: keras.Model, *, xla: bool) -> Training:
    optimizer = training.adam(1e-3, weight_decay=0.1)
    model.compile(optimizer, training.token_loss(), jit_compile=xla)
    return Training(model)
