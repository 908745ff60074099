"""Loads PyTorch's compiler before anything loads TensorFlow.

An optimizer of PyTorch loads its compiler, and with it Triton; each of Triton and TensorFlow
brings LLVM, and the process ends if TensorFlow's came first.
"""

import torch._dynamo  # noqa: F401
