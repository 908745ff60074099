"""A quiet start, and no deadlines: a first call compiles, and machines differ."""

import os

from hypothesis import settings

# TensorFlow reads its log level when it is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("book", deadline=None)
settings.load_profile("book")
