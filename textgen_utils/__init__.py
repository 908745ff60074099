"""The shared package of the book *Text Generation, Measured*.

Importing the package is fast and loads neither Keras nor TensorFlow; import what you need from
its modules, which stand on floors: looks at results (`plotting`, `interpret`, `privacy`), works
on any model (`training`, `evaluation`, `decoding`), `models`, what is minimised (`losses`), text
in and integers out (`corpora`, `tokenizers`, `batches`), and at the bottom `information` and
`runtime`.
"""

__version__ = "0.1.0"
