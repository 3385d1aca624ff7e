"""From stored uint8 images to what a network sees; the same at training, evaluation and prediction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skipline.data.kinds import IMAGES, SOUNDS, Kind
from skipline.data.sound.settings import Audio

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Everything between a decoded image and the network's input, in order.

    Attributes:
        channels: C, 1 for grey, 3 for RGB, 4 for RGB + alpha.
        stored: side in pixels of the square that images are decoded to (short side resized, centre cropped).
        side: side in pixels of the square that the network sees: the centre of `stored`.
        mean: per channel, on the scale 0-1, subtracted.
        std: per channel, on the scale 0-1, divided by.
        audio: how sounds become images; None for images. With it, images have `side` rows, one a mel band, and
            `stored` columns, one a frame.
    """

    channels: int
    stored: int
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    audio: Audio | None = None

    def __post_init__(self) -> None:
        assert len(self.mean) == len(self.std) == self.channels
        assert 0 < self.side <= self.stored
        assert self.audio is None or (self.channels, self.side) == (1, self.audio.mels)

    @property
    def kind(self) -> Kind:
        """What the network classifies."""
        return IMAGES if self.audio is None else SOUNDS

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what an `ImageSet` holds."""
        return self.channels, self.stored if self.audio is None else self.side, self.stored

    @property
    def input(self) -> tuple[int, ...]:
        """(C, H, W) of what the network sees."""
        return self.channels, self.side, self.side

    @property
    def opening(self) -> dict[str, Any]:
        """What `open_source` is told beside the source, so that images and sounds are stored as at training."""
        return {"channels": self.channels, "stored": self.stored, "audio": self.audio}

    def crop(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Cut the centre.

        Args:
            images: (N, stored, stored, C) uint8, or (N, side, stored, C) of sounds.

        Returns:
            (N, side, side, C) uint8, a view.
        """
        top = (images.shape[1] - self.side) // 2
        left = (images.shape[2] - self.side) // 2
        return images[:, top : top + self.side, left : left + self.side]

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Bring pixels to the network's scale.

        Args:
            images: (N, C, H, W), any real dtype, on the scale 0-255.

        Returns:
            (N, C, H, W) float32: (pixel / 255 - mean) / std, in one multiply and add; the memory format is kept.
        """
        scale = torch.tensor([1 / (255 * s) for s in self.std], device=images.device).view(1, -1, 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)], device=images.device)
        return images.float() * scale + shift.view(1, -1, 1, 1)

    def arranged(self, images: npt.NDArray[np.float32]) -> torch.Tensor:
        """Normalised images (N, H, W, C) as (N, C, H, W), channels-last in memory."""
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def __call__(self, images: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Prepare stored images for the network.

        Args:
            images: (N, stored, stored, C) uint8, or (N, side, stored, C) of sounds.

        Returns:
            (N, C, side, side) float32, channels-last in memory.
        """
        writable = np.require(
            self.crop(images), requirements=["C", "W"]
        )  # torch warns of maps that are read-only
        tensor = torch.from_numpy(writable)
        return self.normalise(tensor.permute(0, 3, 1, 2))  # (N, C, H, W), strides of (N, H, W, C)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a bundle."""
        values = asdict(self)
        if self.audio is None:
            del values["audio"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_json`."""
        return cls(
            channels=int(values["channels"]),
            stored=int(values["stored"]),
            side=int(values["side"]),
            mean=tuple(float(v) for v in values["mean"]),
            std=tuple(float(v) for v in values["std"]),
            audio=Audio(**values["audio"]) if values.get("audio") else None,
        )

    def __str__(self) -> str:
        """What it takes, in words: "sounds" or "images of 32 x 32"."""
        sides = "" if self.audio is not None else f" of {self.stored} x {self.stored}"
        return f"{self.kind.many}{sides}"
