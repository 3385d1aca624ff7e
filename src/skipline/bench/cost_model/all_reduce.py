"""How long the processes need to add up their gradients."""

from __future__ import annotations

import math

from skipline.bench.cost_model.cluster import Cluster


def all_reduce_seconds(size: float, cluster: Cluster, messages: int = 1) -> float:
    """Seconds until every process holds the sum, while nothing else is done.

    Ring (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms"): n processes send 2 (n - 1) messages one
    after the other, each an n-th of the bytes:

        2 (n - 1) / n x bytes / bandwidth + 2 (n - 1) x latency

    Tree (Sanders, Speck and Traeff 2009, the double binary tree of NCCL): up and down, in pieces that follow each
    other:

        2 x bytes / bandwidth + 2 ceil(log2 n) x latency

    Args:
        size: bytes that each process contributes.
        cluster: of the processes.
        messages: all-reduces that the bytes are divided into, such as gradient buckets.
    """
    count, link = cluster.processes, cluster.narrowest
    if count == 1:
        return 0.0
    ring = 2 * (count - 1) / count * size / link.bandwidth + messages * 2 * (count - 1) * link.latency
    if not cluster.trees:
        return ring
    depth = math.ceil(math.log2(count))
    return min(ring, 2 * size / link.bandwidth + messages * 2 * depth * link.latency)
