"""The reviews language: product reviews of which everything is known, in English and Chinese."""

from textgen_utils.corpora.reviews.language import Reviews
from textgen_utils.corpora.reviews.lexicon import Lexicon
from textgen_utils.corpora.reviews.meaning import Clause, Event, Meaning, Review
from textgen_utils.corpora.reviews.vocabulary import default_lexicon

__all__ = ["Clause", "Event", "Lexicon", "Meaning", "Review", "Reviews", "default_lexicon"]
