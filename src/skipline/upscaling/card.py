"""The model card of a network that enlarges images: README.md as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from skipline.bundle.card import NO_LICENSE
from skipline.models.upscaling import Upscaler


def upscaler_card(
    network: Upscaler, metrics: Mapping[str, Any], provenance: Mapping[str, Any], license_lines: Sequence[str]
) -> str:
    """The card as Markdown with YAML front matter; every figure in it was measured.

    Args:
        network: gives name, scale and size.
        metrics: "test" with mean figures.
        provenance: what is missing is left out.
        license_lines: of an earlier card; a licence is the user's to choose.
    """
    test = metrics.get("test")
    test = test if isinstance(test, dict) else {}
    source = json.dumps(str(provenance.get("source") or "photos"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    front = [*license_lines] or [NO_LICENSE]
    front += ["library_name: skipline", "pipeline_tag: image-to-image", "tags:"]
    front += ["- super-resolution", "- residual-networks", f"- {network.name}"]
    lines = ["---", *front, "---", "", f"# {network.name} x{network.scale}", ""]
    how = "the difference from" if network.global_residual else "instead of"
    lines += [
        f"Enlarges photos {network.scale} times; it computes {how} bicubic enlargement. {parameters:,} parameters, "
        f"trained with skipline on {source}.",
        "",
    ]
    if isinstance(test.get("psnr"), float):
        lines += ["| | PSNR, dB | SSIM |", "|---|---|---|"]
        rows = (("this network", ""), ("bicubic", "bicubic_"), ("Lanczos", "lanczos_"))
        for name, key in rows:
            values = test.get(f"{key}psnr"), test.get(f"{key}ssim")
            if all(isinstance(value, float) for value in values):
                lines.append(f"| {name} | {values[0]:.2f} | {values[1]:.4f} |")
        count = test.get("n")
        lines += [
            "",
            f"Means over {count} test photos, on luma with {network.scale} pixels of the border left out. The small "
            "images were made by antialiased bicubic shrinking; photos made small in another way gain less.",
            "",
        ]
    lines += ["    skipline upscale apply BUNDLE photo.jpg --out large.png", ""]
    return "\n".join(lines)
