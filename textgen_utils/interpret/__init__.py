"""Why did it say that: which tokens an output rests on; and how the loss bends around a model."""

from textgen_utils.interpret.curvature import Sharpness, hessian_product, sharpness
from textgen_utils.interpret.gradients import (
    Attribution,
    gradient,
    gradient_times_input,
    integrated_gradients,
)
from textgen_utils.interpret.removal import (
    deletion_area,
    deletion_curves,
    in_batches,
    leave_one_out,
    shuffled,
)
from textgen_utils.interpret.surface import Surface
from textgen_utils.interpret.targets import target_context, target_log_prob

__all__ = [
    "Attribution",
    "Sharpness",
    "Surface",
    "deletion_area",
    "deletion_curves",
    "gradient",
    "gradient_times_input",
    "hessian_product",
    "in_batches",
    "integrated_gradients",
    "leave_one_out",
    "sharpness",
    "shuffled",
    "target_context",
    "target_log_prob",
]
