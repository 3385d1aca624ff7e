"""What lies between values and the network; what of a recipe does not apply to them is told in words."""

from __future__ import annotations

from skipline import models
from skipline.data import Dataset
from skipline.data.kinds import SERIES, Kind
from skipline.data.objections import objections
from skipline.data.values import AnyPreprocessing, ValuePreprocessing
from skipline.data.values.statistics import value_statistics
from skipline.errors import InputError, RecipeError
from skipline.training.plan import resolve_preprocessing
from skipline.training.recipe import Input, Recipe


def prepared_input(recipe: Recipe, model: str, dataset: Dataset) -> AnyPreprocessing:
    """What lies between what a source holds and the network.

    Args:
        recipe: complete.
        model: catalogue name.
        dataset: opened as the recipe asks.

    Raises:
        InputError: a network for images and series, or the other way round.
        RecipeError: what the recipe says does not apply; all of it together.
    """
    train = dataset.train
    along = len(models.spec(model).input) == 2
    if along != train.series:
        length = f" of {train.shape[2]:,} values" if train.series else ""
        remedy = sibling(model) if train.series else model.removesuffix("-1d")
        raise InputError(
            f"{model} takes {'series' if along else 'images or arrays'}, and {dataset.name} holds "
            f"{dataset.kind.many}{length}: take {remedy}"
        )
    if not train.values:
        return resolve_preprocessing(recipe.input, dataset)
    channels, height, width = train.shape
    if found := _objections(recipe, channels, dataset.kind):
        raise RecipeError(found, f"recipe {recipe.name}")
    mean, std = _statistics(recipe.input, dataset)
    return ValuePreprocessing(channels, height, width, train.series, mean, std)


def sibling(model: str) -> str:
    """The network for series that is most like one for images."""
    return f"{model}-1d" if f"{model}-1d" in models.names() else "resnet20-1d"


def _objections(recipe: Recipe, channels: int, kind: Kind) -> list[str]:
    wanted, found = recipe.input, objections(recipe.augmentation, kind)
    for key in ("side", "stored", "sides"):
        if getattr(wanted, key):
            found.append(f"input.{key}: is for images; values keep their size, leave it out")
    if wanted.normalise in ("imagenet", "lecture"):
        found.append(f"input.normalise: '{wanted.normalise}' is for photographs; use 'data' or 'none'")
    if wanted.mean is not None and len(wanted.mean) != channels:
        found.append(f"input.mean: expected {channels} values, one a channel, got {len(wanted.mean)}")
    if kind is SERIES and recipe.tta != "none":
        found.append(f"tta: '{recipe.tta}' looks at mirror images, which series have none of; use 'none'")
    return found


def _statistics(wanted: Input, dataset: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if wanted.mean is not None and wanted.std is not None:
        return wanted.mean, wanted.std
    if wanted.normalise == "none":
        channels = dataset.train.shape[0]
        return (0.0,) * channels, (1.0,) * channels
    return value_statistics(dataset.train.images)
