"""Training any Keras model that gives logits: curve, early stopping, checkpoints."""

from textgen_utils.training.curve import Curve
from textgen_utils.training.optimizer import adam, muon, warmup_cosine
from textgen_utils.training.run import token_loss, train, train_on

__all__ = ["Curve", "adam", "muon", "token_loss", "train", "train_on", "warmup_cosine"]
