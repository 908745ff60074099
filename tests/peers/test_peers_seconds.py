"""nanoGPT's run in PyTorch: the schedule, the first weights, the optimizer, the evaluation."""

import itertools
import math

import numpy as np
import pytest
import torch

from benchmarks import gpt_step, seconds_to_loss
from benchmarks.peers import torch_nanogpt
from benchmarks.peers.torch_nanogpt import NanoGPT, learning_rate
from benchmarks.quick_gpt import token_scores
from textgen_utils import training
from textgen_utils.models.transformer import GPT


@pytest.fixture
def run():
    return NanoGPT(np.random.default_rng(0).integers(65, size=3000), 65, seed=1, threads=1)


@pytest.mark.parametrize("step", [0, 50, 99, 100, 700, 1999, 2000, 2001, 2500])
def test_the_schedule_is_that_of_train_py(step):
    """`get_lr` of nanoGPT's `train.py`, by cases, with the command's numbers."""
    if step < 100:
        expected = 1e-3 * (step + 1) / 101
    elif step > 2000:
        expected = 1e-4
    else:
        ratio = (step - 100) / (2000 - 100)
        expected = 1e-4 + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (1e-3 - 1e-4)
    assert learning_rate(step) == pytest.approx(expected, rel=1e-12)


def test_the_schedule_is_nearly_ours():
    schedule = training.warmup_cosine(1e-3, 2000, warmup=100)
    for step in (10, 100, 300, 1000, 2000):  # the rise differs by one step in a hundred
        assert learning_rate(step) == pytest.approx(float(schedule(step)), rel=0.1)


def test_parameters_and_first_weights_are_those_of_nanogpt(run):
    assert run.facts["parameters"] == 804_096  # it prints 0.80 M
    spread = {
        name: float(w.detach().std()) for name, w in run.model.named_parameters() if w.dim() > 1
    }
    for name, value in spread.items():
        last = name.endswith(("combine.weight", "narrow.weight"))
        assert value == pytest.approx(0.02 / math.sqrt(8) if last else 0.02, rel=0.05)
    gains = [w for w in run.model.parameters() if w.dim() == 1]
    assert all(bool((w == 1).all()) for w in gains)


def test_only_matrices_decay(run):
    for group in run.optimizer.param_groups:
        assert group["betas"] == (0.9, 0.99)
        assert {p.dim() > 1 for p in group["params"]} == {group["weight_decay"] == 0.1}
    held = sum(len(group["params"]) for group in run.optimizer.param_groups)
    assert held == len(list(run.model.parameters()))


def test_windows_cost_what_ours_cost_with_the_same_weights(run):
    sizes = {"vocab_size": 65, **torch_nanogpt.SIZES}
    weights = gpt_step.initial_weights(sizes)
    run.model.take(weights)
    others = {name: sizes[name] for name in ("width", "heads", "depth")}
    ours = GPT(65, max_context=64, boundary=0, **others)
    for name, weight in gpt_step.named_weights(ours).items():
        weight.assign(weights[name])
    rows = seconds_to_loss.windows(run.ids.numpy(), n=60).astype("int32")  # two calls, one short
    expected = -np.mean(token_scores(ours)(rows[:, :-1], rows[:, 1:]))
    assert run.loss(rows) == pytest.approx(float(expected), abs=1e-4)


def test_steps_follow_the_schedule_and_learn():
    text = np.tile(np.arange(20), 50)
    run = NanoGPT(text, 20, seed=1, threads=1)
    rows = seconds_to_loss.windows(text, n=10)
    before = run.loss(rows)
    for step, _ in enumerate(itertools.islice(run.steps(), 30)):
        assert run.optimizer.param_groups[0]["lr"] == learning_rate(step)
    assert run.loss(rows) < before - 0.5
    assert torch.get_num_threads() == 1
