"""What the command trains: the translation of reviews from English into Chinese."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import keras

from textgen_utils.batches import PairBatches
from textgen_utils.corpora.reviews import Reviews
from textgen_utils.evaluation import evaluate_pairs
from textgen_utils.models.recurrent_seq2seq import RecurrentSeq2Seq
from textgen_utils.tokenizers import Lexicon, Words
from textgen_utils.training.optimizer import adam, warmup_cosine
from textgen_utils.training.pairs import EncodedPairs


@dataclass(frozen=True)
class ReviewsTask:
    """A model, its batches and its validation, from a few numbers: the same in every process.

    Attributes:
        steps: training steps in all.
        every: steps between checkpoints; `steps` is a multiple of it.
        batch_size: pairs a step, of all workers together.
        pairs: pairs to train on.
        valid_pairs: pairs to validate on.
        width: of the LSTMs.
        learning_rate: the peak of `warmup_cosine`.
        seed: draws weights, pairs and batches.

    Raises:
        ValueError: if a number is out of range.
    """

    steps: int = 800
    every: int = 100
    batch_size: int = 64
    pairs: int = 20_000
    valid_pairs: int = 500
    width: int = 128
    learning_rate: float = 5e-3
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "every", "batch_size", "pairs", "valid_pairs", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.steps % self.every:
            raise ValueError(f"steps must be a multiple of every, got {self.steps}, {self.every}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"the learning rate must be positive, got {self.learning_rate}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be from 0 to 2**31 - 1, got {self.seed}")
        if self.width % 2:
            raise ValueError(f"width must be even, got {self.width}")

    @property
    def settings(self) -> dict[str, float]:
        """All of the above by name, as a checkpoint keeps them."""
        return asdict(self)

    def build(self) -> tuple[RecurrentSeq2Seq, keras.optimizers.Optimizer, PairBatches, Validate]:
        """Make model, optimizer, batches, and the function that validates."""
        reviews = Reviews()
        sample = reviews.sample(self.pairs + self.valid_pairs, seed=self.seed)
        english = Words.fit("".join(review.english + "\n" for review in sample))
        words = [word for word in reviews.automaton("zh", "words").symbols if word != "\n"]
        chinese = Lexicon.fit("".join(review.chinese + "\n" for review in sample), words)
        sources = [english.encode(review.english) for review in sample]
        targets = [chinese.encode(review.chinese + "\n") for review in sample]
        model = RecurrentSeq2Seq(
            english.vocab_size,
            chinese.vocab_size,
            width=self.width,
            attention="dot",
            boundary=chinese.boundary,
            padding=english.boundary,
            seed=self.seed,
        )
        batches = PairBatches(
            sources[: self.pairs],
            targets[: self.pairs],
            self.batch_size,
            self.every,
            self.seed,
            boundary=model.boundary,
            padding=model.padding,
        )
        valid = EncodedPairs(sources[self.pairs :], targets[self.pairs :])
        optimizer = adam(warmup_cosine(self.learning_rate, self.steps))
        return model, optimizer, batches, Validate(model, valid)


@dataclass(frozen=True)
class Validate:
    """The loss of all validation pairs, nats per token."""

    model: RecurrentSeq2Seq
    valid: EncodedPairs

    def __call__(self) -> float:
        """Score every pair once."""
        return evaluate_pairs(self.model, *self.valid).nats_per_token
