"""What to run: resolved before the first step, saved with the run, and enough to run it again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skipline import models
from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Dataset, Preprocessing, channel_statistics
from skipline.errors import InputError, RecipeError
from skipline.machine import available_cores
from skipline.training.distributed import group
from skipline.training.plan_files import split_tables
from skipline.training.recipe import Input, Recipe, validated
from skipline.training.recipe_files import parse_tables, read_tables, to_toml
from skipline.training.recipes import named_recipe

# The figures that the lecture normalises CIFAR-10 with.
LECTURE_MEAN = (0.4914, 0.4822, 0.4465)
LECTURE_STD = (0.2470, 0.2435, 0.2616)

SMALL_SIDE = 64  # images up to this side take a network with a 3x3 stem
TINY_SIDE = 12


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run.

    Attributes:
        source: as given on the command line; a path is made absolute.
        model: catalogue name.
        options: of the network: classes, channels, shortcut and the like, as `models.create` takes them.
        recipe: complete.
        seed: of initialisation, order, augmentation and split.
        threads: of PyTorch; 0 lets a measurement choose.
        data_root: where to look for and put downloads, or None.
        strict: a corrupt image ends the run.
        twin: train the plain twin as well, in the folder twin/ of the run.
        fingerprint: of the source as first opened; "" before that.
        execution: how to compute beside precision and threads, as `Execution.settings` names it; empty before that was
            chosen.
        processes: that the run began with.
        job: of theirs, by which a process that takes another's place finds the run again; "" for a process alone.
    """

    source: str
    model: str
    recipe: Recipe
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 0
    data_root: str | None = None
    strict: bool = False
    twin: bool = False
    fingerprint: str = ""
    execution: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    job: str = ""

    def to_toml(self) -> str:
        """The recipe's tables, then a [run] table with the rest."""
        run = {key: value for key, value in vars(self).items() if key != "recipe"}
        return to_toml(self.recipe, run)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan that a run folder's recipe.toml holds.

        Raises:
            RecipeError: the file is missing, damaged or was edited into something invalid.
        """
        return cls._from(read_tables(path), str(path))

    @classmethod
    def parse(cls, text: str, origin: str) -> Plan:
        """The plan in what `to_toml` wrote.

        Args:
            text: of the file.
            origin: what to call it in an error.

        Raises:
            RecipeError: it is no plan.
        """
        return cls._from(parse_tables(text, origin), origin)

    @classmethod
    def _from(cls, tables: dict[str, Any], origin: str) -> Plan:
        recipe, run = split_tables(tables, origin)
        return cls(recipe=validated(recipe, origin), **run)

    def twin_plan(self) -> Plan:
        """The same plan for the plain twin: identical layers, no addition.

        Raises:
            InputError: the network has no shortcuts to leave out, or begins with trained weights, which
                were trained with shortcuts.
        """
        if self.recipe.finetune.weights is not None:
            raise InputError(
                "--twin compares two networks that learn from scratch: leave --weights out and take a recipe "
                "without them, such as --recipe photos"
            )
        name, options = models.twin(self.model, **self.options)
        return replace(self, model=name, options=options, twin=False)


def usable_threads(wanted: int | None) -> int:
    """How many threads to compute with: what is wanted, else one a core.

    Raises:
        InputError: the number is below 1.
    """
    if wanted is not None and wanted < 1:
        raise InputError(f"--threads must be at least 1, got {wanted}")
    # Processes that train together on a machine share its cores.
    return wanted or max(1, available_cores() // group().local_size)


def wanted_side(recipe: Recipe) -> int | None:
    """Pixels of the square to decode to, or frames of a window of sounds; None where that is left to the source."""
    return recipe.input.stored or (recipe.input.side if recipe.audio is None else None)


def default_choice(dataset: Dataset, weights_at_hand: bool, model: str | None = None) -> tuple[str, Recipe]:
    """Network and recipe for a user who named none, or only the network.

    Args:
        dataset: the source.
        weights_at_hand: whether weights trained on ImageNet can be had for resnet18.
        model: catalogue name that was chosen, "" for a network that is not in it; None leaves it open.

    Returns:
        Catalogue name and recipe.
    """
    if dataset.audio is not None:
        return "quick-resnet8", named_recipe("sounds")
    side = max(dataset.train.shape[1:])
    if dataset.train.values:
        large = "resnet20" if side <= SMALL_SIDE else "resnet18"
        return ("resnet20-1d" if dataset.train.series else large), named_recipe("arrays")
    if side <= TINY_SIDE:
        return "resnet20", named_recipe("tiny")
    if side <= SMALL_SIDE and not dataset.photographic:
        quick = model is None or model in {spec.name for spec in models.family("quick-resnet")}
        return "quick-resnet8", named_recipe("fast" if quick else "small")
    return "resnet18", named_recipe("finetune" if weights_at_hand else "photos")


def resolve_preprocessing(wanted: Input, dataset: Dataset) -> Preprocessing:
    """What lies between stored images and the network.

    Args:
        wanted: the recipe's input section.
        dataset: opened with `stored` as the recipe asks.

    Returns:
        The preprocessing: photos keep a margin of 1/8 around the crop, small images are seen whole, of the windows of
        sounds the middle.

    Raises:
        RecipeError: a side above the stored one, or statistics for another number of channels.
        InputError: the source holds values, not images.
    """
    if dataset.train.values:
        raise InputError(
            f"{dataset.name} holds values, not images: `skipline train`, `evaluate`, `predict` and `export` take "
            "those; give a source of images here"
        )
    channels, height, width = dataset.train.shape
    if dataset.audio is not None:
        stored, side = width, height  # frames, and mel bands: as many frames as these are seen
    else:
        stored = min(height, width)
        side = wanted.side or (stored * 7 // 8 if dataset.photographic else stored)
    mistakes = []
    if side > stored:
        mistakes.append(f"input.side: expected at most input.stored, {stored} pixels, got {side}")
    if wanted.normalise in ("imagenet", "lecture") and channels != 3:
        mistakes.append(
            f"input.normalise: '{wanted.normalise}' is for 3 channels, the source has {channels}; use 'data'"
        )
    if wanted.mean is not None and len(wanted.mean) != channels:
        mistakes.append(f"input.mean: expected {channels} values, one a channel, got {len(wanted.mean)}")
    if mistakes:
        raise RecipeError(mistakes)
    mean, std = _statistics(wanted, dataset)
    return Preprocessing(channels=channels, stored=stored, side=side, mean=mean, std=std, audio=dataset.audio)


def _statistics(wanted: Input, dataset: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    channels = dataset.train.shape[0]
    if wanted.mean is not None and wanted.std is not None:
        return wanted.mean, wanted.std
    if wanted.normalise == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    if wanted.normalise == "lecture":
        return LECTURE_MEAN, LECTURE_STD
    if wanted.normalise == "none":
        return (0.0,) * channels, (1.0,) * channels
    mean, std = channel_statistics(dataset.train.looked_at().images)
    return mean, tuple(max(s, 1 / 255) for s in std)  # a channel that never varies must not divide by zero
