"""What a training run writes down."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from textgen_utils.files import write_atomically


@dataclass
class Curve:
    """Losses of one run, one entry an evaluation.

    Attributes:
        steps: training steps done.
        train: mean loss of the training batches since the last evaluation, nats per token, with
            dropout where the model has it.
        valid: loss on the validation text, nats per token.
        seconds: time since the start of training, compilation and evaluation included.
    """

    steps: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)

    def append(self, step: int, train: float, valid: float, seconds: float) -> None:
        """Add one evaluation."""
        self.steps.append(step)
        self.train.append(train)
        self.valid.append(valid)
        self.seconds.append(seconds)

    @property
    def best(self) -> int:
        """The index of the lowest validation loss; the first one of equals.

        Raises:
            ValueError: if the curve is empty.
        """
        if not self.valid:
            raise ValueError("an empty curve has no best entry")
        return self.valid.index(min(self.valid))

    def save(self, path: str | os.PathLike) -> Path:
        """Write the curve as JSON, atomically."""
        return write_atomically(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Curve:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is not a curve.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is not a saved curve: {error}") from None

    @classmethod
    def from_dict(cls, values: dict[str, list]) -> Curve:
        """Make a curve of what `dataclasses.asdict` gives.

        Raises:
            ValueError: if an attribute is missing, unknown, or not as long as the others.
        """
        names = set(cls.__dataclass_fields__)
        if not isinstance(values, dict) or set(values) != names:
            raise ValueError(f"a curve has {sorted(names)}")
        if len({len(column) for column in values.values()}) != 1:
            raise ValueError("the columns of a curve must be of the same length")
        return cls(**values)
