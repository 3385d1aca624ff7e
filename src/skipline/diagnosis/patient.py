"""What is examined: a network that can be built anew, the images it learns from, and how it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skipline.bundle import match_classes
from skipline.data import Batches, Dataset, Preprocessing, Progress, open_source, silent
from skipline.data.values import pictures_only
from skipline.diagnosis.fitting import SIDES, Attempt, Mismatch, attempt, enlarged
from skipline.diagnosis.targets import Target, find_target
from skipline.errors import InputError, ShapeMismatchError
from skipline.training import NAMED, Recipe, changed, default_choice, named_recipe, read_recipe
from skipline.training.plan import TINY_SIDE, resolve_preprocessing, wanted_side
from skipline.training.pretrained import Pretrained, find_weights, settled, with_size
from skipline.training.recipe import validated

# The rate of a named recipe was tuned for the catalogue's networks: torchvision's resnet50 learns nothing in the first
# hundred steps at the 0.2 of `fast`. Adam's 1e-3 suits almost any network.
ANY_NETWORK = ("optimizer.kind=adam", "optimizer.lr=0.001", "optimizer.nesterov=false")


@dataclass(frozen=True, eq=False)
class Patient:
    """A network, its images and its recipe.

    Attributes:
        target: as it was given.
        source: how people call the images.
        dataset: the images, enlarged where the network needs larger ones.
        original: the images as they came, before any enlarging.
        preprocessing: from `dataset` to the network's input.
        recipe: how it is trained.
        trained: whether trained weights are to be had (`trained_network`).
        spec: JSON values; `open_patient(**spec)` in another process gives the same patient.
        events: of a run, oldest first; None where there is no run.
        notes: sentences worth showing, such as that images were enlarged.
        mismatch: an addition in the forward pass that fails; the network cannot compute anything then.
        seed: of the split and the batches.
    """

    target: str
    source: str
    dataset: Dataset
    original: Dataset
    preprocessing: Preprocessing
    recipe: Recipe
    trained: bool
    spec: dict[str, Any]
    events: tuple[dict[str, Any], ...] | None
    notes: tuple[str, ...]
    mismatch: Mismatch | None
    seed: int
    _target: Target = field(repr=False)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.dataset.classes)

    def network(self, seed: int = 0) -> nn.Module:
        """The network with fresh weights, in training mode, also where trained ones exist.

        Args:
            seed: of the weights; torch's generator is put back afterwards.
        """
        channels = self.preprocessing.channels
        return self._target.build(seed, self.classes, channels, self.recipe).train()

    def trained_network(self) -> nn.Module | None:
        """The network with the weights that training left, in evaluation mode; None where there are none."""
        if self._target.steps:
            from skipline.diagnosis.trial import run_trial  # which trains patients

            return run_trial(
                self, steps=self._target.steps, seconds=math.inf, seed=self.seed, probe=False
            ).network.eval()
        return None if self._target.bundle is None else self._target.bundle.network

    def batches(self, seed: int = 0) -> Batches:
        """The training batches of the recipe, in the order of a seed."""
        return Batches(
            self.dataset.train,
            self.preprocessing,
            batch_size=self.recipe.batch_size,
            augmentation=self.recipe.augmentation,
            seed=seed,
        )


def open_patient(
    target: str | Path,
    source: str | Path | None = None,
    *,
    recipe: str | Path | Recipe | Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    data_root: str | Path | None = None,
    progress: Progress = silent,
) -> Patient:
    """Find a target, open its images, and make sure that the one takes the other.

    Args:
        target: a run or bundle folder, a catalogue name, "FILE.py:NAME" or "zoo:NAME".
        source: as in `open_source`; None takes a run's own.
        recipe: a name, a TOML file, a `Recipe` or its values; None takes a run's own, else chooses by the size of the
            images.
        settings: `key=value` texts that change single keys of the recipe.
        seed: of the split and the batches; None takes a run's own, else 0.
        data_root: where downloads are looked for.
        progress: told about long work.

    Raises:
        InputError: no such target or source, a factory that fails, or a network that cannot take the images.
    """
    found = find_target(target, progress)
    plan = found.plan
    if source is None:
        if plan is None:
            raise InputError(f"'{target}' is not a run, so it needs images: expected a SOURCE beside it")
        source = plan.source
    seed = seed if seed is not None else plan.seed if plan is not None else 0
    data_root = data_root if data_root is not None else plan.data_root if plan is not None else None
    opening: dict[str, Any] = {"data_root": data_root, "seed": seed, "progress": progress}
    dataset, chosen, preprocessing = _open(found, source, recipe, settings, opening)
    notes = list(dataset.notes)
    if found.data is not None:
        dataset = found.data(dataset, seed)
    if found.bundle is not None:
        match_classes(found.bundle.classes, dataset.classes)
    original = dataset
    if found.side is not None and found.side > preprocessing.side:
        dataset, preprocessing, _ = enlarged(dataset, preprocessing, found.side)
    channels, side, tried = _fitting(found, chosen, len(dataset.classes), preprocessing)
    if channels != preprocessing.channels:
        notes.append(f"the network takes images of {channels} channels: the source was opened with as many")
        dataset, chosen, preprocessing = _open(found, source, recipe, settings, opening, channels)
        original = dataset
    if side > preprocessing.side:
        least = f"the network needs larger images than {preprocessing.side} x {preprocessing.side}"
        dataset, preprocessing, left_out = enlarged(dataset, preprocessing, side)
        notes.append(f"{least}: they were enlarged to {side} x {side}")
        if left_out:
            notes.append(f"{left_out:,} training images were left out, since all would take much memory")
    notes += _check_outputs(tried, len(dataset.classes))
    absolute = Path(source).expanduser()
    spec = {
        "target": found.name,
        "source": str(absolute.resolve()) if absolute.exists() else str(source),
        "recipe": chosen.model_dump(mode="json"),
        "seed": seed,
        "data_root": None if data_root is None else str(Path(data_root).resolve()),
    }
    return Patient(
        target=str(target),
        source=dataset.name,
        dataset=dataset,
        original=original,
        preprocessing=preprocessing,
        recipe=chosen,
        trained=found.bundle is not None or found.steps > 0,
        spec=spec,
        events=found.events,
        notes=tuple(notes),
        mismatch=tried.mismatch,
        seed=seed,
        _target=found,
    )


def _open(
    found: Target,
    source: str | Path,
    recipe: str | Path | Recipe | Mapping[str, Any] | None,
    settings: Sequence[str],
    opening: dict[str, Any],
    channels: int | None = None,
) -> tuple[Dataset, Recipe, Preprocessing]:
    """The images, the recipe for them and what lies between them and the network."""
    if found.bundle is not None and found.plan is None:
        preprocessing = pictures_only(found.bundle.preprocessing, "`skipline diagnose`")
        dataset = open_source(source, **preprocessing.opening, **opening)
        return dataset, _recipe(found, dataset, recipe, settings), preprocessing
    if channels is None and found.plan is not None:
        channels = found.plan.options.get("channels")
    given = recipe if recipe is not None else None if found.plan is None else found.plan.recipe
    wanted = None if given is None else _recipe(found, None, recipe, settings)
    weights = _weights(found, wanted, opening["progress"])
    if wanted is not None and weights is not None:
        wanted = with_size(wanted, weights)
    stored = None if wanted is None else wanted_side(wanted)
    audio = None if wanted is None else wanted.audio
    dataset = open_source(source, channels=channels, stored=stored, audio=audio, **opening)
    chosen = wanted or _recipe(found, dataset, recipe, settings)
    side = wanted_side(chosen)
    if side not in (None, stored, dataset.train.images.shape[2]):
        dataset = open_source(source, channels=channels, stored=side, **opening)
    if weights is not None:
        chosen = settled(chosen, weights, dataset.train.shape[0])
    return dataset, chosen, resolve_preprocessing(chosen.input, dataset)


def _weights(found: Target, recipe: Recipe | None, progress: Progress) -> Pretrained | None:
    """Trained weights that the recipe begins with and has not taken over yet, as that of a run has."""
    if recipe is None or recipe.finetune.weights is None or found.kind != "catalogue":
        return None
    return find_weights(recipe.finetune.weights, found.name, progress)


def _recipe(
    found: Target,
    dataset: Dataset | None,
    given: str | Path | Recipe | Mapping[str, Any] | None,
    settings: Sequence[str],
) -> Recipe:
    if isinstance(given, Recipe):
        base = given
    elif isinstance(given, Mapping):
        base = validated(dict(given))
    elif given is not None:
        named = str(given) in NAMED or Path(given).suffix != ".toml"
        base = named_recipe(str(given)) if named else read_recipe(Path(given))
    elif found.plan is not None:
        base = found.plan.recipe
    elif found.bundle is not None and found.bundle.provenance.get("recipe") in NAMED:
        base = named_recipe(found.bundle.provenance["recipe"])
    elif found.kind == "zoo":
        from skipline.diagnosis.zoo import RECIPE

        base = named_recipe(RECIPE)
    else:
        assert dataset is not None
        name = found.name if found.kind == "catalogue" else ""
        base = default_choice(dataset, weights_at_hand=False, model=name)[1]
        if found.kind == "factory" and max(dataset.train.shape[1:]) > TINY_SIDE:
            base = changed(base, ANY_NETWORK)
    return changed(base, [*found.settings, *settings])


def _fitting(
    found: Target, recipe: Recipe, classes: int, preprocessing: Preprocessing
) -> tuple[int, int, Attempt]:
    """The first number of channels and side at which the network computes something.

    Raises:
        ShapeMismatchError: there is none.
    """
    own = (preprocessing.channels, preprocessing.side)
    tries = [own]
    if found.kind in ("catalogue", "factory", "zoo"):
        sides = [side for side in SIDES if side > own[1]]
        tries += [(own[0], side) for side in sides]
        # A factory may take the number of channels and still build for three, as torchvision's networks are.
        others = [channels for channels in (3, 1) if channels != own[0]]
        tries += [(channels, side) for channels in others for side in (own[1], *sides)]
    first: Attempt | None = None
    for channels, side in tries:
        result = attempt(found.build(0, classes, channels, recipe), channels, side)
        if result.outputs is not None:
            return channels, side, result
        first = first or result
        if result.mismatch is not None and channels == own[0]:
            # An addition fails at any size, as a rule: the smallest says it as well as the largest.
            first = result if first.mismatch is None else first
    assert first is not None
    if first.mismatch is not None:
        return *own, first
    shape = f"(N, {own[0]}, {own[1]}, {own[1]})"
    sides_tried = sorted({side for _, side in tries})
    larger = f"; enlarged to {', '.join(map(str, sides_tried[1:]))} pixels they fail as well" * (
        len(sides_tried) > 1
    )
    raise ShapeMismatchError(f"the network cannot take the images of shape {shape}: {first.error}{larger}")


def _check_outputs(tried: Attempt, classes: int) -> list[str]:
    if tried.outputs is None or tried.outputs == classes:
        return []
    if tried.outputs < classes:
        raise ShapeMismatchError(
            f"the network has {tried.outputs} output{'s' if tried.outputs != 1 else ''}, "
            f"the source has {classes} classes: expected logits of shape (N, {classes}), "
            f"arrived (N, {tried.outputs})"
        )
    return [f"the network has {tried.outputs} outputs for {classes} classes: the others stay unused"]


def first_images(patient: Patient, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Training images without augmentation, spread over the set, prepared for the network.

    Args:
        patient: whose.
        count: how many at most.

    Returns:
        (N, C, side, side) float32 and (N,) int64 labels.
    """
    train = patient.dataset.train
    rows = np.unique(np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(np.int64))
    images, rows = train.take(rows)
    return patient.preprocessing(images), torch.from_numpy(train.labels[rows])
