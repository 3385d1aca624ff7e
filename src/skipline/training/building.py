"""From a recipe to the network that it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skipline import models
from skipline.training.recipe import Recipe


def build_network(
    model: str, recipe: Recipe, options: Mapping[str, Any], *, classes: int, channels: int, seed: int
) -> models.Network:
    """A fresh network with what the recipe says about residual branches.

    Args:
        model: catalogue name.
        recipe: its `zero_gamma` and `stochastic_depth` count where there is a shortcut; in a plain network both would
            cut the only path.
        options: of the network, as `models.create` takes them.
        classes: outputs.
        channels: of an image.
        seed: of the weights.

    Raises:
        InputError: no such network, or it does not take these options.
    """
    chosen = {**options, "classes": classes, "channels": channels}
    shortcut = chosen.get("shortcut") or models.spec(model).settings.get("shortcut", "none")
    if shortcut != "none":
        chosen |= {"zero_gamma": recipe.zero_gamma, "stochastic_depth": recipe.stochastic_depth}
    return models.create(model, **chosen, seed=seed)
