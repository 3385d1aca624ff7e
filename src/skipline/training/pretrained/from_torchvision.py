"""torchvision's weights by the names of its enums, kept in the cache that torchvision itself uses."""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from skipline.data import Preprocessing, Progress
from skipline.errors import DownloadError, UnknownNameError, WeightsError
from skipline.training.pretrained.network import knock
from skipline.training.pretrained.pretrained import Pretrained
from skipline.training.pretrained.timm_config import catalogue_name, resizing_note, shared_names

POLL_SECONDS = 0.5
USUAL = "resnet18"  # for whom "torchvision" alone, without a network, is enough said


def from_torchvision(member: str, model: str | None, progress: Progress) -> Pretrained:
    """Weights that torchvision publishes.

    Args:
        member: "ResNet50_Weights.IMAGENET1K_V2", "IMAGENET1K_V2", or "" for the model's first.
        model: catalogue name; None takes the one that the weights are for.
        progress: shows the download.

    Raises:
        UnknownNameError: no such weights.
        WeightsError: weights of another network, or of one that the catalogue lacks.
        DownloadError: no network; says which file to bring and where to put it.
    """
    name, weights = _chosen(member, model)
    place = Path(torch.hub.get_dir()) / "checkpoints" / _file_name(weights)
    if not place.exists():
        _download(weights, place, progress)
    return _described(f"torchvision:{weights}", place, name, weights)


def published_as(file: Path) -> Pretrained | None:
    """What is known about a file that has the name of one of torchvision's, None for any other name."""
    for name in shared_names():
        for weights in _offered(name):
            if _file_name(weights) == file.name:
                return _described(str(file.resolve()), file, name, weights)
    return None


def _described(reference: str, file: Path, model: str, weights: Any) -> Pretrained:
    transforms = weights.transforms()
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    if (
        model == "googlenet"
    ):  # torchvision's own network takes ImageNet's figures back; its weights want -1 to 1
        mean = std = (0.5, 0.5, 0.5)
    interpolation = str(getattr(transforms.interpolation, "value", transforms.interpolation))
    return Pretrained(
        name=reference,
        file=file,
        model=model,
        classes=tuple(weights.meta["categories"]) if "categories" in weights.meta else None,
        preprocessing=Preprocessing(3, transforms.resize_size[0], transforms.crop_size[0], mean, std),
        note="" if interpolation == "bicubic" else resizing_note(interpolation),
    )


def _chosen(member: str, model: str | None) -> tuple[str, Any]:
    """The network and the member of its enum."""
    enum, dot, leaf = member.rpartition(".")
    if model is None and not dot:
        model = USUAL
    if model is None:
        model = _network_of(enum, member)
    offered = list(_offered(model))
    if not offered:
        raise WeightsError(f"torchvision has no weights for '{model}'; bring a file: --weights FILE")
    if not member:
        return model, offered[0]
    if dot and enum != type(offered[0]).__name__:
        _network_of(enum, member)  # a name that torchvision does not know is told so
        raise WeightsError(
            f"{member} are not weights for '{model}'; torchvision offers {', '.join(map(str, offered))}"
        )
    for weights in offered:
        if weights.name == leaf:
            return model, weights
    raise UnknownNameError("torchvision weights", member, [str(weights) for weights in offered])


def _network_of(enum: str, member: str) -> str:
    """The catalogue's network whose weights an enum holds."""
    from torchvision.models import get_model_weights, list_models

    enums = {get_model_weights(name).__name__: name for name in list_models()}
    if enum not in enums:
        known = [str(weights) for name in shared_names() for weights in _offered(name)]
        raise UnknownNameError("torchvision weights", member, known)
    name = catalogue_name(enums[enum])
    if name is None:
        raise WeightsError(
            f"{member} are weights of torchvision's '{enums[enum]}', which the catalogue lacks. Of torchvision's "
            f"networks it has {', '.join(shared_names())}"
        )
    return name


def _offered(model: str) -> Iterator[Any]:
    from torchvision.models import get_model_weights, list_models

    name = model.replace("-", "_")  # vgg16-bn is torchvision's vgg16_bn
    return iter(get_model_weights(name) if name in list_models() else ())


def _file_name(weights: Any) -> str:
    return Path(urlparse(weights.url).path).name


def _download(weights: Any, place: Path, progress: Progress) -> None:
    url = weights.url
    try:
        knock(url)
        place.parent.mkdir(parents=True, exist_ok=True)
        total = round(float(weights.meta.get("_file_size", 1)) * 2**20)
        with _watched(place, total, progress):
            torch.hub.download_url_to_file(url, os.fspath(place), hash_prefix=_hash_in(place), progress=False)
    except (OSError, URLError, RuntimeError) as error:
        raise DownloadError(
            f"could not download {url} ({error}). Bring the file: put it at {place}, or name it with --weights FILE"
        ) from error


@contextmanager
def _watched(place: Path, total: int, progress: Progress) -> Iterator[None]:
    """Show how much of a file has arrived, which torch's downloader tells nobody but the terminal."""
    what, arrived = f"download {place.name}", threading.Event()

    def watch() -> None:
        while not arrived.wait(POLL_SECONDS):
            parts = list(place.parent.glob(f"{glob.escape(place.name)}.*.partial"))
            with suppress(OSError):  # it was moved into place just now
                progress(what, min(sum(part.stat().st_size for part in parts), total - 1), total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        arrived.set()
        watcher.join()
        progress(what, total, total)


def _hash_in(place: Path) -> str | None:
    """Torchvision's file names end in the first digits of the file's SHA-256."""
    stem = place.stem.rpartition("-")[2]
    return stem if len(stem) == 8 and all(c in "0123456789abcdef" for c in stem) else None
