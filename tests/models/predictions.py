"""What every language model made of other ones must pass."""

import numpy as np

from textgen_utils.models.base import LanguageModel, to_numpy
from textgen_utils.models.distributions import distributions


def by_steps(model, ids: np.ndarray) -> np.ndarray:
    """All predictions read off `step`, (batch, time, vocab)."""
    state, tokens, found = model.initial_state(len(ids)), np.full(len(ids), model.boundary), []
    for t in range(ids.shape[1]):
        log_probs, state = model.step(tokens, state)
        found.append(to_numpy(log_probs))
        tokens = ids[:, t]
    return np.stack(found, axis=1)


def is_one_model_in_three_ways(model, ids: np.ndarray, atol: float = 1e-9) -> np.ndarray:
    """`step`, `distributions` and `score` agree, sum to one and do not look ahead.

    Returns:
        the predictions, (batch, time, vocab).
    """
    assert isinstance(model, LanguageModel)
    expected = by_steps(model, ids)
    predicted = distributions(model, ids)
    np.testing.assert_allclose(predicted, expected, atol=atol)
    np.testing.assert_allclose(np.exp(predicted).sum(axis=-1), 1, atol=max(atol, 1e-9))
    scored = np.take_along_axis(expected, ids[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(to_numpy(model.score(ids)), scored, atol=atol)
    half = ids.shape[1] // 2
    changed = ids.copy()
    changed[:, half:] = (changed[:, half:] + 1) % model.vocab_size
    ahead = distributions(model, changed)
    np.testing.assert_allclose(ahead[:, : half + 1], predicted[:, : half + 1], atol=atol)
    assert np.abs(np.exp(ahead) - np.exp(predicted)).max() > 1e-4
    return predicted


def keeps_old_states(model, ids: np.ndarray) -> None:
    """A state from which the model went on gives again what it gave."""
    _, state = model.step(ids[:, 0], model.initial_state(len(ids)))
    first, _ = model.step(ids[:, 1], state)
    _, later = model.step(ids[:, 2], state)
    model.step(ids[:, 1], later)
    again, _ = model.step(ids[:, 1], state)
    np.testing.assert_array_equal(first, again)
