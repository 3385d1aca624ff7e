"""Minutes become epochs once, at the start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from skipline.data import Batches, Dataset
from skipline.models import create
from skipline.training import Plan, changed, named_recipe, resume_run, start_run
from skipline.training.budget import epochs_in_time, predicted_seconds
from skipline.training.losses import training_loss
from skipline.training.plan import resolve_preprocessing
from skipline.training.precision import Execution
from skipline.training.recipe import Input, Recipe


def test_a_prediction_counts_small_and_full_epochs_and_measurements() -> None:
    recipe = Recipe(epochs=12, evaluate_every=6, input=Input(sides=((0.66, 24),)))
    seconds = {24: 1.0, None: 2.0}
    # 8 of 12 epochs begin before 0.66; two measurements of 5 s.
    assert predicted_seconds(recipe, 12, 10, seconds, 5.0) == pytest.approx(8 * 10 + 4 * 20 + 2 * 5)
    assert predicted_seconds(recipe, 1, 10, seconds, 5.0) == pytest.approx(20 + 5), (
        "the one epoch begins at 0, but the last epoch is at the full side"
    )
    assert [recipe.side(epoch, 2) for epoch in range(2)] == [24, None], (
        "0.5 is before 0.66, but it is the last"
    )


@pytest.mark.parametrize(("minutes", "epochs"), [(1e6, 5), (1e-6, 1)])
def test_no_more_epochs_than_the_recipe_and_at_least_one(
    digits: Dataset, minutes: float, epochs: int
) -> None:
    recipe = Recipe(epochs=5, minutes=minutes, input=Input(sides=((0.5, 6),)))
    network = create("resnet20", channels=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    batches = Batches(digits.train, resolve_preprocessing(recipe.input, digits), batch_size=32)
    random = torch.get_rng_state()
    chosen = epochs_in_time(
        recipe, network, batches, 100, Execution(), lambda n, x, y: training_loss(n(x), y, 0.0)
    )
    assert chosen == epochs
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


def test_a_number_of_epochs_asked_for_is_not_cut_short() -> None:
    assert named_recipe("fast").minutes == 9
    assert changed(named_recipe("fast"), [], epochs=3).minutes is None
    assert changed(named_recipe("fast"), ["epochs=3"]).minutes is None
    assert changed(named_recipe("fast"), ["optimizer.lr=0.1"]).minutes == 9
    assert changed(named_recipe("fast"), ["minutes=2"]).minutes == 2


def test_what_was_chosen_is_saved_and_a_resumed_run_goes_on_with_it(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    said: list[tuple[str, str]] = []
    base = changed(named_recipe("tiny"), ["minutes=0.0001"])
    result = start_run(
        plan(base=base), run_folder, digits, say=lambda topic, text: said.append((topic, text))
    )
    assert result.epochs == 2, "plan() asks for two epochs, so the minutes do not count"
    assert not [text for topic, text in said if topic == "budget"]

    wanted = plan(base=base)
    recipe = wanted.recipe.model_copy(update={"minutes": 0.0001})
    other = run_folder.with_name("other")
    result = start_run(
        Plan(source="digits", model="resnet20", recipe=recipe, threads=1),
        other,
        digits,
        say=lambda topic, text: said.append((topic, text)),
    )
    assert result.epochs == 1
    assert [text for topic, text in said if topic == "budget"] == [
        "1 of at most 2 epochs fit into 0.0001 minutes of training on this machine (measured; --epochs N sets "
        "another number)"
    ]
    saved = Plan.read(other / "recipe.toml").recipe
    assert (saved.epochs, saved.minutes) == (1, None)
    assert resume_run(other).epochs == 1
