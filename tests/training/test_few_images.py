"""More epochs where they are short."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from skipline.training import Recipe, changed, named_recipe
from skipline.training.few_images import with_least_steps


def batches(steps: int) -> Any:
    return SimpleNamespace(steps_per_epoch=steps, batch_size=32)


def silent(topic: str, sentence: str) -> None:
    raise AssertionError(f"nothing was to be said, but {topic}: {sentence}")


def test_short_epochs_become_more_and_keep_their_shares() -> None:
    recipe = Recipe(
        epochs=10,
        least_steps=200,
        evaluate_every=2,
        finetune={"head_epochs": 2},
        schedule={"kind": "cosine", "warmup_epochs": 0.5},
    )
    said: list[tuple[str, str]] = []
    raised = with_least_steps(recipe, batches(3), lambda *line: said.append(line))
    assert raised.epochs == 67, "67 x 3 = 201 steps"
    assert raised.finetune.head_epochs == 13, "a fifth of the run, as before"
    assert raised.schedule.warmup_epochs == 0.5 * 6.7
    assert raised.evaluate_every == 13
    assert raised.least_steps is None, "a resumed run does not choose again"
    assert said == [
        (
            "epochs",
            "67 instead of 10, as one makes 3 steps of at most 32 images and the run should have 200 "
            "(--epochs N sets another number)",
        )
    ]


def test_enough_steps_change_nothing() -> None:
    recipe = Recipe(epochs=10, least_steps=200)
    assert with_least_steps(recipe, batches(20), silent) == Recipe(epochs=10)
    assert with_least_steps(Recipe(epochs=1), batches(1), silent) == Recipe(epochs=1)


def test_a_number_of_epochs_that_was_asked_for_is_not_raised() -> None:
    assert named_recipe("finetune").least_steps is not None
    assert changed(named_recipe("finetune"), [], epochs=3).least_steps is None
    assert changed(named_recipe("finetune"), ["epochs=3"]).least_steps is None
