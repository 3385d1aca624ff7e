"""Whitening patterns: uncorrelated products of mean square 1, set once, never learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from skipline import models
from skipline.api.training import _weights_setting, given_recipe
from skipline.bundle import load_bundle
from skipline.data import Batches, Dataset, Preprocessing, open_source
from skipline.errors import RecipeError
from skipline.training import Plan, named_recipe, start_run
from skipline.training.checkpoint import load_checkpoint
from skipline.training.recipe import validated
from skipline.training.whitening import whiten, whitening_patterns


def test_products_with_patches_are_uncorrelated_and_of_mean_square_one() -> None:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(64, 3, 5, 5, generator=generator)
    images = F.interpolate(coarse, size=16, mode="bilinear")  # neighbours are alike, as in photographs
    images = images + 0.3 * torch.randn(images.shape, generator=generator)
    patterns = whitening_patterns(images, 2)
    assert patterns.shape == (12, 3, 2, 2)
    products = F.conv2d(images, patterns).permute(1, 0, 2, 3).flatten(1)  # (12, patches)
    covariance = products @ products.T / products.shape[1]
    torch.testing.assert_close(covariance, torch.eye(12), atol=0.02, rtol=0)


def test_directions_that_never_occur_are_not_blown_up() -> None:
    patterns = whitening_patterns(torch.ones(2, 1, 4, 4), 2)  # constant images: one direction alone
    assert torch.isfinite(patterns).all()
    assert patterns.flatten(1).norm(dim=1).max() <= 5e-4**-0.5 + 1e-3


def test_only_networks_with_a_layer_for_it_are_changed(digits: Dataset) -> None:
    batches = Batches(digits.train, Preprocessing(1, 8, 8, (0.5,), (0.5,)), batch_size=64)
    resnet = models.create("resnet20", channels=1, seed=0)
    before = {key: value.clone() for key, value in resnet.state_dict().items()}
    assert not whiten(resnet, batches)
    assert all(torch.equal(before[key], value) for key, value in resnet.state_dict().items())
    quick = models.create("quick-resnet8", channels=1, seed=0)
    assert whiten(quick, batches)
    weight = quick.get_submodule("conv1").weight
    assert isinstance(weight, torch.Tensor)
    torch.testing.assert_close(weight[:4], -weight[4:])
    assert not weight.requires_grad


def test_the_patterns_survive_training_and_resume(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "home"))
    dataset = open_source("digits", stored=16)
    wanted = plan(
        "input.stored=16",
        "input.side=16",
        "whiten=true",
        "lookahead=true",
        "ema=none",
        "batch_size=512",
        "leftover=drop",
        model="quick-resnet8",
    )
    start_run(wanted, tmp_path / "run", dataset)
    network = load_bundle(tmp_path / "run").network
    fresh = models.create("quick-resnet8", channels=1, classes=10, seed=0)
    preprocessing = load_bundle(tmp_path / "run").preprocessing
    whiten(
        fresh,
        Batches(
            dataset.train,
            preprocessing,
            batch_size=512,
            augmentation=wanted.recipe.augmentation,
            seed=0,
        ),
    )
    assert torch.equal(network.state_dict()["conv1.weight"], fresh.state_dict()["conv1.weight"])
    assert not torch.equal(network.state_dict()["conv1.bias"], fresh.state_dict()["conv1.bias"])
    state = load_checkpoint(tmp_path / "run" / "last.ckpt")
    assert set(state["lookahead"]) == {k for k, v in network.state_dict().items() if v.is_floating_point()}


def test_trained_weights_and_whitening_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match="whiten would replace the first layer"):
        validated({"whiten": True, "finetune": {"weights": "torchvision"}})
    with pytest.raises(RecipeError, match="lookahead and ema both average"):
        validated({"lookahead": True, "ema": 0.9})


def test_weights_that_are_brought_keep_their_first_layer_in_a_recipe_that_whitens() -> None:
    recipe = given_recipe("fast", _weights_setting("resnet20.th"), epochs=3)
    assert recipe is not None
    assert named_recipe("fast").whiten
    assert (recipe.finetune.weights, recipe.whiten) == ("resnet20.th", False)
