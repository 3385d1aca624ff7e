"""Lightning's Trainer on a LightningModule: turns are measured inside one `fit`, so its start-up does not count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import nn

from .conversation import Conversation, TurnsInsideTraining, arguments, installed
from .networks import build

Batch = tuple[torch.Tensor, torch.Tensor]


class Classifier(lightning.LightningModule):  # type: ignore[misc]  # mypy does not see lightning
    """A network and its training step, as Lightning's tutorials write them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """The loss of a batch."""
        images, targets = batch
        return F.cross_entropy(self.network(images), targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD with momentum and weight decay."""
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


class Measured(lightning.Callback):  # type: ignore[misc]  # nor here
    """Hands every step to the turns."""

    def __init__(self, turns: TurnsInsideTraining) -> None:
        self._turns = turns

    def on_train_batch_start(self, *run: Any) -> None:
        """Before a step."""
        self._turns.before_step()

    def on_train_batch_end(self, *run: Any) -> None:
        """After a step."""
        self._turns.after_step()


class InMemory:
    """The same batch again and again."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self._batch


def main() -> None:
    """Measure in turns."""
    wanted = arguments()
    torch.set_num_threads(wanted.threads)
    conversation = Conversation()
    network = build(wanted.network, wanted.classes, wanted.parameters)
    images = torch.randn(wanted.batch, 3, wanted.side, wanted.side)
    targets = torch.randint(wanted.classes, (wanted.batch,))
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Measured(TurnsInsideTraining(conversation, wanted.batch, wanted.seconds))],
    )
    conversation.introduce(
        "Lightning: Trainer.fit, fp32",
        installed("lightning", "torch"),
        sum(p.numel() for p in network.parameters()),
    )
    trainer.fit(Classifier(network), InMemory((images, targets)))


if __name__ == "__main__":
    main()
