"""Training any Keras model: curve, early stopping, checkpoints, and the size of gradients."""

from textgen_utils.training.curve import Curve
from textgen_utils.training.monitor import GradientMonitor
from textgen_utils.training.optimizer import adam, muon, warmup_cosine
from textgen_utils.training.pairs import EncodedPairs, train_pairs
from textgen_utils.training.penalties import PenalisedLoss, penalised, penalty
from textgen_utils.training.run import token_loss, train, train_on

__all__ = [
    "Curve",
    "EncodedPairs",
    "GradientMonitor",
    "PenalisedLoss",
    "adam",
    "muon",
    "penalised",
    "penalty",
    "token_loss",
    "train",
    "train_on",
    "train_pairs",
    "warmup_cosine",
]
