"""Side by side in one process: how fast skipline is against its peers, and against what the processor can do."""

from skipline.bench.comparison import Bench, Row
from skipline.bench.inputs import bench_input
from skipline.bench.limit import Limit, measure_limit
from skipline.bench.predicting import bench_predict
from skipline.bench.training import MODELS, bench_train

__all__ = ["MODELS", "Bench", "Limit", "Row", "bench_input", "bench_predict", "bench_train", "measure_limit"]
