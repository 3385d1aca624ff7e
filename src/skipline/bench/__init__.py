"""Side by side: how fast skipline is against its peers, and against what the processor can do; and how cost grows."""

from skipline.bench.comparison import Bench, Row
from skipline.bench.curves import Curve, Point
from skipline.bench.inputs import bench_input
from skipline.bench.limit import Limit, measure_limit
from skipline.bench.peer_rows import find_peers
from skipline.bench.predicting import bench_predict
from skipline.bench.scaling import PARTS, Grid, Scaling, bench_scale
from skipline.bench.training import MODELS, bench_train

__all__ = [
    "MODELS",
    "PARTS",
    "Bench",
    "Curve",
    "Grid",
    "Limit",
    "Point",
    "Row",
    "Scaling",
    "bench_input",
    "bench_predict",
    "bench_scale",
    "bench_train",
    "find_peers",
    "measure_limit",
]
