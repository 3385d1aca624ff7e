"""Accuracy, time and memory of `skipline train SOURCE --model quick-resnet8 --recipe fast`, as whole processes.

Command   .venv/bin/python benchmarks/fast_accuracy.py ../shared/data/cifar10-jpeg.tar [--seeds 0 1 2]
Prints    one line a seed (test accuracy without test-time augmentation, whole-process seconds, peak memory),
          then mean and range; machine first. The first run also decodes the source into the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from skipline.machine import describe_machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", default="quick-resnet8")
    parser.add_argument("--recipe", default="fast")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "SKIPLINE_HOME": str(Path(scratch) / "home")}
        for seed in arguments.seeds:
            command = [
                sys.executable,
                "-m",
                "skipline",
                "train",
                arguments.source,
                "--model",
                arguments.model,
            ]
            command += [
                "--recipe",
                arguments.recipe,
                "--seed",
                str(seed),
                "--out",
                str(Path(scratch) / str(seed)),
                "--json",
            ]
            start = time.monotonic()
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            seconds = time.monotonic() - start
            result = json.loads(done.stdout)
            events = (Path(scratch) / str(seed) / "events.jsonl").read_text().splitlines()
            peak = json.loads(events[-1])["peak_memory_bytes"] / 2**30
            rows.append((result["test"]["top1"], seconds, peak))
            print(
                f"seed {seed}  test {result['test']['top1']:.4f}  train {result['train']['top1']:.4f}  "
                f"{seconds:.0f} s in all  {result['images_per_second']:.0f} img/s  peak {peak:.2f} GiB",
                flush=True,
            )
    top1, seconds_all, peaks = zip(*rows, strict=True)
    print(
        f"test mean {mean(top1):.4f} [{min(top1):.4f}, {max(top1):.4f}]  "
        f"{mean(seconds_all):.0f} s [{min(seconds_all):.0f}, {max(seconds_all):.0f}]  peak {max(peaks):.2f} GiB"
    )


if __name__ == "__main__":
    main()
