"""How fast synchronous data-parallel training would be on machines that are not here, and what would hold it up."""

from skipline.bench.cost_model.all_reduce import all_reduce_seconds
from skipline.bench.cost_model.cluster import Cluster, Link
from skipline.bench.cost_model.fitting import fit_link, fit_step
from skipline.bench.cost_model.needed import bandwidth_for
from skipline.bench.cost_model.prediction import Prediction, predict
from skipline.bench.cost_model.workload import Workload

__all__ = [
    "Cluster",
    "Link",
    "Prediction",
    "Workload",
    "all_reduce_seconds",
    "bandwidth_for",
    "fit_link",
    "fit_step",
    "predict",
]
