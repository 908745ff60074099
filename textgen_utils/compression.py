"""Arithmetic coding: a language model is a compressor, and its cross-entropy is the file size.

The coder narrows an interval by p(token | text so far) for each token; the interval's size after
the whole text is the text's probability, so naming a point in it takes -log2 p(text) bits, up to
a few bytes at the end and the coder's rounding of probabilities to 24 bits.

The coder is that of the library `constriction` (range coding); what is ours is driving it by any
`LanguageModel`. Whoever decompresses needs the very same model and the same arithmetic: another
machine, or another build of the backend, may differ in a last bit and derail. The code covers the
ids only, so the number of tokens has to be told.

Source: Rissanen and Langdon (1979), "Arithmetic Coding"; Bamler (2022), "Understanding Entropy
Coding With Asymmetric Numeral Systems (ANS): a Statistician's Perspective", for the library.
"""

from __future__ import annotations

from collections.abc import Generator
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike

from textgen_utils.evaluation import token_log_probs
from textgen_utils.information import to_bits
from textgen_utils.models.base import LanguageModel, check_ids, to_numpy


def compress(model: LanguageModel, ids: ArrayLike) -> bytes:
    """Encode a text with the model's predictions, one `step` a token.

    Args:
        model: any language model; see `max_context` for how long a text it takes.
        ids: the text, ints in [0, vocab_size), shape (time,); may be empty.

    Returns:
        The code, a multiple of 4 bytes.

    Raises:
        ImportError: `constriction` is not installed.
        ValueError: ids out of range, a text longer than `model.max_context`, or a token to which
            the model gives probability 0, which no code can express.
    """
    ids = check_ids(ids, model.vocab_size, ndim=1)
    _check_length(model, len(ids))
    if model.vocab_size == 1:  # nothing to tell, and the coder needs two outcomes
        return b""
    constriction = _constriction()
    family = constriction.stream.model.Categorical(perfect=False)
    encoder = constriction.stream.queue.RangeEncoder()
    predictions = _predictions(model)
    for t, token in enumerate(ids):
        p = predictions.send(ids[t - 1] if t else None)
        if not p[0, token] > 0:
            raise ValueError(f"the model gives probability 0 to token {token} at position {t}")
        encoder.encode(ids[t : t + 1], family, p)
    return encoder.get_compressed().astype("<u4").tobytes()


def decompress(model: LanguageModel, data: bytes, length: int) -> np.ndarray:
    """Decode what `compress` made with the same model.

    Args:
        model: the model that compressed the text.
        data: the code.
        length: the number of tokens.

    Returns:
        The text, int32, shape (length,).

    Raises:
        ImportError: `constriction` is not installed.
        ValueError: `data` is no multiple of 4 bytes, a negative length or one above
            `model.max_context`, or data that this model cannot have written.
    """
    if len(data) % 4:
        raise ValueError(f"data must be a multiple of 4 bytes; got {len(data)}")
    if length < 0:
        raise ValueError(f"length must be at least 0; got {length}")
    _check_length(model, length)
    if model.vocab_size == 1:
        return np.zeros(length, np.int32)
    constriction = _constriction()
    family = constriction.stream.model.Categorical(perfect=False)
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
    predictions = _predictions(model)
    ids = np.empty(length, dtype=np.int32)
    for t in range(length):
        p = predictions.send(ids[t - 1] if t else None)
        try:
            ids[t] = decoder.decode(family, p)[0]
        except AssertionError as error:
            raise ValueError(f"data was not written by this model (position {t})") from error
    return ids


def ideal_bytes(model: LanguageModel, ids: ArrayLike) -> float:
    """-log2 p(text) / 8: the size that no code made with this model can beat on average.

    Args:
        model: any language model.
        ids: the text, ints, shape (time,), at least one, within `model.max_context`.

    Raises:
        ValueError: as `evaluation.token_log_probs`, or a text above `model.max_context`.
    """
    _check_length(model, np.size(ids))
    return float(to_bits(-token_log_probs(model, ids).sum())) / 8


def _predictions(model: LanguageModel) -> Generator[np.ndarray, int | None, None]:
    """Yield p(next token), float64, shape (1, vocab); send the token to go on."""
    state, token = model.initial_state(1), model.boundary
    while True:
        log_probs, state = model.step(np.array([token], dtype=np.int32), state)
        token = yield np.exp(to_numpy(log_probs))


def _check_length(model: LanguageModel, length: int) -> None:
    if model.max_context is not None and length > model.max_context:
        raise ValueError(
            f"a text must be at most max_context = {model.max_context} tokens; got {length}"
        )


def _constriction() -> ModuleType:
    try:
        import constriction
    except ImportError as error:
        raise ImportError(
            "arithmetic coding needs the package constriction, part of the extra 'book': "
            "pip install 'textgen_utils[book]'"
        ) from error
    return constriction
