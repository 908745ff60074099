r"""Text to integers and back.

Every tokenizer here is lossless (`decode(encode(text)) == text` where all symbols are known),
has the newline as a token of its own (`boundary`), and shares one interface: `encode`, `decode`,
`tokens`, `vocab_size`, `boundary`, `save`, `load`.
"""

from textgen_utils.tokenizers.bpe import BytePair
from textgen_utils.tokenizers.characters import Characters
from textgen_utils.tokenizers.jieba_words import Jieba
from textgen_utils.tokenizers.lexicon import Lexicon
from textgen_utils.tokenizers.words import Words

__all__ = ["BytePair", "Characters", "Jieba", "Lexicon", "Words"]
