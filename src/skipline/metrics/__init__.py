"""Pure functions from a network's outputs to figures: numpy in, numbers out, nothing kept."""

from skipline.metrics.calibration import expected_calibration_error
from skipline.metrics.classification import (
    confusion_matrix,
    cross_entropy,
    recall_precision,
    softmax,
    top_k_accuracy,
)
from skipline.metrics.fidelity import Fidelity, fidelity, luma, psnr, shave
from skipline.metrics.intervals import mean_interval, wilson_interval
from skipline.metrics.similarity import rank_correlation, structural_similarity

__all__ = [
    "Fidelity",
    "confusion_matrix",
    "cross_entropy",
    "expected_calibration_error",
    "fidelity",
    "luma",
    "mean_interval",
    "psnr",
    "rank_correlation",
    "recall_precision",
    "shave",
    "softmax",
    "structural_similarity",
    "top_k_accuracy",
    "wilson_interval",
]
