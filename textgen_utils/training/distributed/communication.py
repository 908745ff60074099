"""What it costs to add up a vector over workers, and when several workers pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


def ring_all_reduce(vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Add up the vectors of W workers that stand in a ring and speak to their neighbours only.

    Each vector is cut into W chunks. In W - 1 rounds every worker hands one chunk to the next,
    who adds his own; then each chunk is complete somewhere. In W - 1 more rounds the complete
    chunks go round.

    Args:
        vectors: floats, (workers, n); n need not be a multiple of the workers.

    Returns:
        sums: (workers, n), what each worker has in the end.
        sent: ints, (workers,), the numbers that each worker has sent.

    Raises:
        ValueError: if there is not one vector for each of at least one worker.

    Source: P. Patarasuk and X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
    workstations", 2009.
    """
    held = np.array(vectors)
    if held.ndim != 2 or not len(held):
        raise ValueError(f"vectors must have the shape (workers, n), got {held.shape}")
    workers = len(held)
    chunks = np.array_split(np.arange(held.shape[1]), workers)
    sent = np.zeros(workers, int)
    for turn in range(2 * (workers - 1)):
        adding = turn < workers - 1
        # All speak at once: what is received is what was held before the round.
        before = held.copy()
        for worker in range(workers):
            places = chunks[(worker - turn + (0 if adding else workers)) % workers]
            neighbour = (worker + 1) % workers
            held[neighbour, places] = before[worker, places] + adding * before[neighbour, places]
            sent[worker] += len(places)
    return held, sent


def ring_seconds(size: float, workers: int, bandwidth: float, latency: float) -> float:
    """Return the seconds of a ring all-reduce, 2 (W - 1) (latency + size / (W bandwidth)).

    Args:
        size: of the vector, bytes.
        workers: W.
        bandwidth: of one worker to the next, bytes a second.
        latency: of one round, seconds.

    Raises:
        ValueError: if the number of workers is below 1, the bandwidth not positive, or the size
            or the latency negative.
    """
    if workers < 1 or bandwidth <= 0 or size < 0 or latency < 0:
        raise ValueError(
            "workers must be at least 1, the bandwidth positive, size and latency not negative; "
            f"got {workers}, {bandwidth}, {size}, {latency}"
        )
    return 2 * (workers - 1) * (latency + size / (workers * bandwidth))


@dataclass(frozen=True)
class StepTime:
    """How long a training step takes: computation, which is shared, and communication.

    Attributes:
        fixed: computation that no smaller batch saves, seconds.
        per_item: computation of one item of the batch, seconds.
        size: of the gradient, bytes.
        bandwidth: see `ring_seconds`.
        latency: see `ring_seconds`.
    """

    fixed: float
    per_item: float
    size: float
    bandwidth: float
    latency: float

    def seconds(self, batch_size: int, workers: int) -> float:
        """Return the seconds of a step when the batch is shared by so many workers."""
        compute = self.fixed + self.per_item * batch_size / workers
        return compute + ring_seconds(self.size, workers, self.bandwidth, self.latency)

    def speedup(self, batch_size: int, workers: int) -> float:
        """Return how many times as fast the workers take a step as one of them would."""
        return self.seconds(batch_size, 1) / self.seconds(batch_size, workers)


def line_through(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Fit y = a + b x with the least *relative* errors, and a not below 0; return (a, b).

    The x span orders of magnitude; by absolute errors the largest alone would decide.

    Raises:
        ValueError: if there are not two different x, or a y is not positive.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape or x.ndim != 1 or len(np.unique(x)) < 2 or not (y > 0).all():
        raise ValueError(f"a line needs two different x and as many positive y, got {x}, {y}")
    columns = np.stack([1 / y, x / y], axis=1)
    a, b = np.linalg.lstsq(columns, np.ones_like(y), rcond=None)[0]
    if a < 0:
        a, b = 0.0, columns[:, 1].sum() / (columns[:, 1] ** 2).sum()
    return float(a), float(b)
