"""The process behind parallel training steps: python -m skipline.bench.parallel_steps WORK, see `ranks`.

WORK holds `network` (of the catalogue), `side`, `classes`, `batch` (images of this process), `way` (an `Execution`),
`together` (average the gradients as `skipline train` does, by DistributedDataParallel; else every process trains alone,
beside the others) and `seconds` of a turn.
"""

from __future__ import annotations

import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from skipline import models
from skipline.bench.own_step import DECAY, LOSS, MOMENTUM, RATE
from skipline.bench.peers.conversation import Conversation, installed
from skipline.bench.rank_work import join, told
from skipline.training.optimizer import build_optimizer, heads
from skipline.training.precision import Execution, timed_pass
from skipline.training.recipe import Finetune, Optimizer


def main() -> None:
    """Answer turns with the images a second of this process."""
    conversation = Conversation()
    work = told()
    execution = Execution(**work["way"])
    torch.set_num_threads(execution.threads)
    network = models.create(work["network"], classes=work["classes"], seed=0).train()
    generator = torch.Generator().manual_seed(work["rank"])
    images = torch.randn(work["batch"], 3, work["side"], work["side"], generator=generator)
    images = images.contiguous(memory_format=execution.memory_format)
    targets = torch.randint(work["classes"], (work["batch"],), generator=generator)
    alone = execution.apply(network)
    parameters = sum(p.numel() for p in network.parameters())
    conversation.introduce(str(execution), installed("torch"), parameters)
    conversation.wait()
    join(work)
    forward = DistributedDataParallel(network) if work["together"] else alone
    settings = Optimizer(kind="sgd", lr=RATE, momentum=MOMENTUM, nesterov=False, weight_decay=DECAY)
    optimizer = build_optimizer(network, settings, Finetune(), heads(network))

    def step() -> None:
        timed_pass(execution, forward, images, targets, LOSS)
        optimizer.step()
        optimizer.zero_grad()

    step()
    while True:
        dist.barrier()
        start = time.perf_counter()
        step()
        # As many steps in every process: one more in one of them would wait for the others for ever.
        steps = torch.tensor(max(1, round(work["seconds"] / (time.perf_counter() - start))))
        dist.broadcast(steps, 0)
        start = time.perf_counter()
        for _ in range(int(steps)):
            step()
        conversation.answer(work["batch"] * int(steps) / (time.perf_counter() - start), steps=int(steps))
        conversation.wait()


if __name__ == "__main__":
    main()
