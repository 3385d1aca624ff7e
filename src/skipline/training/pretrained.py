"""Where trained weights come from: a file, a bundle, or torchvision's, downloaded or already at hand."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from skipline.data import Progress
from skipline.errors import DownloadError, InputError, UnknownNameError, WeightsError

CONNECT_SECONDS = 4.0


def weights_file(wanted: str, model: str, progress: Progress) -> Path:
    """Find, and if need be download, the file that holds the weights.

    Args:
        wanted: a file, a bundle or run folder, "torchvision" (its first weights for the model) or
            "torchvision:ResNet18_Weights.IMAGENET1K_V1".
        model: catalogue name, which torchvision must know as well.
        progress: shows the download.

    Returns:
        A file that `skipline.bundle.load_foreign` reads.

    Raises:
        InputError: no such file, or weights that torchvision does not have.
        DownloadError: no network; says which file to bring and where to put it.
    """
    if not wanted.startswith("torchvision"):
        return _local(Path(wanted).expanduser())
    url = _torchvision_url(wanted.partition(":")[2], model)
    place = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not place.exists():
        _download(url, place, progress)
    return place


def _local(path: Path) -> Path:
    for candidate in (path, path / "weights.safetensors", path / "bundle" / "weights.safetensors"):
        if candidate.is_file():
            return candidate
    raise InputError(
        f"no weights at '{path}'. Expected a .safetensors, .pt, .pth or .th file, a bundle or run folder, "
        "'torchvision' or 'torchvision:ResNet18_Weights.IMAGENET1K_V1'"
    )


def _torchvision_url(member: str, model: str) -> str:
    from torchvision.models import get_model_weights, get_weight, list_models

    name = model.replace("-", "_")  # vgg16-bn is torchvision's vgg16_bn
    if name not in list_models():
        raise WeightsError(f"torchvision has no weights for '{model}'; bring a file: --weights FILE")
    offered = get_model_weights(name)
    if not member:
        return str(next(iter(offered)).url)
    try:
        weights = get_weight(member if "." in member else f"{offered.__name__}.{member}")
    except (KeyError, ValueError):
        raise UnknownNameError("torchvision weights", member, [str(w) for w in offered]) from None
    if weights not in list(offered):
        raise WeightsError(
            f"{weights} are not weights for '{model}'; torchvision offers {', '.join(map(str, offered))}"
        )
    return str(weights.url)


def _download(url: str, place: Path, progress: Progress) -> None:
    host = urlparse(url).hostname or ""
    try:
        # A closed network should answer in seconds, not after the downloader's own patience.
        socket.create_connection((host, 443), timeout=CONNECT_SECONDS).close()
        place.parent.mkdir(parents=True, exist_ok=True)
        progress(f"download {place.name}", 0, 1)
        torch.hub.download_url_to_file(url, os.fspath(place), hash_prefix=_hash_in(place), progress=False)
        progress(f"download {place.name}", 1, 1)
    except (OSError, URLError, RuntimeError) as error:
        raise DownloadError(
            f"could not download {url} ({error}). Bring the file: put it at {place}, or name it with --weights FILE"
        ) from error


def _hash_in(place: Path) -> str | None:
    """Torchvision's file names end in the first digits of the file's SHA-256."""
    stem = place.stem.rpartition("-")[2]
    return stem if len(stem) == 8 and all(c in "0123456789abcdef" for c in stem) else None
