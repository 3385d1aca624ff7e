"""Recipe `fast` against the lecture's loop: how much sooner it reaches what the lecture's best network reaches.

    .venv/bin/python benchmarks/time_to_accuracy.py ../shared/data/cifar10-jpeg.tar [--epochs 3 --seed 0 --steps 60]

The lecture's side: lecture-vgg-bn, plain PyTorch in fp32 and NCHW, Adam, batch 128, torchvision transforms in a
DataLoader with 2 workers. Some of its steps are timed, and ten epochs of 391 steps predicted from their median; its
accuracy after ten epochs is given (77.65 % on the JPEG copy, from a whole run on another machine). Ours: a whole run
of `skipline train --recipe fast`; the time is that of training, and the whole process is printed beside it. Neither
side's decoding of the archive counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from skipline import models
from skipline.bench.plain_loop import plain
from skipline.data import ImageSet, open_source
from skipline.machine import describe_machine

EPOCHS, BATCH, ACCURACY = 10, 128, 0.7765
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Images(Dataset[tuple[torch.Tensor, int]]):
    """The training images as the lecture augments them."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(MEAN), list(STD)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(np.array(self.images.images[index])), int(self.images.labels[index])


def lecture_step_seconds(source: str, steps: int) -> tuple[float, int]:
    """Median seconds of a step of the lecture's loop, and how many an epoch has."""
    images = open_source(source).train
    network = plain(models.create("lecture-vgg-bn", seed=42).train())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=5e-4)
    loader = DataLoader(Images(images), batch_size=BATCH, shuffle=True, num_workers=2)
    seconds, clock = [], time.perf_counter()
    for step, (batch, targets) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(batch), targets)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - clock)
        clock = time.perf_counter()
        if step == steps:
            break
    return median(seconds[1:]), len(loader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}", flush=True)
    step, steps = lecture_step_seconds(given.source, given.steps)
    lecture = EPOCHS * steps * step
    print(
        f"the lecture's loop: {BATCH / step:.0f} img/s, {lecture:,.0f} s for {EPOCHS} epochs (predicted from "
        f"{given.steps} steps) to {ACCURACY:.2%}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "skipline", "train", given.source, "--recipe", "fast", "--json"]
        command += [
            "--epochs",
            str(given.epochs),
            "--seed",
            str(given.seed),
            "--out",
            str(Path(scratch, "run")),
        ]
        begun = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        whole = time.monotonic() - begun
    result = json.loads(done.stdout)
    print(
        f"recipe fast, {given.epochs} epochs: {result['test']['top1']:.2%} in {result['seconds']:.0f} s of training, "
        f"1/{lecture / result['seconds']:.1f} of the lecture's time; {whole:.0f} s with everything else"
    )


if __name__ == "__main__":
    main()
