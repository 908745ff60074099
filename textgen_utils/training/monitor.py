"""The size of every gradient of a run, written down before anything is clipped."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="textgen_utils")
class GradientMonitor(keras.optimizers.Optimizer):
    """An optimizer that notes the norm of each gradient and leaves the step to another.

    The norms are kept in a variable of the optimizer, so they are recorded inside a compiled
    step, with XLA or without, and a checkpoint holds them. The steps are the inner optimizer's,
    unchanged::

        monitor = GradientMonitor(adam(1e-3), steps=500)
        train(model, ..., steps=500, optimizer=monitor)
        monitor.norms()  # (500, number of variables)

    Args:
        optimizer: takes the steps.
        steps: how many steps are kept; of a longer run, the last ones.
        name: of this optimizer.

    Raises:
        ValueError: if `optimizer` is not a Keras optimizer, or `steps` no integer or below 1.
    """

    def __init__(
        self, optimizer: keras.optimizers.Optimizer, steps: int, name: str | None = None
    ) -> None:
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(f"optimizer must be a Keras optimizer, got {optimizer!r}")
        if not isinstance(steps, Integral) or steps < 1:
            raise ValueError(f"steps must be an integer of at least 1, got {steps!r}")
        super().__init__(learning_rate=0.0, name=name)  # not used: see `learning_rate`
        self.optimizer = optimizer
        self.steps = int(steps)

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the record, float32, (steps, variables), and what the inner optimizer needs."""
        if self.built:
            return
        self.names = [variable.path for variable in variables]
        shape = (self.steps, len(variables))
        self.record = self.add_variable(shape, dtype="float32", name="gradient_norms")
        if not self.optimizer.built:
            self.optimizer.build(variables)
        super().build(variables)

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """Write the norms into the row of this step, then let the inner optimizer step."""
        if not self.built:
            self.build(list(trainable_variables))
        pairs = zip(
            self._in_order(grads, trainable_variables), self._trainable_variables, strict=True
        )
        norms = ops.stack([self._norm(gradient, variable) for gradient, variable in pairs])
        row = ops.arange(self.steps) == ops.cast(self._iterations % self.steps, "int32")
        self.record.assign(ops.where(row[:, None], norms[None], self.record.value))
        self._iterations.assign_add(1)
        self.optimizer.apply(grads, trainable_variables)

    def norms(self) -> np.ndarray:
        """Return the L2 norm of each variable's gradient, float32, (steps done, variables).

        The columns are those of `names`; a variable without a gradient has 0.
        """
        if not self.built:
            raise ValueError("no gradient has been seen: train with this optimizer first")
        done, record = int(self._iterations), ops.convert_to_numpy(self.record)
        return record[:done] if done <= self.steps else np.roll(record, -(done % self.steps), 0)

    def global_norm(self) -> np.ndarray:
        """Return the L2 norm of the whole gradient of each step, float32, (steps done,)."""
        return np.sqrt((self.norms() ** 2).sum(axis=1))

    @property
    def variables(self) -> list[keras.Variable]:
        """Its own, then those of the inner optimizer."""
        return super().variables + self.optimizer.variables

    @property
    def iterations(self) -> Any:
        """Steps of the inner optimizer."""
        return self.optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.optimizer.learning_rate = learning_rate

    def scale_loss(self, loss: Any) -> Any:
        """Scale the loss as the inner optimizer wants it."""
        return self.optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Let the inner optimizer put its averages into the weights, where it keeps averages."""
        self.optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, the inner optimizer serialised."""
        inner = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": inner, "steps": self.steps, "name": self.name}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> GradientMonitor:
        """Make a monitor of what `get_config` gives."""
        inner = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**{**config, "optimizer": inner})

    def _in_order(self, grads: list[Any], variables: list[Any] | None) -> list[Any]:
        """The gradients in the order of the variables of `build`, None where there is none."""
        if variables is None:
            return list(grads)
        ordered = [None] * len(self.names)
        for gradient, variable in zip(grads, variables, strict=True):
            ordered[self._get_variable_index(variable)] = gradient
        return ordered

    def _norm(self, gradient: Any, variable: keras.Variable) -> Any:
        if gradient is None:
            return ops.zeros((), "float32")
        # On TensorFlow the gradient of an embedding is a list of rows, in which a token that
        # occurs twice has two: adding a dense zero sums them.
        dense = ops.add(gradient, ops.zeros(variable.shape, variable.dtype))
        scale = self.optimizer.loss_scale_factor or 1.0
        return ops.sqrt(ops.sum(ops.square(ops.cast(dense, "float32")))) / scale
