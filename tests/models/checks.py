"""What every Keras language model of the book must pass."""

import os
import subprocess
import sys

import numpy as np
from keras import ops

from textgen_utils.models.base import LanguageModel


def step_and_score_agree_with_the_forward_pass(model, ids):
    """`step` and `score` give what the logits of the whole text give."""
    assert isinstance(model, LanguageModel)
    first = np.full((len(ids), 1), model.boundary, "int32")
    read = np.concatenate([first, ids[:, :-1]], axis=1)
    all_log_probs = ops.convert_to_numpy(ops.log_softmax(model(read)))
    expected = np.take_along_axis(all_log_probs, ids[..., None], -1)[..., 0]
    np.testing.assert_allclose(model.score(ids), expected, atol=1e-4)
    state = model.initial_state(len(ids))
    for t, tokens in enumerate(read.T):
        log_probs, state = model.step(tokens, state)
        np.testing.assert_allclose(log_probs, all_log_probs[:, t], atol=1e-4)
        np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, atol=1e-5)


def scores_in_a_fresh_process(models, ids, folder):
    """Save models of one class, load them in another process, and return their scores there.

    All in one process: it takes longer to start than to score.
    """
    for i, model in enumerate(models):
        model.save(folder / f"{i}.keras")
    np.save(folder / "ids.npy", ids)
    code = (
        f"import sys, keras, numpy as np, {type(models[0]).__module__}\n"
        "folder, count = sys.argv[1], int(sys.argv[2])\n"
        "ids = np.load(folder + '/ids.npy')\n"
        "models = [keras.saving.load_model(f'{folder}/{i}.keras') for i in range(count)]\n"
        "np.save(folder + '/scores.npy', [model.score(ids) for model in models])\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(len(models))]
    subprocess.run(command, check=True, env=os.environ)
    return np.load(folder / "scores.npy")
