"""Recipes as TOML, and single keys changed from the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from skipline.errors import RecipeError, shown
from skipline.storage import parse_toml, read_bounded
from skipline.training.recipe import Recipe, keys, validated

LARGEST_FILE = 256 * 2**10  # bytes; a complete recipe has 2 KiB


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file.

    Args:
        path: the file; a run's own recipe.toml is accepted (its [run] table is not part of the recipe).
        overrides: `key=value` texts applied on top.

    Returns:
        The recipe.

    Raises:
        RecipeError: unreadable TOML, or every mistake in it and in the overrides together.
    """
    values = read_tables(path)
    values.pop("run", None)
    return validated(*_merged(values, overrides, str(path)))


def changed(recipe: Recipe, overrides: Sequence[str], **direct: Any) -> Recipe:
    """A recipe with some keys changed.

    Args:
        recipe: where to start.
        overrides: `key=value` texts; the key is dotted, the value is read as TOML, else as text.
        **direct: top-level keys; None leaves the recipe's own value.

    Returns:
        The changed recipe.

    Raises:
        RecipeError: every mistake together.
    """
    values = recipe.model_dump(mode="json")
    values.update({key: value for key, value in direct.items() if value is not None})
    if direct.get("epochs") is not None or any(
        text.partition("=")[0].strip() == "epochs" for text in overrides
    ):
        # A number of epochs that was asked for is neither cut short nor raised.
        values["minutes"] = values["least_steps"] = None
    origin = "--set" if overrides else f"recipe '{recipe.name}'"
    return validated(*_merged(values, overrides, origin))


def to_toml(recipe: Recipe, run: dict[str, Any] | None = None) -> str:
    """The complete recipe as TOML, with a [run] table after it where given.

    None has no spelling in TOML: such keys are left out and take their default, which is None.
    """
    values = _without_none(recipe.model_dump(mode="json"))
    if run is not None:
        values["run"] = _without_none(run)
    return tomlkit.dumps(values)


def read_tables(path: Path) -> dict[str, Any]:
    """The plain values of a TOML file.

    Raises:
        RecipeError: the file is missing, too large or not TOML; the message names line and column.
    """
    try:
        text = read_bounded(path, LARGEST_FILE).decode("utf-8")
    except FileNotFoundError:
        raise RecipeError([f"no such file '{path}'; expected a TOML file or a recipe's name"]) from None
    except (OSError, ValueError) as error:
        raise RecipeError([f"not readable as TOML: {error}"], str(path)) from None
    return parse_tables(text, str(path))


def parse_tables(text: str, origin: str) -> dict[str, Any]:
    """The plain values of TOML.

    Args:
        text: of a file.
        origin: what to call it in an error.

    Raises:
        RecipeError: it is not TOML; the message names line and column.
    """
    try:
        return parse_toml(text)
    except ValueError as error:
        raise RecipeError([f"not readable as TOML: {error}"], origin) from None


def _merged(values: dict[str, Any], overrides: Iterable[str], origin: str) -> tuple[dict[str, Any], str]:
    known = keys()
    sections = {key.partition(".")[0] for key in known if "." in key}
    mistakes = []
    for text in overrides:
        key, equals, value = text.partition("=")
        key, value = key.strip(), value.strip()
        if not equals:
            mistakes.append(f"expected key=value, got {shown(text)}")
            continue
        section, _, leaf = key.partition(".")
        if leaf and section in sections and not isinstance(values.get(section, {}), dict | None):
            continue  # a mistake of the file, which `validated` will tell
        if leaf and section in sections and values.get(section) is None:
            values[section] = {}  # absent so far, such as [audio] in a recipe for images
        table, place = (values[section], leaf) if leaf and section in sections else (values, key)
        table[place] = None if value.lower() == "none" and known.get(key) else _value(value)
    if mistakes:
        raise RecipeError(mistakes, origin)
    return values, origin


def _value(text: str) -> Any:
    try:
        return tomlkit.value(text).unwrap()
    except Exception:  # whatever the parser stumbles over
        return text  # a bare word: TOML would want quotes, a shell would eat them


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
