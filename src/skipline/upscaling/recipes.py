"""The named recipes of `skipline upscale train`."""

from __future__ import annotations

from collections.abc import Callable

from skipline.errors import InputError, UnknownNameError
from skipline.training import Recipe
from skipline.training.recipe import Optimizer, Schedule, Upscaling


def upscale() -> Recipe:
    """Ten minutes on a CPU: Adam at 5e-4 with a one-cycle schedule, L1 loss, 16 patches of 48 x 48 a step.

    The loss is EDSR's (Lim et al. 2017, 1707.02921), which trains for days at a fifth of the rate. Small patches make
    many steps; what they beat bicubic enlargement by stands in docs/upscaling.md.
    """
    return Recipe(
        name="upscale",
        epochs=2000,
        minutes=10,
        batch_size=16,
        optimizer=Optimizer(kind="adam", lr=5e-4, weight_decay=0.0),
        schedule=Schedule(kind="one-cycle", peak_at=0.1, start=0.1, final=0.02),
        evaluate_every=4,
        checkpoint_every=100,
        upscaling=Upscaling(patch=48),
    )


NAMED: dict[str, Callable[[], Recipe]] = {builder.__name__: builder for builder in (upscale,)}


def upscaling_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in NAMED:
        raise UnknownNameError("recipe", name, NAMED, "A path to a TOML file is accepted as well")
    return NAMED[name]()


CLASSIFIERS = {
    "whiten": False,
    "label_smoothing": 0.0,
    "zero_gamma": False,
    "stochastic_depth": 0.0,
    "least_steps": None,
    "early_stopping": None,
    "gradient_checkpointing": False,
    "tta": "none",
    "audio": None,
}


def checked(recipe: Recipe) -> tuple[Recipe, Upscaling]:
    """A recipe that holds nothing which only classifiers have.

    Returns:
        The recipe with its table [upscaling], and that table.

    Raises:
        InputError: it does; every such key is named.
    """
    values = recipe.model_dump()
    fresh = Recipe().model_dump()
    wrong = [key for key, value in CLASSIFIERS.items() if values[key] != value]
    wrong += [key for key in ("augmentation", "input", "finetune") if values[key] != fresh[key]]
    wrong += ["schedule.warmup_until_error"] if recipe.schedule.warmup_until_error is not None else []
    wrong += ["distributed.sharded"] if recipe.distributed.sharded else []
    if wrong:
        raise InputError(
            f"recipe '{recipe.name}' has {', '.join(wrong)}, which has no meaning for enlarging: leave it out, or take "
            f"{' or '.join(NAMED)}"
        )
    settings = recipe.upscaling or Upscaling()
    return recipe.model_copy(update={"upscaling": settings}), settings
