"""Training on more than one device, with TensorFlow: one batch, cut into shares, one gradient.

The command ``python -m textgen_utils.training.distributed --workers 2 --out FOLDER`` trains the
translation of reviews with several processes; `train_replicas` is the loop that each of them runs.
"""

from textgen_utils.training.distributed.cluster import Cluster
from textgen_utils.training.distributed.communication import (
    StepTime,
    line_through,
    ring_all_reduce,
    ring_seconds,
)
from textgen_utils.training.distributed.launcher import WorkerFailedError, launch
from textgen_utils.training.distributed.replicas import Replicas, share, train_replicas
from textgen_utils.training.distributed.reviews_task import ReviewsTask

__all__ = [
    "Cluster",
    "Replicas",
    "ReviewsTask",
    "StepTime",
    "WorkerFailedError",
    "launch",
    "line_through",
    "ring_all_reduce",
    "ring_seconds",
    "share",
    "train_replicas",
]
