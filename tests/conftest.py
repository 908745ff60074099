"""A quiet start, no deadlines, and on JAX a compiler in a hurry: a first call compiles."""

import os
from pathlib import Path

from hypothesis import settings

# TensorFlow reads its log level when it is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

# On JAX these tests compile for longer than they compute. Each result is used once or twice, so
# it need not be optimised, and what a worker compiled before, it reads back. Each worker has a
# folder of its own: JAX does not write its entries at one stroke.
if os.environ.get("KERAS_BACKEND") == "jax":
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    compiled = Path(__file__).parent.parent / ".pytest_cache" / "jax" / worker
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compiled))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

settings.register_profile("book", deadline=None)
settings.load_profile("book")
