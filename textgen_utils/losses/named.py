"""Any of the losses as Keras takes it, saved by its name and its settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from textgen_utils.losses.errors import absolute_error, squared_error
from textgen_utils.losses.likelihood import (
    cross_entropy,
    focal,
    smoothed_cross_entropy,
    weighted_cross_entropy,
)
from textgen_utils.losses.sampled import sampled_softmax
from textgen_utils.losses.unlikelihood import unlikelihood

FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        absolute_error,
        cross_entropy,
        focal,
        sampled_softmax,
        smoothed_cross_entropy,
        squared_error,
        unlikelihood,
        weighted_cross_entropy,
    )
}


@keras.saving.register_keras_serializable(package="textgen_utils")
class NamedLoss(keras.losses.Loss):
    """A function of this package as a loss for training.

    Args:
        function: its name, one of `FUNCTIONS`.
        settings: its keyword arguments, as JSON can hold them: lists in place of arrays.
        name: for Keras; None: that of the function.

    Raises:
        ValueError: if there is no such function or it has no such setting, or lacks one.
    """

    def __init__(
        self, function: str, settings: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name or function, reduction="mean_with_sample_weight")
        if function not in FUNCTIONS:
            raise ValueError(f"there is no loss {function!r}; there are {sorted(FUNCTIONS)}")
        self.function = function
        self.settings = dict(settings or {})
        try:
            inspect.signature(FUNCTIONS[function]).bind(None, None, None, **self.settings)
        except TypeError as error:
            raise ValueError(f"{function} cannot take {sorted(self.settings)}: {error}") from error

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any | None = None) -> Any:
        """Return the mean loss; `sample_weight`, 0 or 1, is the mask."""
        return FUNCTIONS[self.function](y_true, y_pred, sample_weight, **self.settings)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the mean loss over all positions."""
        return self(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"function": self.function, "settings": self.settings, "name": self.name}
