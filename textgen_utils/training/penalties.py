"""Penalties: what a training loss is charged for large weights."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import keras
from keras import ops

from textgen_utils.training.run import token_loss


def penalised(
    model: keras.Model,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    loss: keras.losses.Loss | None = None,
) -> keras.losses.Loss:
    """Return a loss plus the penalties of a model's matrices, for `train_on`.

    The matrices are the trainable variables with two axes or more; biases and gains are free, as
    under the weight decay of `adam`. With `l2` = lambda a step of plain gradient descent is that
    of the loss alone with decoupled weight decay lambda; with any other rule it is not.

    The training losses of a curve then include the penalty. Validation losses do not.

    Args:
        model: the model that is trained; it has its weights already.
        l1: the weight of the sum of absolute values.
        l2: the weight of half the sum of squares.
        loss: what is penalised; None: `token_loss`.

    Raises:
        ValueError: if a weight is negative or not a finite number, the loss not a Keras loss, or
            the model without matrices, because it is not built.
    """
    loss = token_loss() if loss is None else loss
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(f"loss must be a Keras loss, such as MeanSquaredError(), got {loss!r}")
    matrices = matrices_of(model)
    if not matrices:
        raise ValueError(
            f"{type(model).__name__} has no matrix to penalise: build it, or call it on a batch"
        )
    return PenalisedLoss(loss, matrices, l1=l1, l2=l2)


def matrices_of(model: keras.Model) -> list[keras.Variable]:
    """Return the trainable variables of a model that have two axes or more."""
    return [variable for variable in model.trainable_variables if len(variable.shape) > 1]


def penalty(variables: list[Any], *, l1: float = 0.0, l2: float = 0.0) -> Any:
    """Return ``l1 * sum |theta| + l2 / 2 * sum theta^2``, a scalar tensor.

    Its gradient is l1 sign(theta) + l2 theta, with sign(0) = 0.

    Args:
        variables: variables or tensors of floats.
        l1, l2: see `penalised`.

    Raises:
        ValueError: if there is no variable, or a weight is negative or not a finite number.
    """
    _check(l1=l1, l2=l2)
    if not len(variables):
        raise ValueError("a penalty needs at least one variable, got none")
    terms = []
    for theta in map(ops.convert_to_tensor, variables):
        if l1:
            terms.append(l1 * ops.sum(ops.abs(theta)))
        if l2:
            terms.append(0.5 * l2 * ops.sum(ops.square(theta)))
    return sum(terms, ops.zeros(()))


class PenalisedLoss(keras.losses.Loss):
    """A loss plus the penalty of some variables, which it reads at each call.

    Args:
        loss: gives the loss of a batch.
        variables: what is penalised.
        l1, l2: see `penalised`.
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        variables: list[keras.Variable],
        *,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        _check(l1=l1, l2=l2)
        super().__init__(name=f"penalised_{loss.name}", reduction=loss.reduction)
        self.loss = loss
        self.variables = list(variables)
        self.l1 = float(l1)
        self.l2 = float(l2)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the reduced loss plus the penalty: the penalty does not grow with the batch."""
        charged = penalty(self.variables, l1=self.l1, l2=self.l2)
        value = self.loss(y_true, y_pred, sample_weight)
        return value + ops.cast(charged, value.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the weights and the inner loss; a penalised loss is not loaded from it."""
        inner = [type(self.loss).__name__, self.loss.get_config()]
        return {"l1": self.l1, "l2": self.l2, "loss": inner, "name": self.name}


def _check(**weights: float) -> None:
    for name, value in weights.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise ValueError(
                f"the weight {name} of a penalty must be finite and at least 0, got {value!r}"
            )
