"""Trained weights that lie on this machine, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from skipline.bundle import LoadedWeights, load_foreign
from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from skipline.data.values import AnyPreprocessing

IMAGENET_CLASSES = 1000
# What nearly all weights for ImageNet's 1000 classes were trained with.
IMAGENET = Preprocessing(channels=3, stored=256, side=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@dataclass(frozen=True)
class Pretrained:
    """A file of weights with what is known about it.

    Attributes:
        name: names the same weights for good: an absolute path, "torchvision:ENUM.MEMBER" or
            "hub:OWNER/NAME@COMMIT".
        file: holds the tensors.
        model: the network they belong to, as the catalogue calls it; None where that is unknown.
        options: of the network, where it is one of ours: its shortcut and the like.
        classes: names of the classes of the head in the file, in order; None where they are unknown.
        preprocessing: of the images they were trained on; None where it is unknown.
        note: what people should know about it, as a sentence without full stop; or "".
    """

    name: str
    file: Path
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    preprocessing: AnyPreprocessing | None = None
    note: str = ""

    def fill(self, network: nn.Module, classes: tuple[str, ...]) -> LoadedWeights:
        """Load the weights into a network, all or none.

        The head is new unless it can be for the same classes: where the names in the file are known they decide, else
        their number. The first convolution is fitted to the network's image channels.

        Args:
            network: filled in place.
            classes: that it is to tell apart.

        Returns:
            What was taken and what not; `str()` of it is one line for people.

        Raises:
            WeightsError: the file does not fit the network, which is untouched then.
        """
        other = self.classes is not None and self.classes != classes
        return load_foreign(network, self.file, new_head=True if other else None, adapt_channels=True)
