"""Peak memory and time of a training step of very deep networks, with and without gradient checkpointing.

    python benchmarks/memory.py [--steps 3] [--json]

Each case runs in a process of its own: forward, backward and SGD step on random 32 x 32 images in fp32, channels-last.
Printed are the peak resident size of the process (torch itself takes about 0.3 GiB of it), the announced activations,
and the fastest step.

Measured on two cores of an AMD EPYC without bf16 (torch 2.14), otherwise idle:

    resnet110, batch 128                          peak 1.83 GiB, announced 1.00 GiB, 1.87 s a step
    resnet110, batch 128, gradient checkpointing  peak 1.26 GiB, announced 0.26 GiB, 2.33 s a step
    resnet1202, batch 32                          peak 4.09 GiB, announced 2.74 GiB, 6.81 s a step
    resnet1202, batch 32, gradient checkpointing  peak 1.99 GiB, announced 0.69 GiB, 8.17 s a step
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import torch

from skipline.machine import peak_memory_bytes
from skipline.models import create
from skipline.training.losses import step_loss
from skipline.training.memory import activation_bytes, keep_inputs_alone
from skipline.training.optimizer import build_optimizer, heads
from skipline.training.precision import Execution, timed_pass
from skipline.training.recipe import Finetune, Optimizer

CASES = (("resnet110", 128), ("resnet1202", 32))


def measure(name: str, batch: int, checkpointing: bool, steps: int) -> dict[str, object]:
    network = create(name, classes=10, channels=3, seed=0).train()
    if checkpointing:
        keep_inputs_alone(network)
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(10, (batch,))
    loss = step_loss(0.0)
    execution = Execution(threads=torch.get_num_threads())
    announced = activation_bytes(network, images, targets, loss, execution)
    forward = execution.apply(network)
    optimizer = build_optimizer(network, Optimizer(kind="sgd", lr=0.01), Finetune(), heads(network))
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        timed_pass(execution, forward, images, targets, loss)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return {
        "what": f"{name}, batch {batch}{', gradient checkpointing' if checkpointing else ''}",
        "peak_bytes": peak_memory_bytes(),
        "announced_bytes": announced,
        "seconds_a_step": min(seconds),
        "threads": execution.threads,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", nargs=3, metavar=("MODEL", "BATCH", "CHECKPOINTING"))
    arguments = parser.parse_args()
    if arguments.case:
        name, batch, checkpointing = arguments.case
        print(json.dumps(measure(name, int(batch), checkpointing == "1", arguments.steps)))
        return
    for name, batch in CASES:
        for checkpointing in ("0", "1"):
            command = [sys.executable, __file__, "--steps", str(arguments.steps)]
            command += ["--case", name, str(batch), checkpointing]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            if arguments.json:
                print(json.dumps(row))
                continue
            print(
                f"{row['what']:48} peak {row['peak_bytes'] / 2**30:5.2f} GiB, activations announced "
                f"{row['announced_bytes'] / 2**30:5.2f} GiB, {row['seconds_a_step']:6.2f} s a step"
            )


if __name__ == "__main__":
    main()
