"""What the server counts of itself, in the text format of Prometheus.

prometheus-client does the formatting, and adds up what several worker processes count in files that they share.
"""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as as_text
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.process_collector import ProcessCollector

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus-client when it is imported
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measurements:
    """The counters of one server; those of its other processes are added when they are read."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "skipline_requests",
            "Requests answered, by route and HTTP status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "skipline_request_seconds",
            "From the first line of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.images = Counter(
            "skipline_images", "Images by what became of them.", ["outcome"], registry=self._registry
        )
        self.batch_images = Histogram(
            "skipline_batch_images", "Images in a forward pass.", buckets=BATCHES, registry=self._registry
        )
        self.forward_seconds = Histogram(
            "skipline_forward_seconds", "A forward pass.", buckets=SECONDS, registry=self._registry
        )
        self.queue = Gauge(
            "skipline_queue_images",
            "Images that were accepted and are not answered yet.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        if SHARED_FOLDER not in os.environ:  # of several processes, one alone would answer for itself
            ProcessCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def forward_pass(self, images: int, seconds: float) -> None:
        """Count a forward pass."""
        self.batch_images.observe(images)
        self.forward_seconds.observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """All figures, and the media type of their format."""
        registry = self._registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return as_text(registry), CONTENT_TYPE_LATEST


def forget_process(process: int) -> None:
    """Leave a process that has ended out of the figures that are of living ones.

    Args:
        process: its number.
    """
    if SHARED_FOLDER in os.environ:
        mark_process_dead(process)  # type: ignore[no-untyped-call]
