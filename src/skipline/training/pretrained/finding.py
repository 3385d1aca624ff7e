"""From what a user calls weights to a file on this machine."""

from __future__ import annotations

from pathlib import Path

from skipline.data import Progress, silent
from skipline.errors import InputError
from skipline.training.pretrained.from_hub import from_hub
from skipline.training.pretrained.from_torchvision import from_torchvision
from skipline.training.pretrained.local import local_weights
from skipline.training.pretrained.pretrained import Pretrained

HUB, TORCHVISION = "hub:", "torchvision"


def find_weights(wanted: str, model: str | None = None, progress: Progress = silent) -> Pretrained:
    """Find, and if need be download, trained weights.

    Args:
        wanted: a file, a bundle or run folder, a folder with timm's `model.safetensors` and `config.json`,
            "torchvision" (its first weights for the model), "torchvision:ResNet50_Weights.IMAGENET1K_V2", or
            "hub:timm/resnet50.a1_in1k" with an optional "@REVISION".
        model: catalogue name of the network to fill; None leaves it to the weights.
        progress: shows the download from torchvision; huggingface_hub has its own bar, on terminals alone.

    Returns:
        The file and what is known about the weights.

    Raises:
        InputError: no such weights, or weights of another network.
        DownloadError: no network; says which file to bring and where to put it.
        MissingExtraError: huggingface_hub is needed and not installed.
    """
    if wanted.startswith(HUB):
        return from_hub(wanted.removeprefix(HUB), model)
    if wanted == TORCHVISION or wanted.startswith(f"{TORCHVISION}:"):
        return from_torchvision(wanted.partition(":")[2], model, progress)
    path = Path(wanted).expanduser()
    found = local_weights(path, model)
    if found is None:
        raise InputError(
            f"no weights at '{wanted}'. Expected a .safetensors, .pt, .pth or .th file, a bundle or run folder, "
            "'torchvision', 'torchvision:ResNet50_Weights.IMAGENET1K_V2' or 'hub:timm/resnet50.a1_in1k'"
        )
    return found
