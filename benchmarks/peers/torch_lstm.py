"""An LSTM language model in PyTorch, as its users would write it, with the weights of ours.

PyTorch's layer has two biases, of which only the sum matters: one is zero and is not trained, so
that the number of trained parameters is that of ours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmarks.peers.torch_training import Training


class TorchLSTM(nn.Module):
    """The architecture of `textgen_utils.models.recurrent.LSTMLanguageModel`, one layer."""

    def __init__(self, vocab_size: int, embedding_width: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_width)
        self.recurrent = nn.LSTM(embedding_width, width, batch_first=True)
        nn.init.zeros_(self.recurrent.bias_hh_l0)
        self.recurrent.bias_hh_l0.requires_grad_(False)
        self.head = nn.Linear(width, vocab_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits, (batch, time, vocab), of ids, (batch, time)."""
        return self.head(self.recurrent(self.embedding(ids))[0])

    def take(self, weights: list[np.ndarray]) -> None:
        """Copy weights, as Keras orders and stores them; the gates have the same order in both."""
        recurrent = self.recurrent
        own = [self.embedding.weight, recurrent.weight_ih_l0, recurrent.weight_hh_l0]
        own += [recurrent.bias_ih_l0, self.head.weight, self.head.bias]
        with torch.no_grad():
            for parameter, value in zip(own, weights, strict=True):
                value = value if value.ndim == 1 or parameter is own[0] else value.T.copy()
                parameter.copy_(torch.from_numpy(value))


class Competitor(Training):
    """Loss and training step of a `TorchLSTM`.

    Args:
        sizes: the arguments of `TorchLSTM`.
        weights: see `TorchLSTM.take`.
        threads: that PyTorch uses.
        compiled: see `Training`; PyTorch leaves the recurrent layer as it is.
    """

    def __init__(
        self,
        sizes: dict[str, int],
        weights: list[np.ndarray],
        threads: int,
        compiled: bool = False,
    ) -> None:
        model = TorchLSTM(**sizes)
        model.take(weights)
        super().__init__(model, threads, compiled)
