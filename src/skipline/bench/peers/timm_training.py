"""timm's training step: its task, optimiser, scheduler and meter in the order of train.py, which the package lacks.

Taken: ClassificationTask, create_optimizer_v2 (SGD with momentum), create_scheduler_v2, AverageMeter. Off, as by
default: --amp, --model-ema, --clip-grad, --torchcompile. --channels-last is on where it is the faster of the two here.
The batch lies in memory: loaders are compared by `skipline bench input`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import ClassificationTask
from timm.utils import AverageMeter
from torch import nn

from .conversation import Conversation, arguments, installed
from .networks import build

STEPS_AN_EPOCH = 390  # of 50,000 images in batches of 128


def main() -> None:
    """Measure in turns."""
    wanted = arguments()
    torch.set_num_threads(wanted.threads)
    conversation = Conversation()
    network = build(wanted.network, wanted.classes, wanted.parameters)
    images = torch.randn(wanted.batch, 3, wanted.side, wanted.side)
    targets = torch.randint(wanted.classes, (wanted.batch,))
    steps = {
        "--channels-last": training_step(network.to(memory_format=torch.channels_last), images, targets, True)
    }
    other = build(wanted.network, wanted.classes, wanted.parameters)
    steps["without --channels-last"] = training_step(other, images, targets, False)
    flag = min(steps, key=lambda name: seconds(steps[name]))
    conversation.introduce(
        f"timm: the step of train.py, fp32, {flag}",
        installed("timm", "torch"),
        sum(p.numel() for p in network.parameters()),
    )
    conversation.serve(steps[flag], wanted.batch, wanted.seconds)


def training_step(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, channels_last: bool
) -> Callable[[], None]:
    """One pass through the body of train_one_epoch."""
    optimizer = create_optimizer_v2(network, opt="momentum", lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler, _ = create_scheduler_v2(optimizer, num_epochs=300, updates_per_epoch=STEPS_AN_EPOCH)
    task = ClassificationTask(network, nn.CrossEntropyLoss(), verbose=False)
    task.train()
    losses = AverageMeter()
    updates = 0

    def step() -> None:
        nonlocal updates
        batch = images.contiguous(memory_format=torch.channels_last) if channels_last else images
        loss = task(batch, targets)["loss"]
        loss.backward()
        optimizer.step()
        losses.update(loss.item(), len(batch))
        optimizer.zero_grad()
        updates += 1
        scheduler.step_update(num_updates=updates, metric=losses.avg)

    return step


def seconds(step: Callable[[], None]) -> float:
    """Of the faster of two steps, after one that warms up."""
    step()
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return min(taken)


if __name__ == "__main__":
    main()
