"""The peers' GPT-2 and its `generate` compute what ours do.

Each library answers from a process of its own, since not all bear each other in one.
"""

import multiprocessing

import numpy as np
import pytest
from scipy.stats import chisquare

from benchmarks import generation, writers

TINY = {"tiny": {"vocab_size": 65, "context": 24, "width": 64, "heads": 2, "depth": 3}}
SIZE = TINY["tiny"]
OURS = "ours, step by step"
DRAWS = 6000


def task(method, batch, new=16):
    return {"size": "tiny", "batch": batch, "prompt": 1, "new": new, "method": method}


# Eight rows of a network in both, which what is compiled for a shape is thankful for.
SEARCHES = {"greedy": task("greedy", 8), "beam": task("beam", 2)}
SAMPLES = task("nucleus", DRAWS, new=2)


def answers(name):
    """Return what a library computes, in its process."""
    writer = generation.makers(TINY)[name]().writer
    texts = {method: writer.write(task, 0) for method, task in SEARCHES.items()}
    return {
        "facts": writer.facts,
        "logits": logits(name, np.random.default_rng(3).integers(65, size=(3, 24), dtype="i4")),
        "samples": writer.write(SAMPLES, 5) if "compiled" not in name else None,
        **texts,
    }


def logits(name, ids):
    if name.startswith("Hugging"):
        from benchmarks.peers import hf_gpt

        return hf_gpt.logits(hf_gpt.model(SIZE), ids)
    if name.startswith("KerasHub"):
        from benchmarks.peers import hub_gpt

        return hub_gpt.logits(hub_gpt.backbone(SIZE), ids)
    return np.asarray(writers.our_model(SIZE)(ids))


def second_token():
    """Return the distribution of the second token after a prompt, by enumeration of the first."""
    read = np.repeat(writers.prompt(SAMPLES)[:1], 65, axis=0)
    following = np.concatenate([read, np.arange(65, dtype="i4")[:, None]], axis=1)
    predicted = logits(OURS, following).astype(np.float64)
    return nucleus(predicted[0, -2]) @ nucleus(predicted[:, -1])


def nucleus(predicted, p=0.9):
    probs = np.exp(predicted) / np.exp(predicted).sum(-1, keepdims=True)
    order = np.argsort(-probs, axis=-1)
    falling = np.take_along_axis(probs, order, -1)
    falling = np.where(np.cumsum(falling, -1) - falling < p, falling, 0)
    kept = np.zeros_like(probs)
    np.put_along_axis(kept, order, falling, -1)
    return kept / kept.sum(-1, keepdims=True)


def in_a_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


@pytest.fixture(scope="module")
def ours():
    return in_a_process(answers, OURS)


@pytest.fixture(scope="module")
def exact():
    return in_a_process(second_token)


@pytest.mark.parametrize("name", [n for n in generation.makers(TINY) if "ours" not in n])
def test_the_same_model_is_decoded_the_same_way(name, ours, exact):
    theirs = in_a_process(answers, name)
    check_model(theirs, ours)
    compiled = name == "Hugging Face, compiled"  # only the network is another, and few shapes
    for method in ["greedy"] if compiled else SEARCHES:
        assert len(np.unique(ours[method])) > 2
        np.testing.assert_array_equal(theirs[method], ours[method])
    if not compiled:
        check_samples(np.bincount(theirs["samples"][:, 1], minlength=65), DRAWS * exact)


def check_model(theirs, ours):
    """Compare logits, parameters and log p."""
    assert np.abs(ours["logits"]).max() > 1
    np.testing.assert_allclose(theirs["logits"], ours["logits"], atol=1e-5)
    generation.check_equal({"ours": ours["facts"], "theirs": theirs["facts"]}, ["tiny"])
    # Biases of attention, perceptron and norms in each block, and of the last norm.
    assert theirs["facts"]["tiny"]["zeros"] == 3 * (4 * 64 + 5 * 64 + 2 * 64) + 64


def check_samples(counts, expected):
    """Compare second tokens, which are drawn inside the loop, with their exact distribution."""
    rare = expected < 5
    if expected[rare].sum() == 0:
        assert counts[rare].sum() == 0
    else:
        counts, expected = (np.append(x[~rare], x[rare].sum()) for x in (counts, expected))
        rare = np.zeros(len(counts), bool)
    assert chisquare(counts[~rare], expected[~rare]).pvalue > 1e-4
    assert chisquare(counts[~rare]).pvalue < 1e-6  # draws enough to tell it from another
