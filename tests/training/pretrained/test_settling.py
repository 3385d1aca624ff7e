"""What weights bring goes into the recipe, unless the recipe says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from skipline.data import Preprocessing
from skipline.errors import RecipeError
from skipline.training import Recipe, changed, named_recipe
from skipline.training.pretrained import Pretrained, about_input, settled

TRAINED = Preprocessing(3, 235, 224, (0.5, 0.4, 0.3), (0.3, 0.2, 0.1))
WEIGHTS = Pretrained("hub:timm/x@1", Path("x"), model="resnet18", preprocessing=TRAINED, note="a note")


def test_size_scale_and_lasting_name_are_taken_over() -> None:
    recipe = settled(named_recipe("finetune"), WEIGHTS, 3)
    assert (recipe.input.side, recipe.input.stored) == (224, 235)
    assert (recipe.input.mean, recipe.input.std) == (TRAINED.mean, TRAINED.std)
    assert recipe.finetune.weights == "hub:timm/x@1"
    assert settled(recipe, WEIGHTS, 3) == recipe, "once is enough"


def test_figures_follow_the_first_convolution_to_other_channels() -> None:
    recipe = settled(Recipe(), WEIGHTS, 1)
    assert recipe.input.mean == pytest.approx((0.4,))
    assert recipe.input.std == pytest.approx((0.2,))


@pytest.mark.parametrize(
    "setting", ["input.normalise=data", "input.normalise=imagenet", "input.normalise=none"]
)
def test_a_recipe_that_normalises_otherwise_does(setting: str) -> None:
    recipe = settled(changed(Recipe(), [setting]), WEIGHTS, 3)
    assert (recipe.input.mean, recipe.input.side) == (None, 224)


def test_a_recipe_with_figures_of_its_own_keeps_them() -> None:
    own = changed(Recipe(), ["input.mean=[0.1, 0.1, 0.1]", "input.std=[1.0, 1.0, 1.0]"])
    assert settled(own, WEIGHTS, 3).input.mean == (0.1, 0.1, 0.1)


@pytest.mark.parametrize("setting", ["input.side=160", "input.stored=180"])
def test_a_recipe_with_a_size_of_its_own_keeps_it(setting: str) -> None:
    own = changed(Recipe(), [setting])
    after = settled(own, WEIGHTS, 3)
    assert (after.input.side, after.input.stored) == (own.input.side, own.input.stored)
    assert after.input.mean == TRAINED.mean


def test_weights_that_bring_nothing_change_nothing_but_their_name() -> None:
    bare = Pretrained("/w.pt", Path("/w.pt"))
    recipe = settled(Recipe(), bare, 3)
    assert recipe.input == Recipe().input
    assert recipe.finetune.weights == "/w.pt"


def test_people_read_what_the_network_will_see_and_whose_choice_it_was() -> None:
    line = "224 of 235 pixels, mean 0.5, 0.4, 0.3, deviation 0.3, 0.2, 0.1"
    assert about_input(WEIGHTS, TRAINED) == [f"{line}, as the weights were trained", "a note"]
    other = Preprocessing(3, 200, 160, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert about_input(WEIGHTS, other)[0].endswith(
        "deviation 0.25, 0.25, 0.25; the weights were trained otherwise"
    )
    taken = settled(Recipe(), WEIGHTS, 1).input
    assert taken.mean is not None
    assert taken.std is not None
    grey = Preprocessing(1, 235, 224, taken.mean, taken.std)
    assert about_input(WEIGHTS, grey)[0].endswith("as the weights were trained")
    bare = Pretrained("/w.pt", Path("/w.pt"))
    assert about_input(bare, other) == [
        "160 of 200 pixels, mean 0.5, 0.5, 0.5, deviation 0.25, 0.25, 0.25; the weights do not say what theirs was"
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["input.mean=[0.5]"], "mean and std belong together, one of each a channel"),
        (["input.mean=[0.5]", "input.std=[0.5, 0.5]"], "mean and std belong together"),
        (["input.mean=[0.5]", "input.std=[0.0]"], "greater than 0"),
        (
            ["input.mean=[0.5]", "input.std=[0.5]", "input.normalise=data"],
            "mean and std hold with normalise = 'auto', 'data' brings its own: set one of them to none",
        ),
    ],
)
def test_figures_that_cannot_be_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        changed(Recipe(), settings)
    assert message in str(caught.value)
