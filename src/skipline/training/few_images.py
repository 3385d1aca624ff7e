"""A source of few images makes short epochs: more of them, so that a run still has enough steps to learn something."""

from __future__ import annotations

from collections.abc import Callable

from skipline.data import Batches
from skipline.training.recipe import Recipe


def with_least_steps(recipe: Recipe, batches: Batches, say: Callable[[str, str], None]) -> Recipe:
    """The recipe with as many epochs as `least_steps` asks for.

    What is counted in epochs keeps its share of the run: the epochs of the head alone, those of the warm-up, and those
    between measurements.

    Args:
        recipe: with or without `least_steps`.
        batches: of the run.
        say: told why there are other epochs, as (topic, sentence).

    Returns:
        The recipe without `least_steps`.
    """
    least, steps = recipe.least_steps, batches.steps_per_epoch
    if least is None or recipe.epochs * steps >= least:
        return recipe.model_copy(update={"least_steps": None})
    epochs = -(-least // steps)
    factor = epochs / recipe.epochs
    finetune = {"head_epochs": round(recipe.finetune.head_epochs * factor)}
    schedule = {"warmup_epochs": recipe.schedule.warmup_epochs * factor}
    raised = {
        "least_steps": None,
        "epochs": epochs,
        "evaluate_every": max(1, round(recipe.evaluate_every * factor)),
        "finetune": recipe.finetune.model_copy(update=finetune),
        "schedule": recipe.schedule.model_copy(update=schedule),
    }
    say(
        "epochs",
        f"{epochs} instead of {recipe.epochs}, as one makes {steps} {'step' if steps == 1 else 'steps'} of "
        f"at most {batches.batch_size} images and the run should have {least} (--epochs N sets another number)",
    )
    return recipe.model_copy(update=raised)
