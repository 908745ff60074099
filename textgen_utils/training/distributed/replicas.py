"""A training loop for any `tf.distribute` strategy: each replica has a share of every batch.

Keras's `fit` does not work under `MultiWorkerMirroredStrategy`, and its optimizers, called by a
replica, clip the replica's own gradient before the sum is taken. So the sum is taken here, and
the optimizer is called once a process with the gradient of the whole batch. All processes start
from the chief's values and take the same steps, so their weights stay the same, bit for bit.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from numbers import Integral
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textgen_utils.exhausted import shapes, shortage
from textgen_utils.training.checkpoint import check_place, load_checkpoint, save_checkpoint
from textgen_utils.training.curve import Curve

Batch = tuple[Any, ...]
LOWER = "the batch size, or take more workers (each has its share of it), or a smaller model"


class Replicas:
    """A model and its optimizer, and steps that are taken together.

    Args:
        strategy: any; of a `MultiWorkerMirroredStrategy`, each process makes its own.
        model: maps a batch's inputs to logits. It is compiled with the optimizer.
        optimizer: not used before; as in a run on one device.

    Raises:
        ValueError: if the backend is not TensorFlow.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                "tf.distribute needs the TensorFlow backend, got " + keras.config.backend()
            )
        self.strategy, self.model, self.optimizer = strategy, model, optimizer
        model.compile(optimizer)
        optimizer.build(model.trainable_variables)
        self._step = tf.function(self._compute)
        self._sum = tf.function(self._summed)

    def __len__(self) -> int:
        return self.strategy.num_replicas_in_sync

    def step(self, batch: Batch) -> float:
        """Take one step on a whole batch, of which each replica sees its share.

        Args:
            batch: inputs, targets and, if not every target counts, a mask; the same in every
                process, the number of rows a multiple of the replicas.

        Returns:
            the mean loss of the batch before the step, nats per token that counts.

        Raises:
            ValueError: if the rows cannot be shared.
            FloatingPointError: if the loss is not finite; in every process alike.
            MemoryError: if the memory of a device does not suffice; says what was asked for.
        """
        arrays = keras.tree.map_structure(np.asarray, weighted(batch))
        try:
            loss = float(self._step(*self._shares(arrays)))
        except tf.errors.ResourceExhaustedError:
            loss = None
        if loss is None:  # here, where the trace, some pages long, is no part of it
            asked = f"{shapes(keras.tree.flatten(arrays[0]))} shared by {len(self)} replicas"
            raise shortage(f"step {self.steps + 1}", self.model, asked, LOWER)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the training loss is {loss} at step {self.steps}")
        return loss

    @property
    def steps(self) -> int:
        """The number of steps taken."""
        return int(self.optimizer.iterations)

    def follow_chief(self, chief: bool) -> None:
        """Give every process the chief's weights, random states and optimizer.

        Args:
            chief: whether this process is the chief: one process of all.

        Raises:
            ValueError: if no process is the chief.
        """
        variables = self.model.variables + self.optimizer.variables
        # float64 holds every float32 and every count and seed of 32 bits exactly.
        values = [v.numpy().astype(np.float64) for v in variables]
        # The last number counts the chief's replicas: each of them adds the chief's values.
        flat = np.concatenate([*(value.ravel() for value in values), [1.0]])
        summed = self._sum(tf.constant(flat if chief else 0 * flat)).numpy()
        if not summed[-1]:
            raise ValueError("one process must be the chief, and none is")
        flat = summed[:-1] / summed[-1]
        parts = np.split(flat, np.cumsum([value.size for value in values])[:-1])
        for variable, part in zip(variables, parts, strict=True):
            variable.assign(part.reshape(variable.shape).astype(variable.dtype))

    def _shares(self, arrays: Any) -> Any:
        def of_replica(context: tf.distribute.ValueContext) -> Any:
            rank, replicas = context.replica_id_in_sync_group, context.num_replicas_in_sync
            return keras.tree.map_structure(
                lambda array: tf.constant(share(array, rank, replicas)), arrays
            )

        return self.strategy.experimental_distribute_values_from_function(of_replica)

    def _compute(self, *shares: Any) -> tf.Tensor:
        per_replica = self.strategy.run(self._replica, shares)
        loss, *gradients = [self._first(value) for value in per_replica]
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return loss

    def _replica(self, inputs: Any, targets: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
        variables = [variable.value for variable in self.model.trainable_variables]
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(inputs, training=True), "float32")
            nats = keras.ops.sparse_categorical_crossentropy(targets, logits, from_logits=True)
            loss = tf.reduce_sum(nats * weights)
        # An embedding's gradient comes as rows; all replicas must send the same shape.
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        return tf.distribute.get_replica_context().all_reduce("sum", [loss, *gradients])

    def _summed(self, flat: tf.Tensor) -> tf.Tensor:
        def replica() -> list[tf.Tensor]:
            return tf.distribute.get_replica_context().all_reduce("sum", [tf.identity(flat)])

        return self._first(self.strategy.run(replica)[0])

    def _first(self, value: Any) -> tf.Tensor:
        return self.strategy.experimental_local_results(value)[0]


