"""What is minimised: readable references, in nats, on any backend.

All take integer targets and unnormalised logits, and average over the positions that count.
`NamedLoss` makes any of them a loss for training; `beliefs` tells where they lead.
"""

from textgen_utils.losses.errors import absolute_error, squared_error
from textgen_utils.losses.likelihood import (
    Tensor,
    accuracy,
    cross_entropy,
    focal,
    log_likelihood,
    masked_mean,
    smoothed_cross_entropy,
    weighted_cross_entropy,
)
from textgen_utils.losses.named import NamedLoss
from textgen_utils.losses.sampled import (
    log_uniform_proposal,
    sampled_softmax,
    unigram_proposal,
)
from textgen_utils.losses.unlikelihood import log_complement, unlikelihood

__all__ = [
    "NamedLoss",
    "Tensor",
    "absolute_error",
    "accuracy",
    "cross_entropy",
    "focal",
    "log_complement",
    "log_likelihood",
    "log_uniform_proposal",
    "masked_mean",
    "sampled_softmax",
    "smoothed_cross_entropy",
    "squared_error",
    "unigram_proposal",
    "unlikelihood",
    "weighted_cross_entropy",
]
