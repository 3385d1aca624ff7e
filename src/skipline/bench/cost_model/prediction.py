"""From what a process does and what it runs on to images a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skipline.bench.cost_model.all_reduce import all_reduce_seconds
from skipline.bench.cost_model.cluster import Cluster
from skipline.bench.cost_model.workload import BACKWARD, Workload

Bound = Literal["compute", "network", "input"]


@dataclass(frozen=True)
class Prediction:
    """A step of all processes together.

    Attributes:
        images_per_second: of all processes.
        efficiency: that rate relative to as many times one process that computes alone and never waits for images.
        bound: the longest of computing, adding up gradients and preparing images: what to improve first.
        step: seconds.
        compute: seconds of a step that a process computes.
        network: seconds that adding up the gradients takes, hidden or not.
        exposed: seconds of `network` that do not hide behind the backward pass.
        preparing: seconds that a host's decoding cores need for the images of a step; 0 where there are none.
        sent: bytes a second that a host sends to others, on average over a step.
        read: bytes a second that a host reads from disk or network for images.
    """

    images_per_second: float
    efficiency: float
    bound: Bound
    step: float
    compute: float
    network: float
    exposed: float
    preparing: float
    sent: float
    read: float


def predict(workload: Workload, cluster: Cluster) -> Prediction:
    """Predict synchronous data-parallel training: every process computes its part, then all add up their gradients.

    A step takes

        compute = seconds a step + batch x seconds an image
        network = all-reduce of the gradients in their buckets
        exposed = max(network - overlap x backward pass, network of the last bucket)
        step    = max(compute + exposed, preparing)

    The last bucket's gradients exist only when the backward pass has ended, so that bucket never hides; images are
    prepared while the step before computes.

    Args:
        workload: of a process.
        cluster: that it runs on.
    """
    images = workload.batch * cluster.processes
    beside = cluster.cores > 0
    per_image = workload.seconds_per_image + (0.0 if beside else workload.decode_seconds)
    compute = workload.seconds_per_step + workload.batch * per_image
    network = all_reduce_seconds(workload.gradient_bytes, cluster, workload.buckets)
    hideable = workload.overlap * BACKWARD * workload.batch * workload.seconds_per_image
    exposed = max(network - hideable, network / workload.buckets)
    preparing = workload.batch * cluster.per_host * workload.decode_seconds / cluster.cores if beside else 0.0
    step = max(compute + exposed, preparing)
    parts: dict[Bound, float] = {"compute": compute, "network": network, "input": preparing}
    share = 2 * (cluster.processes - 1) / cluster.processes if cluster.hosts > 1 else 0.0
    return Prediction(
        images_per_second=images / step,
        efficiency=compute / step,
        bound=max(parts, key=lambda part: parts[part]),
        step=step,
        compute=compute,
        network=network,
        exposed=exposed,
        preparing=preparing,
        sent=share * workload.gradient_bytes / step,
        read=images / cluster.hosts * workload.image_bytes / step,
    )
