"""The main jobs as Python functions; the command line and notebooks call these."""

from skipline.api.diagnosing import diagnose
from skipline.api.explaining import explain
from skipline.api.folders import run_folder
from skipline.api.training import Trained, resume, train

__all__ = ["Trained", "diagnose", "explain", "resume", "run_folder", "train"]
