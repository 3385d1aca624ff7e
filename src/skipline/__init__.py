"""Train residual networks on anyone's images, and see with measurements why they train.

    import skipline

    trained = skipline.train("photos/")                 # a run folder with bundle and report
    bundle = skipline.load(trained.run.bundle)
    bundle.predict(["holiday.jpg"])[0].class_name

Names are imported when they are first used, so that `import skipline` costs milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skipline.api import Trained, diagnose, explain, resume, train
    from skipline.api.classifier import SkiplineClassifier
    from skipline.api.upscaling import train_upscaler
    from skipline.bundle import Bundle, Evaluation, Prediction, evaluate
    from skipline.bundle import load_bundle as load
    from skipline.data import open_sounds, open_source
    from skipline.models import create
    from skipline.models.cost import cost
    from skipline.studies.run import run_study as study
    from skipline.training import Observer, Recipe, named_recipe
    from skipline.upscaling import load_upscaler

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "Evaluation",
    "Observer",
    "Prediction",
    "Recipe",
    "SkiplineClassifier",
    "Trained",
    "cost",
    "create",
    "diagnose",
    "evaluate",
    "explain",
    "load",
    "load_upscaler",
    "named_recipe",
    "open_sounds",
    "open_source",
    "resume",
    "study",
    "train",
    "train_upscaler",
]

_HOMES = {
    "Bundle": "skipline.bundle",
    "Evaluation": "skipline.bundle",
    "Observer": "skipline.training",
    "Prediction": "skipline.bundle",
    "Recipe": "skipline.training",
    "SkiplineClassifier": "skipline.api.classifier",
    "Trained": "skipline.api",
    "cost": "skipline.models",
    "create": "skipline.models",
    "diagnose": "skipline.api",
    "evaluate": "skipline.bundle",
    "explain": "skipline.api",
    "load": "skipline.bundle:load_bundle",
    "open_sounds": "skipline.data",
    "open_source": "skipline.data",
    "named_recipe": "skipline.training",
    "resume": "skipline.api",
    "study": "skipline.studies.run:run_study",
    "load_upscaler": "skipline.upscaling",
    "train": "skipline.api",
    "train_upscaler": "skipline.api.upscaling",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'skipline' has no attribute '{name}'")
    from importlib import import_module

    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
