"""Word vectors: skip-gram with negative sampling, and questions to a table of vectors."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike


@keras.saving.register_keras_serializable(package="textgen_utils")
class SkipGram(keras.Model):
    """Two tables of vectors, words and contexts, whose inner products are logits.

    `model((centres, candidates))` gives the logit of "this candidate stood near this centre, and
    was not drawn from the noise". Fitted to `SkipGramPairs` with `negative_sampling_loss` and
    tables wide enough, the logit of a pair tends to its pointwise mutual information minus
    log(negatives) where the noise has the words' own frequencies (`power=1`).

    As in the authors' program the words start small and random, the contexts at zero.

    On two CPU cores, with width 64, a vocabulary of 2,285 and 4,096 pairs a batch with five
    negatives each, Adam trains 600,000 pairs a second if the step is compiled with XLA
    (``jit_compile=True``), half as many if not. Adagrad takes as long. For so small a vocabulary
    there is no gain in that the gradient of a table is sparse.

    Args:
        vocab_size: the number of tokens, at least 2.
        width: numbers in a vector.
        seed: draws the words' vectors; None: Keras's own seed does.

    Raises:
        ValueError: if a size is too small.

    Source: T. Mikolov et al., "Distributed representations of words and phrases and their
    compositionality", 2013; the optimum: O. Levy and Y. Goldberg, "Neural word embedding as
    implicit matrix factorization", 2014.
    """

    def __init__(
        self, vocab_size: int, *, width: int, seed: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if vocab_size < 2:
            raise ValueError(f"vocab_size must be at least 2, got {vocab_size}")
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.vocab_size = vocab_size
        self.width = width
        self.seed = seed
        start = keras.initializers.RandomUniform(-0.5 / width, 0.5 / width, seed=seed)
        self.words = layers.Embedding(vocab_size, width, start, name="words")
        self.contexts = layers.Embedding(vocab_size, width, "zeros", name="contexts")
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Create the weights; nothing of `input_shape` is used."""
        if not self.built:
            self.words.build()
            self.contexts.build()
            self.built = True

    def call(self, inputs: tuple[Any, Any]) -> Any:
        """Return logits: centres (batch,) and candidates (batch, n), ints, to (batch, n)."""
        centres, candidates = inputs
        u = self.words(centres)  # (batch, width)
        v = self.contexts(candidates)  # (batch, n, width)
        return ops.sum(u[:, None, :] * v, axis=-1)

    @property
    def vectors(self) -> np.ndarray:
        """The words' table, a copy, (vocab_size, width) floats."""
        return self.words.get_weights()[0].copy()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in ("vocab_size", "width", "seed", "name")}


@keras.saving.register_keras_serializable(package="textgen_utils")
def negative_sampling_loss(labels: Any, logits: Any) -> Any:
    """Return the loss of each pair with its negatives: a sum of binary cross-entropies.

    With label 1 for the context and 0 for the negatives it is
    ``-log sigmoid(u.v) - sum log sigmoid(-u.v_negative)``.

    Args:
        labels: zeros and ones, (batch, n).
        logits: (batch, n).

    Returns:
        Nats, (batch,).
    """
    signs = 2.0 * ops.cast(labels, logits.dtype) - 1.0
    return ops.sum(ops.softplus(-signs * logits), axis=-1)


