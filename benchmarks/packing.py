"""Several runs at once: one thread each over the cores, against one after another on one thread and on all.

    .venv/bin/python benchmarks/packing.py [--runs 4 --turns 3]

Two kinds of runs: resnet20 on images of 8 x 8 (digits), and on images of 32 x 32. Each turn does the same runs in the
three ways, with processes that have been started already, so that only the runs are timed. Prints medians over the
turns, ratios to one after another, and whether the weights are the same to the bit where each run has one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import torch
import torch.nn.functional as F

from skipline import models
from skipline.machine import available_cores, describe_machine
from skipline.training.packing import Sample, choose_packing
from skipline.training.precision import Execution

KINDS = {"digits": (1, 8, 60), "32 x 32": (3, 32, 6)}  # channels, side, steps of a run
BATCH = 128


def run(kind: str, seed: int, threads: int) -> str:
    """A short training; SHA-256 of the weights."""
    channels, side, steps = KINDS[kind]
    network = models.create("resnet20", channels=channels, seed=seed)
    execution = Execution(threads=threads)
    forward = execution.apply(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, foreach=True)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        images = torch.randn(BATCH, channels, side, side, generator=generator)
        targets = torch.randint(0, 10, (BATCH,), generator=generator)
        F.cross_entropy(forward(execution.lay_out(images)), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    machine, cores = describe_machine(), available_cores()
    print(
        f"{machine['cpu']}, {cores} cores, torch {machine['torch']}; {given.runs} runs of resnet20, batch {BATCH}"
    )
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(cores, mp_context=context) as many,
        ProcessPoolExecutor(1, mp_context=context) as one,
    ):
        ways = {
            "at once, 1 thread each": (many, 1),
            "one after another, 1 thread": (one, 1),
            f"one after another, {cores} threads": (one, cores),
        }
        for kind, (channels, side, _) in KINDS.items():
            for pool, threads in ways.values():  # imports, kernels, first pages
                list(pool.map(run, [kind] * cores, [0] * cores, [threads] * cores))
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            weights = {}
            for _ in range(given.turns):
                for way, (pool, threads) in ways.items():
                    begun = time.perf_counter()
                    weights[way] = list(
                        pool.map(run, [kind] * given.runs, range(given.runs), [threads] * given.runs)
                    )
                    seconds[way].append(time.perf_counter() - begun)
            packed = seconds["at once, 1 thread each"]
            for way, values in seconds.items():
                ratios = [a / b for a, b in zip(packed, values, strict=True)]
                print(
                    f"{kind:8s} {way:29s} {median(values):6.1f} s  at once / this {median(ratios):.2f} "
                    f"[{min(ratios):.2f}, {max(ratios):.2f}]"
                )
            same = weights["at once, 1 thread each"] == weights["one after another, 1 thread"]
            print(
                f"{kind:8s} weights at once and one after another on 1 thread: {'the same bits' if same else 'differ'}"
            )
            chosen = choose_packing(Sample("resnet20", channels, side, 10, BATCH), given.runs)
            print(f"{kind:8s} the packer takes: {chosen}")


if __name__ == "__main__":
    main()
