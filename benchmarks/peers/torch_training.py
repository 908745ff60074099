"""Loss and training step of a PyTorch model of language, plain or compiled.

AdamW with decay of the matrices only, gradients clipped by their global norm.

Source of the settings: A. Karpathy, nanoGPT, 2022.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Training:
    """What of a training step can be timed: forward, with gradients, all of it.

    Args:
        model: gives logits, (batch, time, vocab), of ids, (batch, time). Parameters that need no
            gradient are not counted.
        threads: that PyTorch uses.
        compiled: compile model and loss with `torch.compile`, and use AdamW's fused loop, which
            is a little faster than its default here.

    Raises:
        OSError: if it is to be compiled and there is no C++ compiler.
    """

    def __init__(self, model: nn.Module, threads: int, compiled: bool) -> None:
        torch.set_num_threads(threads)
        if compiled and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
            raise OSError("torch.compile needs a C++ compiler, g++ or clang++, and there is none")
        self.model = model
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = adamw(self.trained, fused=compiled)
        self.parameters = sum(p.numel() for p in self.trained)
        self.version = f"PyTorch {torch.__version__}"
        self._mean_loss = torch.compile(self._plain_loss) if compiled else self._plain_loss

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean cross-entropy, nats per token."""
        with torch.no_grad():
            return float(self._plain_loss(*_tensors(ids, targets)))

    def forward(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Return the loss, with what its gradient needs kept until here."""
        return self._mean_loss(*_tensors(ids, targets)).item()

    def gradients(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Compute the gradient, and return the loss."""
        loss = self._mean_loss(*_tensors(ids, targets))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return loss.item()

    def step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """Do one step of training, gradient clipped at 1, and return the loss before it."""
        loss = self.gradients(ids, targets)
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        return loss

    def _plain_loss(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.model(ids).flatten(0, 1), targets.flatten())


def adamw(parameters: list[nn.Parameter], *, fused: bool) -> torch.optim.Optimizer:
    """Return AdamW as nanoGPT sets it up, with decay of the matrices only."""
    groups = [
        {"params": [p for p in parameters if (p.dim() > 1) == matrices], "weight_decay": decay}
        for matrices, decay in ((True, 0.1), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, 1e-3, betas=(0.9, 0.99), fused=fused)


def multiplication(a: np.ndarray, b: np.ndarray) -> Callable[[], torch.Tensor]:
    """Return the product of two matrices, to be timed."""
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    return lambda: a @ b


def _tensors(ids: np.ndarray, targets: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(ids).long(), torch.from_numpy(targets).long()
