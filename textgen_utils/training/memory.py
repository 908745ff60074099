"""How much memory a training step needs: computed before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

# Of numbers that an optimizer keeps for a weight: Adam two, Muon one for most.
MOMENTS = 2


@dataclass(frozen=True)
class Need:
    """The bytes of a training step.

    Attributes:
        weights: all of the model's.
        gradients: one number for each trainable weight.
        optimizer: `MOMENTS` numbers for each trainable weight.
        activations: what the forward pass hands to the backward pass, and what is at work there.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """The sum, bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations


def estimate(model: keras.Model, batch_size: int, window: int) -> Need:
    """Return what a training step of a GPT needs, before anything of it is allocated.

    A block of width C with H heads on B windows of T tokens needs about B T (111 C + 17 H T)
    bytes, with dropout B T (2 C + H T) 6 more, and each logit 8. The form is that of Korthikanti
    et al.; the three constants were fitted to what XLA reports for five such steps on a CPU, in
    float32. Mixed precision needs less; how much less was not looked at.

    Args:
        model: a `GPT`.
        batch_size: windows a step.
        window: tokens of a window.

    Raises:
        ValueError: if the model is no `GPT`, or a number is below 1.

    Source: V. Korthikanti et al., "Reducing activation recomputation in large transformer
    models", 2022, section 4.1.
    """
    if not all(hasattr(model, name) for name in ("width", "heads", "depth", "max_context")):
        raise ValueError(f"the model must be a GPT, got {type(model).__name__}")
    if batch_size < 1 or window < 1:
        raise ValueError(f"batch_size and window must be at least 1, got {batch_size} and {window}")
    weights = sum(int(np.prod(weight.shape)) for weight in model.weights)
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    tokens, pairs = batch_size * window, model.heads * window
    block = tokens * (111 * model.width + 17 * pairs)
    if model.dropout:
        block += tokens * 6 * (2 * model.width + pairs)
    logits = 8 * tokens * model.vocab_size
    return Need(4 * weights, 4 * trained, 4 * MOMENTS * trained, model.depth * block + logits)
