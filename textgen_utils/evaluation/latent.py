"""What the points of a variational autoencoder know of their texts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp


def mutual_information(mean: ArrayLike, log_var: ArrayLike, *, seed: int) -> float:
    """Estimate the mutual information of a text and its point, nats.

    The mean of log q(z | x) - log q(z), one draw a text, where q(z) is the mixture of q(z | x)
    over the same n texts. It cannot exceed log n. The KL from the prior is this and the KL of
    q(z) from the prior together.

    Args:
        mean, log_var: of q(z | x) for n texts, each (n, latent).
        seed: draws the points.

    Raises:
        ValueError: fewer than two texts, or shapes that differ.

    Source: M. D. Hoffman and M. J. Johnson, "ELBO surgery", 2016.
    """
    mean, log_var = (np.asarray(x, np.float64) for x in (mean, log_var))
    if mean.ndim != 2 or mean.shape != log_var.shape or len(mean) < 2:
        raise ValueError(
            f"mean and log_var must both be (n, latent), n at least 2; got {mean.shape} and "
            f"{log_var.shape}"
        )
    noise = np.random.default_rng(seed).standard_normal(mean.shape)
    z, precision = mean + np.exp(log_var / 2) * noise, np.exp(-log_var)
    # Squared distances of all points from all means, multiplied out: (n, n) and nothing larger.
    square = z**2 @ precision.T - 2 * z @ (mean * precision).T + (mean**2 * precision).sum(axis=1)
    log_q = -(square + log_var.sum(axis=1)) / 2
    own = np.diagonal(log_q)
    return float((own - logsumexp(log_q, axis=1) + np.log(len(z))).mean())


def active_units(mean: ArrayLike, threshold: float = 0.01) -> int:
    """Return how many dimensions of the mean vary between texts by more than `threshold`.

    Args:
        mean: of q(z | x), (n, latent), at least two texts.
        threshold: variance.

    Raises:
        ValueError: another shape.

    Source: Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", 2016.
    """
    mean = np.asarray(mean, np.float64)
    if mean.ndim != 2 or len(mean) < 2:
        raise ValueError(f"mean must be (n, latent), n at least 2; got {mean.shape}")
    return int((mean.var(axis=0) > threshold).sum())


def factor_information(
    z: ArrayLike, labels: Sequence[Hashable], bins: int = 10
) -> tuple[np.ndarray, float]:
    """Return what each coordinate of points says about a factor, and what there is to say.

    Give it draws of q(z | x): a mean, which has no noise, may tell what no reader of z can know.
    A coordinate is cut in `bins` equally filled intervals, which can only lose information. The
    empirical mutual information of interval and label is too high by about
    (bins - 1) * (labels - 1) / (2 n) nats; that is taken off, but not below 0.

    Args:
        z: points of n texts, (n, latent).
        labels: n values of the factor.
        bins: intervals, at least 2.

    Returns:
        information: (latent,), nats.
        entropy: of the labels, nats.

    Raises:
        ValueError: numbers that differ, or fewer than 2 bins or than `bins` texts.

    Source: the correction from G. A. Miller, "Note on the bias of information estimates", 1955.
    """
    z = np.asarray(z, np.float64)
    if z.ndim != 2 or len(z) != len(labels) or not 2 <= bins <= len(z):
        raise ValueError(
            f"need points (n, latent), n labels and 2 to n bins; got {z.shape}, {len(labels)} "
            f"labels and {bins} bins"
        )
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    label = np.array([number[value] for value in labels])
    rank = z.argsort(axis=0).argsort(axis=0)
    interval = rank * bins // len(z)
    counts = np.zeros((z.shape[1], bins, len(number)))
    dimension = np.broadcast_to(np.arange(z.shape[1]), interval.shape)
    np.add.at(counts, (dimension, interval, label[:, None]), 1)
    joint = counts / len(z)
    parts = (_entropy(joint.sum(axis=axis)) for axis in (1, 2))
    information = sum(parts) - _entropy(joint.reshape(len(joint), -1))
    bias = (bins - 1) * (len(number) - 1) / (2 * len(z))
    return np.maximum(information - bias, 0.0), float(_entropy(joint[0].sum(axis=0)))


def _entropy(p: np.ndarray) -> np.ndarray:
    """Entropy over the last axis, nats."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)
