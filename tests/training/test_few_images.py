"""More epochs where they are short."""

from __future__ import annotations

from skipline.training import Recipe, changed, named_recipe
from skipline.training.few_images import with_least_steps


def test_short_epochs_become_more_and_keep_their_shares() -> None:
    recipe = Recipe(
        epochs=10,
        least_steps=200,
        evaluate_every=2,
        finetune={"head_epochs": 2},
        schedule={"kind": "cosine", "warmup_epochs": 0.5},
    )
    raised, why = with_least_steps(recipe, 3, 100)
    assert raised.epochs == 67, "67 x 3 = 201 steps"
    assert raised.finetune.head_epochs == 13, "a fifth of the run, as before"
    assert raised.schedule.warmup_epochs == 0.5 * 6.7
    assert raised.evaluate_every == 13
    assert raised.least_steps is None, "a resumed run does not choose again"
    assert why == (
        "67 instead of 10, as 100 images make 3 of the 200 steps that the run should have "
        "(--epochs N sets another number)"
    )


def test_enough_steps_change_nothing() -> None:
    recipe = Recipe(epochs=10, least_steps=200)
    assert with_least_steps(recipe, 20, 640) == (Recipe(epochs=10), "")
    assert with_least_steps(Recipe(epochs=1), 1, 5) == (Recipe(epochs=1), "")


def test_a_number_of_epochs_that_was_asked_for_is_not_raised() -> None:
    assert named_recipe("finetune").least_steps is not None
    assert changed(named_recipe("finetune"), [], epochs=3).least_steps is None
    assert changed(named_recipe("finetune"), ["epochs=3"]).least_steps is None
