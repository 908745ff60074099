"""Tiny Shakespeare: 40,000 lines of the plays, the classic of character-level models.

The split is nanoGPT's, so that its published figures can stand beside ours: the first 90 % of the
characters are train, the rest is valid, and there is no test part. The cut falls in the middle of
a play: the two parts share speakers and, by chance, a few short lines.

Source: github.com/karpathy/char-rnn, `data/tinyshakespeare/input.txt`; public domain text.
"""

from __future__ import annotations

from textgen_utils.corpora.download import fetch
from textgen_utils.corpora.types import Corpus

_PATH = "shakespeare/input.txt"
_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/"
    "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt"
)
_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def split(text: str) -> tuple[str, str]:
    """Cuts a text after 90 % of its characters (rounded down)."""
    cut = int(len(text) * 0.9)
    return text[:cut], text[cut:]


def load() -> Corpus:
    """Loads the plays: 1,003,854 characters train, 111,540 valid, test empty.

    Raises:
        OSError: the file can be neither found nor downloaded, or is not the expected one.
    """
    text = fetch(_PATH, _URL, _SHA256).read_bytes().decode("utf-8")
    train, valid = split(text)
    return Corpus("shakespeare", train, valid, "")
