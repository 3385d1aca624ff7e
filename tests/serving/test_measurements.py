"""What `/metrics` counts, read by Prometheus's own parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from skipline.bundle import Bundle


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_images_and_passes_are_counted(
    bundle: Bundle, served: Any, photo: Callable[..., bytes]
) -> None:
    two = [("file", ("a.png", photo(0))), ("file", ("b.png", photo(1))), ("file", ("cut.png", photo(2)[:99]))]
    *_, metrics = served(bundle).ask_all(
        [
            ("POST", "/predict", {"files": two}),
            ("POST", "/predict", {"files": two[:1]}),
            ("POST", "/predict", {"content": b"x"}),
            ("GET", "/v2/models/resnet20", {}),
            ("GET", "/v2/models/other", {}),
            ("GET", "/a/1", {}),
            ("GET", "/a/2", {}),
            ("GET", "/metrics", {}),
        ]
    )
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    got = figures(metrics.text)
    expected = {
        ("skipline_requests_total", "/predict", "200"): 2,
        ("skipline_requests_total", "/predict", "415"): 1,
        ("skipline_requests_total", "/v2/models/{name}", "200"): 1,
        ("skipline_requests_total", "/v2/models/{name}", "404"): 1,
        ("skipline_requests_total", "other", "404"): 2,  # addresses that clients invent make no counters
        ("skipline_images_total", "classified"): 3,
        ("skipline_images_total", "refused"): 1,
        ("skipline_batch_images_sum",): 3,
        ("skipline_batch_images_count",): 2,
        ("skipline_forward_seconds_count",): 2,
        ("skipline_request_seconds_count", "/predict"): 3,
        ("skipline_queue_images",): 0,
    }
    assert {key: got.get(key) for key in expected} == expected
    assert got[("skipline_request_seconds_sum", "/predict")] > 0
    assert got[("process_resident_memory_bytes",)] > 10**6


def test_two_servers_in_a_process_count_for_themselves(bundle: Bundle, served: Any) -> None:
    for _ in range(2):
        *_, metrics = served(bundle).ask_all([("GET", "/healthz", {}), ("GET", "/metrics", {})])
        assert figures(metrics.text)[("skipline_requests_total", "/healthz", "200")] == 1


COUNT = """
import json, sys
from skipline.serving.measurements import Measurements
own = Measurements()
own.requests.labels("/predict", 200).inc(int(sys.argv[1]))
own.queue.set(int(sys.argv[1]))
print(json.dumps(own.text()[0].decode()))
"""


def test_processes_that_share_a_folder_are_added_up(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", COUNT, str(number)],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for number in (2, 5)
    ]
    got = figures(texts[1])
    assert got[("skipline_requests_total", "/predict", "200")] == 7
    assert got[("skipline_queue_images",)] == pytest.approx(7)
