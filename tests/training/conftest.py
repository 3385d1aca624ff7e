"""Small real runs that the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from skipline.data import Dataset, ImageSet, open_source
from skipline.training import Plan, Recipe, changed, named_recipe


def first(images: ImageSet, count: int) -> ImageSet:
    return replace(images, images=images.images[:count], labels=images.labels[:count], files=())


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """320 training and 100 test digits: enough to learn from, quick to run."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SKIPLINE_HOME", str(tmp_path_factory.mktemp("digits-home")))
    try:
        whole = open_source("digits")
    finally:
        patch.undo()
    return replace(whole, train=first(whole.train, 320), test=first(whole.test, 100))


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """A plan for resnet20 on digits: one thread and fp32, so that runs are quick and comparable."""

    def build(*settings: str, model: str = "resnet20", base: Recipe | None = None, **fields: object) -> Plan:
        chosen = changed(
            base or named_recipe("tiny"), ["precision=fp32", "epochs=2", "batch_size=64", *settings]
        )
        return Plan(source="digits", model=model, recipe=chosen, threads=1, **fields)  # type: ignore[arg-type]

    return build


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
