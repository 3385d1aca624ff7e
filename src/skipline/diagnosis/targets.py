"""What can be examined: a run, a bundle, a network of the catalogue, a user's own, or a case of the zoos."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from skipline import models
from skipline.bundle import Bundle, load_bundle, load_foreign
from skipline.bundle.saving import MANIFEST
from skipline.data import Dataset, Progress
from skipline.diagnosis.factory import Factory
from skipline.errors import InputError
from skipline.storage import parse_json
from skipline.training import Plan, Recipe
from skipline.training.pretrained import find_weights

LARGEST_LINE = 8 * 2**20  # bytes of an event; a reading of the probes in a network of 1202 layers has 0.6 MB
Build = Callable[[int, int, int, Recipe], nn.Module]
EXPECTED = (
    "Expected a run or bundle folder, a catalogue name (see `skipline models`), FILE.py:NAME or zoo:NAME"
)


@dataclass(frozen=True, eq=False)
class Target:
    """What a name on the command line stands for.

    Attributes:
        kind: "run", "bundle", "catalogue", "factory" or "zoo".
        name: what another process would call it; paths are absolute.
        build: from seed, classes, channels and recipe to a network with fresh weights.
        plan: of a run.
        bundle: the trained network, where there is one.
        events: of a run, oldest first; None where there is no run.
        settings: changes that a zoo's case makes to the recipe.
        data: a change that a zoo's case makes to the images.
        side: pixels that a zoo's case enlarges its images to.
        steps: that a zoo's case is trained for before it is examined.
    """

    kind: str
    name: str
    build: Build
    plan: Plan | None = None
    bundle: Bundle | None = None
    events: tuple[dict[str, Any], ...] | None = None
    settings: tuple[str, ...] = ()
    data: Callable[[Dataset, int], Dataset] | None = None
    side: int | None = None
    steps: int = 0


def find_target(target: str | Path, progress: Progress) -> Target:
    """Find out what a target is.

    Raises:
        InputError: nothing is called so, or what is there cannot be used.
    """
    text = str(target)
    if text.startswith("zoo:"):
        return _zoo(text)
    if text.endswith(".py") or ".py:" in text:
        return _factory(text)
    path = Path(text).expanduser()
    if path.is_dir():
        if (path / MANIFEST).is_file() and (path.parent / "recipe.toml").is_file():
            path = path.parent  # the bundle within a run: its events and recipe are worth having
        if (path / "recipe.toml").is_file():
            return _run(path.resolve(), progress)
        return _bundle(path.resolve(), progress)
    if text in models.names():
        return Target("catalogue", text, _catalogue_builder(text, {}, progress))
    near = difflib.get_close_matches(text, models.names(), n=1, cutoff=0.6)
    raise InputError(f"no such target '{text}'. {EXPECTED}" + (f". Did you mean {near[0]}?" if near else ""))


def _factory(text: str) -> Target:
    factory = Factory(text)

    def build(seed: int, classes: int, channels: int, recipe: Recipe) -> nn.Module:
        return factory(seed, classes, channels)

    return Target("factory", factory.target, build)


def _zoo(text: str) -> Target:
    from skipline.diagnosis.zoo import case  # builds a table of many networks

    found = case(text.removeprefix("zoo:"))

    def build(seed: int, classes: int, channels: int, recipe: Recipe) -> nn.Module:
        return found.build(classes, channels, seed)

    return Target(
        "zoo",
        text,
        build,
        settings=tuple(found.settings),
        data=found.data,
        side=found.side,
        steps=found.trained,
    )


def _run(folder: Path, progress: Progress) -> Target:
    plan = Plan.read(folder / "recipe.toml")
    bundle = load_bundle(folder) if (folder / "bundle" / MANIFEST).is_file() else None
    options = {key: value for key, value in plan.options.items() if key not in ("classes", "channels")}
    build = _catalogue_builder(plan.model, options, progress)
    return Target("run", str(folder), build, plan=plan, bundle=bundle, events=read_events(folder))


def _bundle(folder: Path, progress: Progress) -> Target:
    bundle = load_bundle(folder)
    options = getattr(bundle.network, "options", {})
    options = {key: value for key, value in options.items() if key not in ("classes", "channels", "seed")}
    return Target("bundle", str(folder), _catalogue_builder(bundle.name, options, progress), bundle=bundle)


def _catalogue_builder(name: str, options: dict[str, Any], progress: Progress) -> Build:
    def build(seed: int, classes: int, channels: int, recipe: Recipe) -> nn.Module:
        chosen = {**options, "classes": classes, "channels": channels}
        shortcut = chosen.get("shortcut") or models.spec(name).settings.get("shortcut", "none")
        if shortcut != "none":  # in a plain network both would cut the only path
            chosen |= {"zero_gamma": recipe.zero_gamma, "stochastic_depth": recipe.stochastic_depth}
        network = models.create(name, **chosen, seed=seed)
        if recipe.finetune.weights is not None:
            weights = find_weights(recipe.finetune.weights, name, progress)
            load_foreign(network, weights.file, new_head=True, adapt_channels=True)
        return network

    return build


def read_events(folder: Path) -> tuple[dict[str, Any], ...]:
    """The events of a run; a line that a crash cut off, or that says nothing usable, is left out."""
    path = folder / "events.jsonl"
    if not path.is_file():
        return ()
    with path.open("rb") as file:
        events = [_parsed(line) for line in iter(partial(file.readline, LARGEST_LINE), b"")]
    return tuple(event for event in events if isinstance(event, dict) and _usable(event))


def _usable(event: dict[str, Any]) -> bool:
    """Whether the kinds of event that are read further on have the values that they are read for."""
    if event.get("kind") == "finding":
        finding = event.get("finding")
        return isinstance(finding, dict) and isinstance(finding.get("diagnosis"), str)
    if event.get("kind") == "epoch":
        return _is_score(event.get("train")) and (not event.get("test") or _is_score(event["test"]))
    return True


def _is_score(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("top1"), int | float)
        and isinstance(value.get("loss", ""), int | float | None)
    )


def _parsed(line: bytes) -> Any:
    try:
        return parse_json(line)
    except ValueError:
        return None
