"""A recipe takes over what its weights bring, where it does not say otherwise."""

from __future__ import annotations

from dataclasses import replace

from skipline.bundle.first_layer import adapt_statistics
from skipline.data import Audio, Dataset, Preprocessing
from skipline.data.values import AnyPreprocessing, ValuePreprocessing
from skipline.errors import InputError
from skipline.training.pretrained.pretrained import Pretrained
from skipline.training.recipe import Recipe


def with_size(recipe: Recipe, weights: Pretrained) -> Recipe:
    """The recipe with the weights' lasting name, and with the size of the images that they were trained on.

    Args:
        recipe: its own `input.side` or `input.stored` is kept.
        weights: that the run begins with.
    """
    finetune = recipe.finetune.model_copy(update={"weights": weights.name})
    recipe = recipe.model_copy(update={"finetune": finetune})
    trained, wanted = weights.preprocessing, recipe.input
    if not isinstance(trained, Preprocessing) or wanted.side is not None or wanted.stored is not None:
        return recipe
    if recipe.audio is not None:
        return _with_spectrogram(recipe, trained)
    size = {"side": trained.side, "stored": trained.stored}
    return recipe.model_copy(update={"input": wanted.model_copy(update=size)})


def _with_spectrogram(recipe: Recipe, trained: Preprocessing) -> Recipe:
    """Networks for sounds go on hearing as they did; those for images tell nothing about the spectrogram to take."""
    if trained.audio is None or recipe.audio != Audio():  # a table of its own is the user's wish
        return recipe
    update = {"audio": trained.audio, "input": recipe.input.model_copy(update={"stored": trained.stored})}
    return recipe.model_copy(update=update)


def settled(recipe: Recipe, weights: Pretrained, channels: int) -> Recipe:
    """The recipe with everything that the weights bring, so that a run that goes on needs to ask nobody.

    Args:
        recipe: what it says of size and scale is kept.
        weights: that the run begins with.
        channels: C of the images.
    """
    return with_statistics(with_size(recipe, weights), weights, channels)


def with_statistics(recipe: Recipe, weights: Pretrained, channels: int) -> Recipe:
    """The recipe with the mean and deviation that the weights were trained with.

    Args:
        recipe: kept as it is, unless `input.normalise` is "auto" and it has no `input.mean` of its own.
        weights: that the run begins with.
        channels: C of the images; figures for another number are adapted as the first convolution is.
    """
    trained, wanted = weights.preprocessing, recipe.input
    if trained is None or wanted.normalise != "auto" or wanted.mean is not None:
        return recipe
    adapted = _for_channels(trained, channels)
    figures = {"mean": adapted.mean, "std": adapted.std}
    return recipe.model_copy(update={"input": wanted.model_copy(update=figures)})


def check_kind(weights: Pretrained, dataset: Dataset) -> None:
    """Refuse weights of images for values, and those of values for images: their scales have nothing in common.

    Raises:
        InputError: they are so.
    """
    trained = weights.preprocessing
    if trained is not None and isinstance(trained, ValuePreprocessing) != dataset.train.values:
        raise InputError(
            f"the weights {weights.name} were trained on {trained.kind.many}, and this source holds "
            f"{dataset.kind.many}: train from scratch, or bring weights that were trained on {dataset.kind.many}"
        )


def about_input(weights: Pretrained, chosen: AnyPreprocessing) -> list[str]:
    """What people should know about the images that trained weights will see.

    Args:
        weights: that the run begins with.
        chosen: what lies between stored images and the network.

    Returns:
        A sentence on size and scale, and one on what differs from the weights' training where something does.
    """
    means, deviations = (
        ", ".join(f"{value:.3g}" for value in values) for values in (chosen.mean, chosen.std)
    )
    size = f"{chosen.side} of {chosen.stored} pixels" if isinstance(chosen, Preprocessing) else str(chosen)
    line = f"{size}, mean {means}, deviation {deviations}"
    trained = weights.preprocessing
    if trained is None:
        line += "; the weights do not say what theirs was"
    elif chosen == _for_channels(trained, chosen.channels):
        line += ", as the weights were trained"
    else:
        line += "; the weights were trained otherwise"
    return [line, *([weights.note] if weights.note else [])]


def _for_channels(trained: AnyPreprocessing, channels: int) -> AnyPreprocessing:
    mean, std = (adapt_statistics(values, channels) for values in (trained.mean, trained.std))
    if isinstance(trained, ValuePreprocessing):
        return replace(trained, channels=channels, mean=mean, std=std)
    audio = trained.audio if channels == 1 else None
    return replace(trained, channels=channels, mean=mean, std=std, audio=audio)
