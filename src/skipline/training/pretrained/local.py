"""Weights in files that somebody brought; what stands beside them or in their names tells more."""

from __future__ import annotations

from pathlib import Path

from skipline.bundle import find_bundle
from skipline.bundle.manifest import read_manifest
from skipline.bundle.recognise import recognise
from skipline.bundle.saving import MANIFEST, WEIGHTS
from skipline.bundle.weight_files import Tensors, read_tensors
from skipline.training.pretrained.from_torchvision import published_as
from skipline.training.pretrained.pretrained import IMAGENET, IMAGENET_CLASSES, Pretrained
from skipline.training.pretrained.timm_config import CONFIG, read_timm_config

TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
NOT_REBUILT = (
    "classes",
    "channels",
    "seed",
    "zero_gamma",
    "stochastic_depth",
)  # of how it was trained, not of what it is
HEADS = ("fc", "linear", "head.fc", "classifier.6")


def local_weights(path: Path, model: str | None) -> Pretrained | None:
    """Weights at a path, None where there are none.

    Args:
        path: a file; or a folder: a bundle, a run, or one with timm's files.
        model: catalogue name of the network to fill; None lets the file tell.

    Raises:
        InputError: a run that has no bundle yet.
        WeightsError: a damaged file.
    """
    if path.is_dir():
        file = next((path / name for name in TIMM_FILES if (path / name).is_file()), None)
        if file is not None:
            return timm_weights(file, str(path.resolve()), model)
        run = (path / "recipe.toml").is_file()
        return bundled_weights(find_bundle(path), str(path.resolve())) if run or _holds_bundle(path) else None
    if not path.is_file():
        return None
    name = str(path.resolve())
    if path.name == WEIGHTS and (path.parent / MANIFEST).is_file():
        return bundled_weights(path.parent, name)
    if path.name in TIMM_FILES and (path.parent / CONFIG).is_file():
        return timm_weights(path, name, model)
    return published_as(path) or bare_weights(path, name, model)


def bundled_weights(folder: Path, name: str) -> Pretrained:
    """The weights of a bundle, with its classes, its preprocessing and its network's options."""
    manifest = read_manifest(folder / MANIFEST)
    options = {key: value for key, value in manifest.model.options.items() if key not in NOT_REBUILT}
    return Pretrained(
        name=name,
        file=folder / WEIGHTS,
        model=manifest.model.name,
        options=options,
        classes=tuple(manifest.classes),
        preprocessing=manifest.any_preprocessing(),
    )


def timm_weights(file: Path, name: str, model: str | None) -> Pretrained:
    """A file with timm's config.json beside it, or without."""
    config = read_timm_config(file.parent / CONFIG) if (file.parent / CONFIG).is_file() else None
    if config is None:
        return bare_weights(file, name, model)
    return Pretrained(
        name=name,
        file=file,
        model=config.model(),
        classes=config.classes,
        preprocessing=config.preprocessing(),
        note=config.note(),
    )


def bare_weights(file: Path, name: str, model: str | None) -> Pretrained:
    """A file of tensors and nothing else: shapes tell the network, and 1000 classes that it was ImageNet."""
    tensors = read_tensors(file)
    imagenet = _classes(tensors) == IMAGENET_CLASSES
    return Pretrained(
        name=name,
        file=file,
        model=model or recognise(tensors),
        preprocessing=IMAGENET if imagenet else None,
        note="1000 classes: taken for weights of ImageNet with its usual preprocessing" if imagenet else "",
    )


def _classes(tensors: Tensors) -> int | None:
    return next((len(tensors[f"{head}.weight"]) for head in HEADS if f"{head}.weight" in tensors), None)


def _holds_bundle(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / "bundle" / MANIFEST).is_file()
