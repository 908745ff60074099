"""Why did it say that: which tokens of its input a model's output rests on."""

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
from textgen_utils.interpret.targets import target_context, target_log_prob

__all__ = [
    "Attribution",
    "deletion_area",
    "deletion_curves",
    "gradient",
    "gradient_times_input",
    "in_batches",
    "integrated_gradients",
    "leave_one_out",
    "shuffled",
    "target_context",
    "target_log_prob",
]
