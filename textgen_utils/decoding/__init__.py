"""Text from any language model: filters of its distribution, sampling, and whole translations."""

from textgen_utils.decoding.filters import nucleus, temperature, top_k
from textgen_utils.decoding.sampling import generate
from textgen_utils.decoding.translation import translate

__all__ = ["generate", "nucleus", "temperature", "top_k", "translate"]