class SkipGramPairs(keras.utils.PyDataset):
    """Pairs (word, word near it) of a text, each with words drawn from the noise.

    In every epoch frequent words are thinned out (`keep_probability`) before anything is paired,
    each remaining word draws how far it looks, from 1 to `window`, evenly, and all pairs within
    that reach and between the same two boundaries are listed. A batch draws from this list, with
    replacement. It is ``((centres, candidates), labels)``, shapes (batch_size,),
    (batch_size, 1 + negatives) and the same, where the first candidate is the true context.
    Batch `i` of epoch `e` depends on (seed, e, i) only; for the same run twice, tell `fit` not to
    mix the order of the batches (``shuffle=False``).

    A million pairs are listed in less than a tenth of a second.

    Args:
        ids: the text, ints in [0, vocab_size), shape (time,).
        vocab_size: the number of tokens.
        boundary: the token that no pair crosses, and that is in none; None: there is none.
        window: the farthest that a word looks, in words.
        negatives: words drawn from the noise for each pair.
        batch_size: pairs a batch.
        steps: batches an epoch; None: as many as the first list has pairs for, at least 1.
        seed: chooses everything.
        threshold: the relative frequency above which words are thinned out; None: none are.
        power: the noise draws a word in proportion to its count to this power.

    Raises:
        ValueError: if a number is out of range, a token not of the vocabulary, fewer than two
            different words are there, or no pair is left.

    Source: Mikolov et al. 2013; see `SkipGram`.
    """

    def __init__(
        self,
        ids: ArrayLike,
        vocab_size: int,
        *,
        boundary: int | None,
        window: int = 5,
        negatives: int = 5,
        batch_size: int = 4096,
        steps: int | None = None,
        seed: int,
        threshold: float | None = None,
        power: float = 0.75,
    ) -> None:
        super().__init__()
        least = {"window": window, "negatives": negatives, "batch_size": batch_size}
        for name, number in (least | ({} if steps is None else {"steps": steps})).items():
            if not isinstance(number, Integral) or number < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {number}")
        ids = _check_text(ids, vocab_size)
        is_word = ids != (-1 if boundary is None else boundary)
        self.words = ids[is_word].astype(np.int32)
        self.segments = np.cumsum(~is_word)[is_word]
        counts = np.bincount(self.words, minlength=vocab_size)
        if (counts > 0).sum() < 2:
            raise ValueError(f"pairs need at least 2 different words, got {(counts > 0).sum()}")
        self.window = window
        self.negatives = negatives
        self.batch_size = batch_size
        self.seed = seed
        self.keep = keep_probability(counts, threshold)
        self.noise = noise_distribution(counts, power)
        self._levels = np.cumsum(self.noise)[:-1]  # where the next word begins
        self.epoch = 0
        self._listed: tuple[int, np.ndarray, np.ndarray] | None = None
        self.steps = max(1, len(self.pairs()[0]) // batch_size) if steps is None else steps

    def __len__(self) -> int:
        return self.steps

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all centres and contexts of this epoch, int32, each of shape (pairs,)."""
        if self._listed is None or self._listed[0] != self.epoch:
            rng = np.random.default_rng((self.seed, self.epoch, 0))
            kept = rng.random(len(self.words)) < self.keep[self.words]
            words = self.words[kept]
            reach = rng.integers(1, self.window + 1, size=len(words))
            centres, contexts = near(words, self.segments[kept], reach)
            if not len(centres):
                raise ValueError(
                    f"no pair is left: of {len(self.words)} words {len(words)} were kept, and no "
                    "two of them stand between the same boundaries; give more text or a higher "
                    "threshold"
                )
            self._listed = (self.epoch, centres, contexts)
        return self._listed[1:]

    def __getitem__(self, index: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Return ((centres, candidates), labels): int32, int32, float32."""
        centres, contexts = self.pairs()
        rng = np.random.default_rng((self.seed, self.epoch, 1 + index))
        drawn = rng.integers(len(centres), size=self.batch_size)
        uniform = rng.random((self.batch_size, self.negatives))
        noise = np.searchsorted(self._levels, uniform, side="right")
        candidates = np.concatenate([contexts[drawn, None], noise.astype(np.int32)], axis=1)
        labels = np.zeros(candidates.shape, np.float32)
        labels[:, 0] = 1.0
        return (centres[drawn], candidates), labels

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's pairs."""
        self.epoch += 1


def near(
    words: np.ndarray, segments: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """List all pairs of a word and another at most `reach` away in the same segment.

    Args:
        words: ints, (time,).
        segments: never falling ints, (time,): between which boundaries a word stands.
        reach: ints of at least 1, (time,): how far each word looks, to both sides.

    Returns:
        Centres and contexts, each (pairs,).
    """
    centres, contexts = [words[:0]], [words[:0]]
    for distance in range(1, reach.max(initial=0) + 1):
        left, right = words[:-distance], words[distance:]
        same = segments[:-distance] == segments[distance:]
        for looks, centre, context in (
            (reach[:-distance], left, right),
            (reach[distance:], right, left),
        ):
            seen = same & (looks >= distance)
            centres.append(centre[seen])
            contexts.append(context[seen])
    return np.concatenate(centres), np.concatenate(contexts)


def keep_probability(counts: ArrayLike, threshold: float | None) -> np.ndarray:
    """Return with what probability each word stays: min(1, sqrt(threshold / frequency)).

    Args:
        counts: of each word, (vocab_size,).
        threshold: a relative frequency above 0; None: all words stay.

    Raises:
        ValueError: if the threshold is not above 0.
    """
    counts = np.asarray(counts, float)
    if threshold is None:
        return np.ones(len(counts))
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, or None, got {threshold}")
    frequency = counts / counts.sum()
    return np.sqrt(np.minimum(1.0, threshold / np.maximum(frequency, 1e-300)))


def noise_distribution(counts: ArrayLike, power: float) -> np.ndarray:
    """Return probabilities in proportion to counts ** power, 0 for words that do not occur."""
    counts = np.asarray(counts, float)
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** power, 0.0)
    return weights / weights.sum()


def neighbours(vectors: ArrayLike, token: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` vectors nearest to that of a token, by cosine; the token is not among them.

    Args:
        vectors: floats, (vocab_size, width). A vector of zeros has cosine 0 with all others.
        token: its row.
        k: from 1 to vocab_size - 1.

    Returns:
        Rows, int64, and cosines, each (k,), the nearest first.

    Raises:
        ValueError: if the token or `k` is out of range, or its vector is zero or not finite.
    """
    unit = _unit(vectors, [token])
    return _nearest(unit, unit[token], [token], k)


def analogy(vectors: ArrayLike, a: int, b: int, c: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Answer "a is to b as c is to ?" with the vectors nearest to b - a + c, all of length one.

    Args:
        vectors: floats, (vocab_size, width).
        a: a row; it is no answer, nor are `b` and `c`.
        b: a row.
        c: a row.
        k: how many answers.

    Returns:
        Rows, int64, and cosines, each (k,), the best first.

    Raises:
        ValueError: see `neighbours`.

    Source: T. Mikolov, W. Yih and G. Zweig, "Linguistic regularities in continuous space word
    representations", 2013.
    """
    unit = _unit(vectors, [a, b, c])
    target = unit[b] - unit[a] + unit[c]
    length = np.linalg.norm(target)
    return _nearest(unit, target / length if length else target, [a, b, c], k)


def _unit(vectors: ArrayLike, tokens: list[int]) -> np.ndarray:
    vectors = np.asarray(vectors, float)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(f"vectors must be finite, (vocab_size, width), got {vectors.shape}")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    for token in tokens:
        if not 0 <= token < len(vectors):
            raise ValueError(f"token must lie in [0, {len(vectors)}), got {token}")
        if not lengths[token]:
            raise ValueError(f"the vector of token {token} is zero: it has no direction")
    return vectors / np.where(lengths > 0, lengths, 1.0)


def _nearest(
    unit: np.ndarray, target: np.ndarray, without: list[int], k: int
) -> tuple[np.ndarray, np.ndarray]:
    others = np.setdiff1d(np.arange(len(unit)), without)
    if not 1 <= k <= len(others):
        raise ValueError(f"k must lie in [1, {len(others)}], got {k}")
    cosines = unit[others] @ target
    best = np.argsort(-cosines, kind="stable")[:k]
    return others[best], cosines[best]


def _check_text(ids: ArrayLike, vocab_size: int) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 1 or not len(ids) or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            f"the text must be ints, shape (time,), at least one; got {ids.dtype}, {ids.shape}"
        )
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(f"ids must lie in [0, {vocab_size}), got from {ids.min()} to {ids.max()}")
    return ids
