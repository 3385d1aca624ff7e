"""Stacked blocks that are asked to give back the image that they are given, and what they make of it."""

from __future__ import annotations

import base64
import io
import math
from typing import Any, Literal

import torch
from torch import nn

from skipline.models.blocks import BasicBlock
from skipline.models.initialisation import he_initialise
from skipline.studies.gradients import calibrate

Kind = Literal["plain", "residual"]
WIDTH = 16
BATCH = 64
RATE = 3e-3
PICTURE_SIDE = 96  # pixels that small images are enlarged to, by whole factors
PICTURES = 4  # places in the stack that are shown


class Passage(nn.Module):
    """Copies of the image through a stack of basic blocks, and their mean back to an image.

    Nothing but the blocks is learnt. Pixels are not negative, so that ReLU lets them pass: the stack can hold the
    identity exactly, with or without shortcuts.

    Args:
        channels: C of the images, at most `WIDTH`.
        layers: 3x3 convolutions, even: two a block.
        kind: with identity shortcuts around each block, or without.
    """

    def __init__(self, channels: int, layers: int, kind: Kind) -> None:
        super().__init__()
        assert layers % 2 == 0, layers
        self.channels = channels
        self.width = math.ceil(WIDTH / channels) * channels  # every channel has as many copies
        shortcut: Literal["A", "none"] = "A" if kind == "residual" else "none"
        self.blocks = nn.ModuleList(
            BasicBlock(self.width, self.width, self.width, shortcut=shortcut) for _ in range(layers // 2)
        )
        he_initialise(self)

    def lift(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, width, H, W): copies."""
        return images.repeat(1, self.width // self.channels, 1, 1)

    def image(self, features: torch.Tensor) -> torch.Tensor:
        """(N, width, H, W) to (N, C, H, W): the mean over the copies."""
        count, _, height, width = features.shape
        return features.view(count, -1, self.channels, height, width).mean(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) on the scale 0-1 to the same shape."""
        x = self.lift(images)
        for block in self.blocks:
            x = block(x)
        return self.image(x)

    def stations(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The images as they are after every block, each (N, C, H, W)."""
        x = self.lift(images)
        seen = []
        for block in self.blocks:
            x = block(x)
            seen.append(self.image(x))
        return seen


def distortion(output: torch.Tensor, images: torch.Tensor) -> float:
    """Mean over the images of ||f(x) - x|| / ||x||; images that are zero throughout are left out.

    Args:
        output: (N, C, H, W).
        images: (N, C, H, W).
    """
    wrong = (output - images).flatten(1).norm(dim=1)
    size = images.flatten(1).norm(dim=1)
    kept = size > 0
    return float((wrong[kept] / size[kept]).mean())


def learn_identity(
    train: torch.Tensor, test: torch.Tensor, layers: int, kind: Kind, seed: int, steps: int
) -> dict[str, Any]:
    """Train one stack to give back its input: mean square error, Adam, a rate that falls to 0.

    Args:
        train: (N, C, H, W) on the scale 0-1.
        test: likewise, never trained on.
        layers: even.
        kind: with or without shortcuts.
        seed: of weights and order.
        steps: of at most `BATCH` images.

    Returns:
        distortion of the test images at the "start" and the "end"; "loss": [step, loss] ten times or so; "pictures":
        [caption, PNG in base64] of the first test image on its way.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = Passage(train.shape[1], layers, kind)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, foreach=True)
    curve = []
    start = _measure_fresh(network, train, test)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        images = train[torch.randint(len(train), (min(BATCH, len(train)),), generator=order)]
        loss = (network(images) - images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % max(1, steps // 10) == 0 or step == steps - 1:
            curve.append([step + 1, loss.item()])
    network.eval()
    with torch.no_grad():
        end = distortion(network(test), test)
        pictures = _pictures(network, test[:1])
    return {
        "start": start,
        "end": end,
        "loss": curve,
        "pictures": pictures,
        "params": sum(parameter.numel() for parameter in network.parameters()),
    }


def _measure_fresh(network: Passage, train: torch.Tensor, test: torch.Tensor) -> float:
    """Distortion with BN statistics of a batch, since those of a fresh network normalise nothing."""
    fresh = {name: buffer.clone() for name, buffer in network.named_buffers()}
    calibrate(network, train[:256])
    with torch.no_grad():
        found = distortion(network(test), test)
    for name, buffer in network.named_buffers():
        buffer.copy_(fresh[name])
    network.train()
    return found


def _pictures(network: Passage, image: torch.Tensor) -> list[list[str]]:
    stations = network.stations(image)
    count = len(stations)
    places = sorted({max(1, round(count * (i + 1) / PICTURES)) for i in range(PICTURES)})
    shown = [["given", png(image[0])]]
    for place in places:
        seen = stations[place - 1][0]
        if place < count:
            low, high = seen.min(), seen.max()
            seen = (seen - low) / (high - low).clamp_min(1e-6)
        words = "out" if place == count else f"after {2 * place} layers, contrast stretched"
        shown.append([words, png(seen)])
    return shown


def png(image: torch.Tensor) -> str:
    """An image as a PNG file in base64, enlarged by a whole factor where it is small.

    Args:
        image: (C, H, W) on the scale 0-1, cut off outside; one channel is shown in grey, of more the first three.
    """
    from PIL import Image

    shown = image[:1] if image.shape[0] < 3 else image[:3]
    pixels = (shown.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    factor = max(1, PICTURE_SIDE // max(picture.size))
    picture = picture.resize(
        (picture.width * factor, picture.height * factor), resample=Image.Resampling.NEAREST
    )
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
