"""A resnet20 training step with the fused batch norm and without.

    python benchmarks/fused_batchnorm.py [--model resnet20] [--threads 1] [--repeats 15] [--batch 128]

Prediction, before the kernel was written: BN, addition and ReLU take 105 of the 240 ms of a bf16 step at batch 128,
32x32, 2 threads (profile); with each tensor read as few times as it must be, a third of that: 165 ms, ratio 1.45.

Measured on two cores of a Xeon with AVX-512 (torch 2.15), medians of 21 steps, the machine nearly idle:

    2 threads, 32x32, wall   211 [202, 215] -> 159 [153, 165] ms, ratio 1.32
    2 threads, 24x24, wall   144 [142, 148] -> 117 [114, 121] ms, ratio 1.24
    1 thread,  32x32         ratios of three sittings on a busy machine 1.27 to 1.40; 24x24: 1.20 to 1.51

On and off take turns step by step (A B A B). Processor time of the process is what counts on a shared machine; wall
time means something only where nothing else runs. Medians, with quartiles behind them.

{measured}
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch
import torch.nn.functional as F

from skipline.kernels import batchnorm_library
from skipline.models import create


def switch(on: bool) -> None:
    os.environ["SKIPLINE_KERNELS"] = "1" if on else "0"
    batchnorm_library.cache_clear()
    assert (batchnorm_library() is not None) is on


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.model}, batch {arguments.batch}, bf16, channels-last, {arguments.threads} thread(s)")
    for side in (32, 24):
        torch.manual_seed(0)
        network = create(arguments.model, seed=0).train().to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)
        images = torch.randn(arguments.batch, 3, side, side).to(memory_format=torch.channels_last)
        labels = torch.randint(10, (arguments.batch,))
        taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for repeat in range(arguments.repeats + 2):  # the first two are warm-up
            for on in (False, True):
                switch(on)
                start = time.process_time(), time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16):
                    loss = F.cross_entropy(network(images).float(), labels)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if repeat > 1:
                    taken[on].append((time.process_time() - start[0], time.perf_counter() - start[1]))
        for index, clock in enumerate(("processor", "wall")):
            off, on = ([1e3 * pair[index] for pair in taken[state]] for state in (False, True))
            ratio = statistics.median(off) / statistics.median(on)
            print(f"{side}x{side} {clock:9}  off {spread(off)}  on {spread(on)}  ratio {ratio:.2f}")


def spread(times: list[float]) -> str:
    low, middle, high = statistics.quantiles(times, n=4)
    return f"{middle:6.1f} ms [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
