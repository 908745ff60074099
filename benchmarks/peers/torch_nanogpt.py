"""nanoGPT's published run on a CPU, in PyTorch: its recipe and schedule, and a clock.

The architecture is that of `benchmarks.peers.torch_gpt`.

Source: A. Karpathy, nanoGPT, 2022: the command for a CPU in its README, with what
`config/train_shakespeare_char.py` and `train.py` set beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.torch_gpt import TorchGPT

SIZES = {"context": 64, "width": 128, "heads": 4, "depth": 4}
BATCH = 12
STEPS = 2000
WARMUP = 100
RATES = (1e-3, 1e-4)
WINDOWS_A_CALL = 50


def learning_rate(step: int) -> float:
    """Return the rate of a step, counted from 0: a rise, half a cosine, and the lowest rate."""
    peak, lowest = RATES
    if step < WARMUP:
        return peak * (step + 1) / (WARMUP + 1)
    if step > STEPS:
        return lowest
    done = (step - WARMUP) / (STEPS - WARMUP)
    return lowest + 0.5 * (1 + math.cos(math.pi * done)) * (peak - lowest)


class NanoGPT:
    """A run of nanoGPT on a text.

    Args:
        ids: the training text, ints, shape (time,).
        vocab_size: the number of tokens.
        seed: draws the initial weights and the windows.
        threads: of PyTorch.
        compiled: whether `torch.compile` makes the step, as nanoGPT does on a GPU.
    """

    def __init__(
        self, ids: np.ndarray, vocab_size: int, *, seed: int, threads: int, compiled: bool = False
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.ids = torch.from_numpy(np.asarray(ids, np.int64))
        self.model = TorchGPT(vocab_size, **SIZES)
        initialise(self.model)
        self.optimizer = optimizer(self.model)
        self.planned = STEPS
        self.facts = {
            "version": f"PyTorch {torch.__version__}",
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }
        self._loss = torch.compile(self._eager_loss) if compiled else self._eager_loss

    def steps(self) -> Iterator[None]:
        """Do a step of training for each item asked for; it is done when the item comes."""
        step = 0
        while True:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(step)
            context = SIZES["context"]
            start = torch.randint(len(self.ids) - context, (BATCH,))
            windows = self.ids[start[:, None] + torch.arange(context + 1)]
            loss = self._loss(windows)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            step += 1
            yield

    def loss(self, windows: np.ndarray) -> float:
        """Return the mean loss of windows, ints, (n, context + 1); nats per token."""
        with torch.inference_mode():
            parts = torch.from_numpy(np.asarray(windows, np.int64)).split(WINDOWS_A_CALL)
            return sum(float(self._eager_loss(part)) * len(part) for part in parts) / len(windows)

    def _eager_loss(self, windows: torch.Tensor) -> torch.Tensor:
        logits = self.model(windows[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def initialise(model: TorchGPT) -> None:
    """Draw the weights as nanoGPT does: normal, 0.02 wide, less at the end of each branch."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            last = name.endswith(("combine.weight", "narrow.weight"))
            nn.init.normal_(weight, 0.0, 0.02 / math.sqrt(2 * len(model.blocks)) ** last)


def optimizer(model: TorchGPT) -> torch.optim.Optimizer:
    """Return AdamW with a decay of 0.1 of all matrices, embeddings among them."""
    groups = [
        {"params": [p for p in model.parameters() if (p.dim() > 1) == many], "weight_decay": decay}
        for many, decay in ((True, 0.1), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, RATES[0], betas=(0.9, 0.99))
