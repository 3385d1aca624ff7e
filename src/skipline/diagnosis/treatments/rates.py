"""Treatments of the recipe."""

from __future__ import annotations

from typing import Any

from skipline.errors import InputError
from skipline.training import Recipe

CLIP = 1.0


def lower_rate(recipe: Recipe) -> Recipe:
    """A tenth of the learning rate."""
    return _with(recipe, lr=recipe.optimizer.lr / 10)


def higher_rate(recipe: Recipe) -> Recipe:
    """Ten times the learning rate."""
    return _with(recipe, lr=recipe.optimizer.lr * 10)


def clip_gradients(recipe: Recipe) -> Recipe:
    """Gradients clipped at a global norm of 1.

    Raises:
        InputError: they are clipped already, at that or less.
    """
    clipped = recipe.optimizer.clip_norm
    if clipped is not None and clipped <= CLIP:
        raise InputError(f"clip-gradients does not apply: the recipe clips them at norm {clipped:g} already")
    return _with(recipe, clip_norm=CLIP)


def _with(recipe: Recipe, **changes: Any) -> Recipe:
    return recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update=changes)})
