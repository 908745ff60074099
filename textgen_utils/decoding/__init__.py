"""Text from any language model: filters, sampling, search, and whole translations."""

from textgen_utils.decoding.compiled import CompiledSampler
from textgen_utils.decoding.compiled_beams import CompiledBeamSearch
from textgen_utils.decoding.exact import Optimum, exact_search
from textgen_utils.decoding.filtered import Filtered
from textgen_utils.decoding.filters import nucleus, temperature, top_k
from textgen_utils.decoding.sampling import generate
from textgen_utils.decoding.search import Beams, beam_search
from textgen_utils.decoding.translation import translate

__all__ = [
    "Beams",
    "CompiledBeamSearch",
    "CompiledSampler",
    "Filtered",
    "Optimum",
    "beam_search",
    "exact_search",
    "generate",
    "nucleus",
    "temperature",
    "top_k",
    "translate",
]
