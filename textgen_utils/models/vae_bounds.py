"""Lower bounds of the log-probability of texts under a variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from textgen_utils.models.compiled import call_in_batches

if TYPE_CHECKING:
    from textgen_utils.models.vae import VAE


@dataclass(frozen=True)
class Bounds:
    """What is known of log p(x) of n texts from K draws of q(z | x) for each.

    Attributes:
        kl: KL(q(z | x) || p(z)) of each text, exact, float64 (n,), nats.
        log_p: log p(x | z) of each draw, (n, K), nats.
        log_weights: log p(x | z) + log p(z) - log q(z | x), (n, K), nats.
    """

    kl: np.ndarray
    log_p: np.ndarray
    log_weights: np.ndarray

    @property
    def reconstruction(self) -> np.ndarray:
        """Mean of log p(x | z) over the draws, (n,), nats."""
        return self.log_p.mean(axis=1)

    @property
    def elbo(self) -> np.ndarray:
        """Evidence lower bound, (n,), nats: estimated log p(x | z), less the exact KL."""
        return self.reconstruction - self.kl

    @property
    def weighted(self) -> np.ndarray:
        """Importance-weighted bound, (n,), nats: log of the mean weight.

        Its expectation lies between that of `elbo` and log p(x), and rises with K.

        Source: Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", 2016.
        """
        return logsumexp(self.log_weights, axis=1) - np.log(self.log_weights.shape[1])


def bounds(mean: ArrayLike, log_var: ArrayLike, noise: ArrayLike, log_p: ArrayLike) -> Bounds:
    """Return the bounds from the draws z = mean + exp(log_var / 2) * noise.

    Args:
        mean, log_var: of q(z | x), each (n, latent).
        noise: standard normal, (n, K, latent).
        log_p: log p(x | z), (n, K), nats.
    """
    mean, log_var, noise, log_p = (np.asarray(x, np.float64) for x in (mean, log_var, noise, log_p))
    z = mean[:, None] + np.exp(log_var / 2)[:, None] * noise
    # The constants of the two normal densities are the same.
    rest = (noise**2 + log_var[:, None] - z**2).sum(axis=-1) / 2
    kl = (mean**2 + np.exp(log_var) - 1.0 - log_var).sum(axis=-1) / 2
    return Bounds(kl, log_p, log_p + rest)


def estimate(model: VAE, ids: np.ndarray, samples: int, seed: int) -> Bounds:
    """Return the bounds of checked texts, (n, time): see `VAE.bound`.

    Raises:
        ValueError: samples below 1.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    mean, log_var = model.encode(ids)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(ids), samples, model.latent), np.float32)
    z = mean[:, None] + np.exp(log_var / 2)[:, None] * noise
    call = model.compiled_call("text_log_prob", model.text_log_prob)
    repeated = np.repeat(ids, samples, axis=0)
    log_p = call_in_batches(call, 1024, repeated, z.reshape(-1, model.latent))
    return bounds(mean, log_var, noise, log_p.reshape(len(ids), samples))
