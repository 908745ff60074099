"""A GPT-2 of Hugging Face with the weights of our GPT, and its `generate`.

Called as its documentation has it: eval mode, inference mode, an attention mask, the key-value
cache that it makes by itself; or a static cache, with which `torch.compile` compiles each step
after the prompt. It has biases, which stay 0, and the exact GELU, which its configuration offers.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

# So that a first turn's seconds hold the compilation, whatever was compiled here before.
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")

import numpy as np
import torch
import transformers

from benchmarks.gpt_step import initial_weights
from benchmarks.turns import Task
from benchmarks.writers import BEAMS, BOUNDARY, NUCLEUS, Sizes, mean_log_p, prompt, text


class HuggingFaceWriter:
    """A `benchmarks.writers.Writer`.

    Args:
        sizes: by name.
        compiled: whether each step is compiled. The one that reads the prompt never is.

    Raises:
        OSError: if steps are to be compiled and there is no C++ compiler.
    """

    def __init__(self, sizes: Sizes, compiled: bool) -> None:
        if compiled and not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
            raise OSError("torch.compile needs a C++ compiler on a CPU, and there is none")
        transformers.logging.set_verbosity_error()
        self.compiled = compiled
        self.models = {name: model(size) for name, size in sizes.items()}
        torch_ = f"PyTorch {torch.__version__}"
        self.facts: dict[str, Any] = {"version": f"{transformers.__version__}, {torch_}"}
        for name, network in self.models.items():
            ids = text(sizes[name])
            parameters = sum(p.numel() for p in network.parameters())
            facts = {"parameters": parameters, "zeros": count_zeros(network)}
            self.facts[name] = {**facts, "log_p": mean_log_p(logits(network, ids), ids)}

    def write(self, task: Task, seed: int) -> np.ndarray | None:
        """Return the new tokens; see `compilable`."""
        if self.compiled and not compilable(task):
            return None
        read = torch.from_numpy(prompt(task)).long()
        torch.manual_seed(seed)
        with torch.inference_mode():
            ids = self.models[task["size"]].generate(
                read,
                attention_mask=torch.ones_like(read),
                generation_config=settings(task, self.compiled),
            )
        return ids[:, task["prompt"] :].numpy()


def compilable(task: Task) -> bool:
    """Return whether a task is compiled for.

    Not one token after a prompt, since only steps after it are compiled. Nor beams or many texts
    of a large model, since each number of rows compiles for ten seconds and more; the latter was
    tried, and slower than without.
    """
    many = task["size"] == "large" and task["batch"] > 1
    return task["new"] > 1 and task["method"] != "beam" and not many


def settings(task: Task, compiled: bool) -> transformers.GenerationConfig:
    """Return what `generate` is told of a task."""
    config = transformers.GenerationConfig(
        max_new_tokens=task["new"], do_sample=task["method"] == "nucleus", pad_token_id=BOUNDARY
    )
    if task["method"] == "nucleus":
        config.top_p, config.top_k = NUCLEUS, 0
    elif task["method"] == "beam":
        config.num_beams = BEAMS
    if compiled:
        config.cache_implementation = "static"
        config.compile_config = transformers.CompileConfig(mode="default", dynamic=False)
        config.compile_config._compile_all_devices = True  # else it compiles on a GPU only
    return config


def model(size: dict[str, int]) -> transformers.GPT2LMHeadModel:
    """Return Hugging Face's GPT-2 with the weights that all have."""
    config = transformers.GPT2Config(
        vocab_size=size["vocab_size"],
        n_positions=size["context"],
        n_embd=size["width"],
        n_layer=size["depth"],
        n_head=size["heads"],
        activation_function="gelu",
        bos_token_id=BOUNDARY,
        eos_token_id=None,
    )
    network = transformers.GPT2LMHeadModel(config).eval()
    own = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in initial_weights(size).items():
            own[peer_name(name)].copy_(torch.from_numpy(value))
    return network


def peer_name(name: str) -> str:
    """Return Hugging Face's name of a weight; its matrices are as in Keras, (in, out)."""
    names = {"tokens.weight": "wte", "positions.weight": "wpe", "norm.weight": "ln_f"}
    if name in names:
        return f"transformer.{names[name]}.weight"
    _, i, part, _ = name.split(".")
    parts = {"norm_1": "ln_1", "project": "attn.c_attn", "combine": "attn.c_proj"}
    parts |= {"norm_2": "ln_2", "widen": "mlp.c_fc", "narrow": "mlp.c_proj"}
    return f"transformer.h.{i}.{parts[part]}.weight"


def count_zeros(network: torch.nn.Module) -> int:
    """Return the number of biases, all 0."""
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    if any(p.any() for p in biases):
        raise ValueError("a bias is not 0")
    return sum(p.numel() for p in biases)


def logits(network: torch.nn.Module, ids: np.ndarray) -> np.ndarray:
    """Return logits, (batch, time, vocab), of ids, (batch, time)."""
    with torch.inference_mode():
        return network(torch.from_numpy(ids).long()).logits.numpy()
