"""What an exported file computes: pixels in, probabilities out; and what it says about itself."""

from __future__ import annotations

import copy
import json
from typing import Any

import torch
from torch import nn

from skipline.bundle import Bundle
from skipline.machine import describe_machine

INPUT, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}


class PixelsToProbabilities(nn.Module):
    """The network with its preprocessing before it and softmax after it.

    Args:
        bundle: its network is copied.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        pre = bundle.preprocessing
        self.network = copy.deepcopy(bundle.network).cpu().eval().to(memory_format=torch.contiguous_format)
        self._start, self._side = (pre.stored - pre.side) // 2, pre.side
        self._top = (pre.stored_shape[1] - pre.side) // 2  # 0 for spectrograms: they are seen in full height
        scale = torch.tensor([1 / (255 * s) for s in pre.std])
        shift = torch.tensor([-m / s for m, s in zip(pre.mean, pre.std, strict=True)])
        self.register_buffer("scale", scale.view(1, -1, 1, 1))
        self.register_buffer("shift", shift.view(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, stored, stored, C) uint8, or (N, mels, stored, 1), to (N, K) float32 logits and probabilities."""
        start, end, top = self._start, self._start + self._side, self._top
        x = images[:, top : top + self._side, start:end, :].permute(0, 3, 1, 2)  # (N, C, side, side)
        x = x.to(torch.float32) * self.scale + self.shift
        logits = self.network(x)
        return logits, logits.softmax(1)


def description(bundle: Bundle, *, dynamic_batch: bool, int8: bool) -> dict[str, str]:
    """What a file carries beside the graph: values are JSON, so that every format can hold them.

    Args:
        bundle: what is exported.
        dynamic_batch: the first dimension is open.
        int8: weights and activations are 8-bit integers.
    """
    pre = bundle.preprocessing
    resize = (
        f"turn upright by EXIF; lay transparency on white; cut the centred square of the short side and resize it to "
        f"{pre.stored} x {pre.stored} (Pillow BICUBIC, which filters when it makes images smaller)"
    )
    if pre.audio is not None:
        resize = (
            "cut windows out of the mel spectrogram that preprocessing.audio describes: dB below the loudest moment of "
            f"the file, 0 for -{pre.audio.top_db:g} dB, 255 for 0 dB, the highest band in the first row"
        )
    values: dict[str, Any] = {
        "skipline": describe_machine()["skipline"],
        "model": bundle.name,
        "classes": list(bundle.classes),
        "input": {
            "name": INPUT,
            "shape": ["N" if dynamic_batch else 1, *pre.stored_shape[1:], pre.channels],
            "type": "uint8",
            "order": f"N, H, W, C; {COLOURS.get(pre.channels, f'{pre.channels} channels')}, 0-255",
            "before": resize,
        },
        "outputs": {LOGITS: "before softmax, float32 (N, K)", PROBABILITIES: "softmax, float32 (N, K)"},
        "preprocessing": {**pre.to_json(), "where": "centre crop and normalisation are inside the graph"},
        "precision": "int8" if int8 else "fp32",
        "metrics": bundle.metrics,
        "provenance": bundle.provenance,
    }
    return {key: json.dumps(value, ensure_ascii=False, allow_nan=False) for key, value in values.items()}


def blank(bundle: Bundle, count: int) -> torch.Tensor:
    """(count, H, W, C) uint8 zeros: what the graph is traced with."""
    pre = bundle.preprocessing
    return torch.zeros((count, *pre.stored_shape[1:], pre.channels), dtype=torch.uint8)
