"""The plain loop in a process of its own, as a user without skipline runs it: `python -m skipline.bench.plain_loop`.

In one process with ours it would share the memory that `keep_pages` keeps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from skipline import models
from skipline.bench.own_step import DECAY, MOMENTUM, RATE
from skipline.bench.peers.conversation import Conversation, arguments


class PlainBatchNorm2d(nn.BatchNorm2d):
    """BN that skipline's kernel does not recognise: what a user's own network would run."""


def main() -> None:
    """Measure in turns."""
    wanted = arguments()
    torch.set_num_threads(wanted.threads)
    conversation = Conversation()
    network = plain(models.create(wanted.network, classes=wanted.classes, seed=0).train())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(wanted.batch, 3, wanted.side, wanted.side, generator=generator)
    targets = torch.randint(wanted.classes, (wanted.batch,), generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def step() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()

    conversation.introduce(
        "plain PyTorch loop (fp32, NCHW)",
        {"torch": torch.__version__},
        sum(p.numel() for p in network.parameters()),
    )
    conversation.serve(step, wanted.batch, wanted.seconds)


def plain(network: nn.Module) -> nn.Module:
    """The same network with PyTorch's own batch norm; changed in place."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = PlainBatchNorm2d
    return network


if __name__ == "__main__":
    main()
