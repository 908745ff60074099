"""A GPT in PyTorch, as its users would write it, with the weights of ours.

Fused attention, and one matrix for queries, keys and values.

Source of the architecture: A. Karpathy, nanoGPT, 2022.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.torch_training import Training


class Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, bias=False)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.combine = nn.Linear(width, width, bias=False)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, time, width) from (batch, time, width)."""
        batch, time, width = x.shape
        parts = self.project(self.norm_1(x)).split(width, dim=2)
        queries, keys, values = (
            part.view(batch, time, self.heads, -1).transpose(1, 2) for part in parts
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.combine(mixed.transpose(1, 2).reshape(batch, time, width))
        return x + self.narrow(functional.gelu(self.widen(self.norm_2(x))))


class TorchGPT(nn.Module):
    """The architecture of `textgen_utils.models.transformer.GPT`."""

    def __init__(self, vocab_size: int, context: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits, (batch, time, vocab), of ids, (batch, time)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return functional.linear(self.norm(x), self.tokens.weight)

    def take(self, weights: dict[str, np.ndarray]) -> None:
        """Copy weights, by the names of `named_parameters`; matrices as Keras stores them."""
        own = dict(self.named_parameters())
        if own.keys() != weights.keys():
            raise ValueError(f"the weights must be {sorted(own)}, got {sorted(weights)}")
        with torch.no_grad():
            for name, value in weights.items():
                table = name in ("tokens.weight", "positions.weight") or value.ndim == 1
                own[name].copy_(torch.from_numpy(value if table else value.T.copy()))


class Competitor(Training):
    """Loss and training step of a `TorchGPT`: see `benchmarks.gpt_step`.

    Args:
        sizes: the arguments of `TorchGPT`.
        weights: see `TorchGPT.take`.
        threads: that PyTorch uses.
        compiled: see `Training`.
    """

    def __init__(
        self,
        sizes: dict[str, int],
        weights: dict[str, np.ndarray],
        threads: int,
        compiled: bool = False,
    ) -> None:
        model = TorchGPT(**sizes)
        model.take(weights)
        super().__init__(model, threads, compiled)
