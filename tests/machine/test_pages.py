"""Kept memory: steps of the same size touch no new pages, and what the user set is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
STEPS = """
import json, resource, sys, torch
from skipline.machine import keep_pages
kept = keep_pages() if sys.argv[1] == "keep" else None
def step():
    tensors = [torch.ones(10_000_000) for _ in range(2)]  # 40 MB each: above the highest threshold of glibc, 32
    return sum(float(tensor[0]) for tensor in tensors)
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(json.dumps({"kept": kept, "faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before}))
"""


def run(mode: str, **environment: str) -> dict[str, float]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", STEPS, mode]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_steps_touch_no_new_pages_when_memory_is_kept() -> None:
    plain = run("plain")
    # A system that runs out of memory takes pages back from everyone; it does not every time.
    kept = min((run("keep") for _ in range(3)), key=lambda found: found["faults"])
    if not kept["kept"]:
        pytest.skip("this C library has no mallopt of glibc's")
    if "[always]" not in HUGE_PAGES.read_text():
        assert plain["faults"] > 50_000, "80 MB a step are 19,500 pages of 4 KiB"
    assert kept["faults"] < 200


def test_what_the_user_set_is_left_alone() -> None:
    assert not run("keep", MALLOC_ARENA_MAX="2")["kept"]
    assert not run("keep", GLIBC_TUNABLES="glibc.malloc.hugetlb=1")["kept"]
