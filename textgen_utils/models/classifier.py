"""A classifier of texts on the body of a language model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike

from textgen_utils.models.base import check_rows, check_settings, until_boundary
from textgen_utils.models.compiled import Compiled, call_in_batches
from textgen_utils.models.masked import MaskedLanguageModel
from textgen_utils.models.recurrent import LSTMLanguageModel
from textgen_utils.models.transformer import GPT

Tensor = Any
BATCH = 256  # texts that are classified at a time


@keras.saving.register_keras_serializable(package="textgen_utils")
class WordVectors(keras.Model):
    """A body that knows no order: the embedding of each token, and nothing else.

    A `TextClassifier` on it is the network of averaged embeddings.

    Args:
        vocab_size: the number of tokens.
        width: size of a token's vector.
        boundary: the id that ends a text.
        seed: draws the initial vectors; None: Keras's own seed does.

    Raises:
        ValueError: if a size is below 1, or the boundary not a token.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        width: int,
        boundary: int,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        check_settings({"vocab_size": vocab_size, "width": width}, 0.0, boundary)
        self.vocab_size, self.width, self.boundary = vocab_size, width, boundary
        self.seed = seed
        self.max_context = None
        uniform = keras.initializers.RandomUniform(seed=seed)
        self.embedding = layers.Embedding(vocab_size, width, uniform)
        self.build((None, None))

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time), of which nothing is used."""
        if not self.built:
            self.embedding.build((None, None))
            self.built = True

    def call(self, ids: Tensor) -> Tensor:
        """Return vectors, (batch, time) ints to (batch, time, width) floats."""
        return self.embedding(ids)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {n: getattr(self, n) for n in ("vocab_size", "width", "boundary", "seed", "name")}


BODIES = (GPT, MaskedLanguageModel, LSTMLanguageModel, WordVectors)


@keras.saving.register_keras_serializable(package="textgen_utils")
class TextClassifier(keras.Model):
    """Logits of classes from the mean of what a body makes of a text's tokens.

    The body is used, not copied: training the classifier changes it. `training.copy_of` gives a
    copy to hand over.

    Args:
        body: a `GPT`, a `MaskedLanguageModel` or an `LSTMLanguageModel`, pretrained or not, of
            which the logits are not used; or `WordVectors`.
        classes: the number of classes, at least 2.

    Raises:
        ValueError: if the body is none of these, or there are fewer than two classes.
    """

    def __init__(self, body: keras.Model, classes: int = 2, name: str | None = None) -> None:
        super().__init__(name=name)
        if not isinstance(body, BODIES):
            raise ValueError(
                f"the body must be one of {[kind.__name__ for kind in BODIES]}, got {body!r}"
            )
        if classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, got {classes}")
        self.body = body
        self.classes = classes
        # Zeros: before training every class is equally probable, whatever the body.
        self.head = layers.Dense(classes, kernel_initializer="zeros")
        self._compiled: dict[str, Any] = {}
        self.build((None, None))

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape`: (batch, time), of which nothing is used."""
        if self.built:
            return
        self.head.build((None, self.body.width))
        self.built = True

    def call(self, ids: Tensor, training: bool = False) -> Tensor:
        """Return logits, (batch, time) ints to (batch, classes) floats.

        Args:
            ids: a text a row, up to and with its first boundary; what follows is not read.
            training: whether there is dropout.
        """
        return self.head(self.features(ids, training=training))

    def features(self, ids: Tensor, training: bool = False) -> Tensor:
        """Return the mean over a text's positions of the body's last vectors, (batch, width)."""
        inside = until_boundary(ids, self.body.boundary)
        x = self._hidden(ids, inside, training)
        weight = ops.cast(inside, x.dtype)[:, :, None]
        return ops.sum(x * weight, axis=1) / ops.sum(weight, axis=1)

    def log_probs(self, ids: ArrayLike) -> np.ndarray:
        """Return log q(class | text), float32, (n, classes), nats.

        Args:
            ids: ints, (n, time), see `call`.

        Raises:
            ValueError: no texts, ids out of range, or rows longer than the body reads.
        """
        ids = self.check(ids)
        if "log_probs" not in self._compiled:
            self._compiled["log_probs"] = Compiled(self, self._log_probs)
        return call_in_batches(self._compiled["log_probs"], BATCH, ids)

    def check(self, ids: ArrayLike) -> np.ndarray:
        """Return texts as int32, (n, time), if the body can read them; else see `log_probs`."""
        ids = check_rows(ids, self.body.vocab_size)
        longest = self.body.max_context
        if longest is not None and ids.shape[1] > longest:
            raise ValueError(f"texts of {ids.shape[1]} tokens; the body reads {longest}")
        return ids

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, the body serialised."""
        body = keras.saving.serialize_keras_object(self.body)
        return {"body": body, "classes": self.classes, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TextClassifier:
        """Make a classifier of what `get_config` gives."""
        body = keras.saving.deserialize_keras_object(config["body"], custom_objects)
        return cls(**{**config, "body": body})

    def _hidden(self, ids: Tensor, inside: Tensor, training: bool) -> Tensor:
        body = self.body
        if isinstance(body, MaskedLanguageModel):
            return body.hidden(ops.where(inside, ids, body.padding_id), training=training)
        if isinstance(body, WordVectors):
            return body(ids)
        # As in pretraining: the boundary in front, the last token not read.
        front = ops.full_like(ids[:, :1], body.boundary)
        read = ops.concatenate([front, ids[:, :-1]], axis=1)
        if isinstance(body, LSTMLanguageModel):
            x = body.embedding(read)
            for layer in body.recurrent:
                x = layer(body.drop(x, training=training), training=training)
            return x
        x = body.drop(body.embed(read), training=training)
        for block in body.blocks:
            x = block(x, training=training)
        return body.norm(x)

    def _log_probs(self, ids: Tensor) -> Tensor:
        return ops.log_softmax(ops.cast(self(ids), "float32"))
