from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from skipline.data import Batches, Dataset, open_source
from skipline.diagnosis.rules import RULES
from skipline.diagnosis.zoo import FAULTS, HEALTHY, RECIPE, Case, case
from skipline.diagnosis.zoo import data as faults_of_data
from skipline.errors import UnknownNameError
from skipline.models import Network
from skipline.training import changed, named_recipe
from skipline.training.losses import training_loss
from skipline.training.plan import resolve_preprocessing

# Left to the calibration: a step of these takes seconds.
SLOW = {"vgg11-bn", "zero-gamma-resnet18", "googlenet", "lecture-resnet", "lecture-alexnet"}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return open_source("digits")


def test_the_zoos_are_as_large_as_promised_and_names_are_unique() -> None:
    assert len(FAULTS) >= 14
    assert len(HEALTHY) >= 8
    counts = Counter(row.name for row in (*FAULTS, *HEALTHY))
    assert max(counts.values()) == 1
    assert all(row.diagnosis for row in FAULTS)
    assert not any(row.diagnosis or row.also for row in HEALTHY)


def test_a_case_is_found_by_name_and_a_slip_is_answered_with_the_nearest() -> None:
    assert case("dead-relus").diagnosis == "dead ReLU"
    with pytest.raises(UnknownNameError, match="Did you mean dead-relus"):
        case("dead-relu")


@pytest.mark.parametrize(
    "row",
    [row for row in (*FAULTS, *HEALTHY) if row.name not in SLOW and row.diagnosis != "shape mismatch"],
    ids=lambda r: r.name,
)
def test_a_case_builds_and_takes_a_batch_of_its_own_data(row: Case) -> None:
    dataset = open_source("digits", stored=row.side)
    if row.data is not None:
        dataset = row.data(dataset, 0)
    recipe = changed(named_recipe(RECIPE), row.settings)
    preprocessing = resolve_preprocessing(recipe.input, dataset)
    batch = Batches(dataset.train, preprocessing, batch_size=min(8, recipe.batch_size), seed=0).batch(0, 0)
    before = torch.get_rng_state()
    network = row.build(classes=10, channels=1, seed=0)
    assert torch.equal(torch.get_rng_state(), before), "building disturbs torch's generator"
    assert network.training
    loss = training_loss(network(batch.images), batch.targets, 0.0)
    loss.backward()
    assert torch.isfinite(loss)


def test_unmatched_shapes_fail_at_the_addition() -> None:
    network = case("unmatched-shapes").build(10, 1, 0)
    with pytest.raises(RuntimeError, match="must match the size"):
        network(torch.rand(2, 1, 8, 8))


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES} <= {row.diagnosis for row in FAULTS}


def test_a_seed_decides_the_weights() -> None:
    for name in ("no-normalisation", "shortcut-halved", "frozen-stage"):
        one, same, other = (case(name).build(10, 1, seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(value, same[key]) for key, value in one.items())
        assert not all(torch.equal(value, other[key]) for key, value in one.items())


def test_small_weights_are_a_tenth_of_he_and_large_ones_ten_times() -> None:
    small, large = (case(name).build(10, 1, 0) for name in ("small-weights", "large-weights"))
    for one, other in zip(small.features, large.features, strict=True):  # type: ignore[arg-type]
        if isinstance(one, torch.nn.Conv2d):
            torch.testing.assert_close(one.weight * 100, other.weight)
            std = (2 / one.weight[0].numel()) ** 0.5
            assert 0.5 < other.weight.std().item() / (10 * std) < 1.5


def test_bn_that_is_stuck_ignores_the_mode() -> None:
    network = case("bn-stuck-in-eval").build(10, 1, 0)
    norms = [module for module in network.train().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


def test_frozen_branches_stay_at_their_shortcuts() -> None:
    network = case("branches-frozen-at-0").build(10, 1, 0)
    assert isinstance(network, Network)
    images = torch.rand(4, 1, 8, 8)
    training_loss(network(images), torch.tensor([0, 1, 2, 3]), 0.0).backward()
    block = network.get_submodule("layer1.1")
    assert block.bn2.weight.grad is None
    assert block.conv2.weight.grad.abs().max() == 0


def test_shuffled_labels_keep_the_classes_sizes_and_the_test_images(digits: Dataset) -> None:
    shuffled = faults_of_data.shuffle_labels(digits, 0)
    assert (shuffled.train.class_counts() == digits.train.class_counts()).all()
    assert 0.05 < (shuffled.train.labels == digits.train.labels).mean() < 0.2  # a tenth by chance
    assert shuffled.test is digits.test
    assert shuffled.fingerprint != digits.fingerprint
    assert shuffled.train.fingerprint != digits.train.fingerprint


def test_label_noise_changes_one_label_in_five(digits: Dataset) -> None:
    noisy = faults_of_data.flip_labels(digits, 3)
    assert np.mean(noisy.train.labels != digits.train.labels) == pytest.approx(0.2, abs=0.001)
    assert set(noisy.train.labels) == set(range(10))


def test_leaked_images_are_held_out_images_with_their_labels(digits: Dataset) -> None:
    leaky = faults_of_data.leak_held_out(digits, 0)
    extra = leaky.train.images[len(digits.train) :]
    held_out = {image.tobytes() for image in digits.test.images}
    assert len(extra) == round(0.3 * len(digits.test))
    assert all(image.tobytes() in held_out for image in extra)


def test_imbalance_is_fifty_to_one(digits: Dataset) -> None:
    counts = faults_of_data.imbalance(digits, 0).train.class_counts()
    assert 40 < counts.max() / counts.min() < 60
    assert list(counts) == sorted(counts, reverse=True)


def test_few_images_of_each_class_are_kept(digits: Dataset) -> None:
    assert (faults_of_data.keep_few(digits, 0).train.class_counts() == 4).all()