def weighted(batch: Batch) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return inputs, targets and weights: 1 / (tokens that count) on those, 0 on the others.

    The sum of weighted losses over *any* division of the rows is the mean over the whole batch.

    Args:
        batch: (inputs, targets) or (inputs, targets, mask).
    """
    inputs, targets, *mask = batch
    weights = np.asarray(mask[0] if mask else np.ones(np.shape(targets)), np.float32)
    return inputs, targets, weights / weights.sum()


def share(rows: np.ndarray, rank: int, replicas: int) -> np.ndarray:
    """Return the rows of one replica, a block of them.

    Raises:
        ValueError: if the rows cannot be shared equally.
    """
    if len(rows) % replicas:
        raise ValueError(
            f"a batch of {len(rows)} rows cannot be shared equally by {replicas} replicas; "
            f"take a batch size that is a multiple of {replicas}"
        )
    size = len(rows) // replicas
    return rows[rank * size : (rank + 1) * size]


def train_replicas(
    replicas: Replicas,
    batches: keras.utils.PyDataset,
    validate: Callable[[], float],
    *,
    steps: int,
    settings: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    chief: bool = True,
    report: Callable[..., None] | None = None,
) -> Curve:
    """Train with all replicas; every process calls this with the same arguments.

    After every epoch of the batches the chief, and it alone, validates and writes the checkpoint.
    A run that was stopped goes on from it, with the same batches and to the same result; the
    number of replicas may have changed, since a step depends on the whole batch only.

    Args:
        replicas: the model with its optimizer and strategy.
        batches: a dataset of `batches`, whose `epoch` can be set.
        validate: returns the validation loss of the model as it is, nats per token.
        steps: training steps in all; a multiple of ``len(batches)``.
        settings: what else must be the same for a checkpoint to be continued.
        checkpoint: the chief's file; the other processes need not see it.
        chief: whether this process is the chief.
        report: called with `step` and `loss` after each step; by the chief also with `resumed`,
            the step of the checkpoint, and with `valid` and `seconds` after each evaluation.

    Returns:
        The curve; in the chief that of the whole run, elsewhere an empty one. In the end the
        chief's model has the best weights that it has seen, the others' the last ones.

    Raises:
        ValueError: if a number is out of range, the rows of a batch cannot be shared, or the
            checkpoint is damaged or of a run with other settings.
        OSError: if the checkpoint cannot be written; known before the first step.
        FloatingPointError: if the loss is not finite.
        MemoryError: if the memory of a device does not suffice; the checkpoint is kept.
    """
    report = report or (lambda **values: None)
    settings = {"steps": steps, "every": len(batches), **(settings or {})}
    _check(replicas, batches, steps)
    model, curve, best = replicas.model, Curve(), replicas.model.get_weights()
    if chief and checkpoint is not None:
        check_place(checkpoint)
        if Path(checkpoint).exists():
            best, progress = load_checkpoint(checkpoint, model, settings)
            curve = Curve.from_dict(progress["curve"])
            report(resumed=curve.steps[-1])
    replicas.follow_chief(chief)
    start = time.perf_counter() - (curve.seconds[-1] if len(curve) else 0.0)
    while replicas.steps < steps:
        loss = _epoch(replicas, batches, report)
        if not chief:
            continue
        valid, seconds = float(validate()), time.perf_counter() - start
        curve.append(replicas.steps, loss, valid, seconds)
        if curve.best == len(curve) - 1:
            best = model.get_weights()
        if checkpoint is not None:
            save_checkpoint(checkpoint, model, best, settings, {"curve": asdict(curve)})
        report(step=replicas.steps, loss=loss, valid=valid, seconds=seconds)
    if chief:
        model.set_weights(best)
    return curve


def _check(replicas: Replicas, batches: keras.utils.PyDataset, steps: int) -> None:
    """Find out before the first step what would fail after many."""
    if not isinstance(steps, Integral) or steps < 1 or steps % len(batches):
        raise ValueError(f"steps must be a multiple of the {len(batches)} of an epoch, got {steps}")
    share(np.empty(batches.batch_size), 0, len(replicas))


def _epoch(
    replicas: Replicas, batches: keras.utils.PyDataset, report: Callable[..., None]
) -> float:
    """Take the steps of the next epoch and return their mean loss."""
    batches.epoch = replicas.steps // len(batches)
    losses = []
    for index in range(len(batches)):
        losses.append(replicas.step(batches[index]))
        report(step=replicas.steps, loss=losses[-1])
    return float(np.mean(losses))
