"""Training: recipes, the loop, checkpoints and run folders."""

from skipline.training.observer import EpochRecord, Measurement, Observer, RunStart, Scored, StepRecord
from skipline.training.plan import Plan, default_choice, usable_threads, wanted_side
from skipline.training.recipe import Recipe
from skipline.training.recipe_files import changed, read_recipe
from skipline.training.recipes import NAMED, named_recipe
from skipline.training.removing import remove_run
from skipline.training.run import RunResult, open_plan_source, resume_run, start_run

__all__ = [
    "NAMED",
    "EpochRecord",
    "Measurement",
    "Observer",
    "Plan",
    "Recipe",
    "RunResult",
    "RunStart",
    "Scored",
    "StepRecord",
    "changed",
    "default_choice",
    "named_recipe",
    "open_plan_source",
    "read_recipe",
    "remove_run",
    "resume_run",
    "start_run",
    "usable_threads",
    "wanted_side",
]
