"""What keeping freed memory is worth in a training step: as skipline sets it, and as glibc comes.

    .venv/bin/python benchmarks/pages.py [--model resnet20 --batch 128 --threads 2 --turns 5]

Each turn is two processes, one after the other: with the environment that switches `keep_pages` off
(MALLOC_ARENA_TEST, which changes nothing else here) and without. Prints images a second, the share of system time,
page faults a step and peak memory: medians over the turns, and the ratio with its range.

What the share of system time promised: a step of resnet20 at batch 128 spent 12 % of its processor time in the
system on a busy machine, so 1.12 times as fast; at batch 512 26 %, so 1.3 times.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from statistics import median

import torch

from skipline import models
from skipline.machine import describe_machine
from skipline.training.losses import step_loss
from skipline.training.optimizer import build_optimizer, heads
from skipline.training.precision import Execution, timed_pass
from skipline.training.recipe import Finetune, Optimizer

SECONDS = 6.0


def measure(model: str, batch: int, threads: int) -> dict[str, float]:
    network = models.create(model, seed=0)
    execution = Execution(threads=threads)
    forward = execution.apply(network)
    images = execution.lay_out(torch.randn(batch, 3, 32, 32))
    targets = torch.randint(0, 10, (batch,))
    optimizer = build_optimizer(network, Optimizer(lr=0.01), Finetune(), heads(network))
    loss = step_loss(0.0)

    def step() -> None:
        timed_pass(execution, forward, images, targets, loss)
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    before, begun, steps = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        step()
        steps += 1
    elapsed, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return {
        "rate": batch * steps / elapsed,
        "system": system / (user + system),
        "faults": (after.ru_minflt - before.ru_minflt) / steps,
        "peak": after.ru_maxrss / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.model, given.batch, given.threads)))
        return
    machine = describe_machine()
    print(
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}; {given.model}, batch {given.batch}"
    )
    command = [sys.executable, __file__, "--one", "--model", given.model]
    command += ["--batch", str(given.batch), "--threads", str(given.threads)]
    runs: dict[str, list[dict[str, float]]] = {"kept": [], "given back": []}
    for _ in range(given.turns):
        for side, extra in (("kept", {}), ("given back", {"MALLOC_ARENA_TEST": "8"})):
            done = subprocess.run(
                command, env={**os.environ, **extra}, stdout=subprocess.PIPE, text=True, check=True
            )
            runs[side].append(json.loads(done.stdout))
    for side, values in runs.items():
        middle = {key: median(value[key] for value in values) for key in values[0]}
        print(
            f"{side:10s}  {middle['rate']:7.1f} img/s  system {middle['system']:5.1%}  "
            f"{middle['faults']:9,.0f} faults a step  peak {middle['peak']:.2f} GiB"
        )
    ratios = [a["rate"] / b["rate"] for a, b in zip(runs["kept"], runs["given back"], strict=True)]
    print(f"ratio {median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")


if __name__ == "__main__":
    main()
