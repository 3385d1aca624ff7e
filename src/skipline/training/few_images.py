"""A source of few images makes short epochs: more of them, so that a run still has enough steps to learn something."""

from __future__ import annotations

from skipline.training.recipe import Recipe


def with_least_steps(recipe: Recipe, steps_per_epoch: int, images: int) -> tuple[Recipe, str]:
    """The recipe with as many epochs as `least_steps` asks for.

    What is counted in epochs keeps its share of the run: the epochs of the head alone, those of the warm-up, and those
    between measurements.

    Args:
        recipe: with or without `least_steps`.
        steps_per_epoch: of the run.
        images: of the training split.

    Returns:
        The recipe without `least_steps`, and why it has other epochs; the same ones and "" where they make enough.
    """
    least = recipe.least_steps
    if least is None or recipe.epochs * steps_per_epoch >= least:
        return recipe.model_copy(update={"least_steps": None}), ""
    epochs = -(-least // steps_per_epoch)
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
    why = (
        f"{epochs} instead of {recipe.epochs}, as {images:,} images make {steps_per_epoch} of the {least} steps that "
        "the run should have (--epochs N sets another number)"
    )
    return recipe.model_copy(update=raised), why
