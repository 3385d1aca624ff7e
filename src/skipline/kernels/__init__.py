"""Compiled kernels for what PyTorch does slowly on a CPU; each with a fallback to PyTorch's own operations.

SKIPLINE_KERNELS=0 in the environment turns them off.
"""

from skipline.kernels.batchnorm import available, fused_batch_norm
from skipline.kernels.compile import batchnorm_library

__all__ = ["available", "batchnorm_library", "fused_batch_norm"]
