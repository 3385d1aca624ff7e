"""What a network has to carry so that it does not hold training up."""

from __future__ import annotations

import math
from dataclasses import replace

from skipline.bench.cost_model.cluster import Cluster, Link
from skipline.bench.cost_model.prediction import predict
from skipline.bench.cost_model.workload import Workload

HALVINGS = 60  # of the range of exponents: far below a part in a thousand
SLOWEST, FASTEST = 1.0, 1e15  # bytes a second


def bandwidth_for(workload: Workload, cluster: Cluster, efficiency: float = 0.9) -> float | None:
    """The least bandwidth of the link between hosts with which the network leaves so much of the efficiency.

    Images are taken to be ready. With more than one process a host the link inside is left as it is.

    Args:
        workload: of a process.
        cluster: whose link between hosts is looked for.
        efficiency: 0-1.

    Returns:
        Bytes a second in each direction; None where latency or the link inside a host alone cost more; 0 where there
        is one host.
    """
    if cluster.hosts == 1:
        return 0.0

    def enough(bandwidth: float) -> bool:
        faster = replace(cluster, between=Link(bandwidth, cluster.between.latency))
        found = predict(workload, faster)
        return found.compute / (found.compute + found.exposed) >= efficiency

    if not enough(FASTEST):
        return None
    low, high = math.log(SLOWEST), math.log(FASTEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(math.exp(middle)) else (middle, high)
    return math.exp(high)
