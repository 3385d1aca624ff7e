"""Parameters and MACs against the published and computed figures, to the last digit where they are given so."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from skipline.models import cost, create, names, spec
from skipline.models.cost import Cost


@cache
def cost_of(name: str, **options: Any) -> Cost:
    with torch.device("meta"):
        network = create(name, **options)
    return cost(network, spec(name).input)


@pytest.mark.parametrize("name", names())
def test_every_row_of_the_catalogue_states_its_own_counts(name: str) -> None:
    counted = cost_of(name)
    assert (counted.params, counted.macs) == (spec(name).params, spec(name).macs)


@pytest.mark.parametrize("name", names())
def test_stages_sum_to_the_whole(name: str) -> None:
    counted = cost_of(name)
    assert sum(stage.params for stage in counted.stages) == counted.params
    assert sum(stage.macs for stage in counted.stages) == counted.macs
    for stage in counted.stages:
        in_blocks = sum(stage.macs_per_block)
        if name.startswith("quick"):  # the convolution that widens stands before the block
            assert in_blocks <= stage.macs
        else:
            assert not stage.macs_per_block or in_blocks == stage.macs
    numbered = [stage.name for stage in counted.stages if stage.name not in ("stem", "head")]
    assert numbered == [f"stage{number}" for number in range(1, len(numbered) + 1)]


# name, options, parameters, giga-MACs to three decimals (He et al., table 1, counted layer by layer)
IMAGENET = [
    ("resnet18", {}, 11_689_512, "1.814"),
    ("resnet34", {}, 21_797_672, "3.664"),
    ("resnet50", {}, 25_557_032, "4.089"),
    ("resnet101", {}, 44_549_160, "7.801"),
    ("resnet152", {}, 60_192_808, "11.514"),
    ("resnet50", {"variant": "v1"}, 25_557_032, "3.858"),
    ("resnet101", {"variant": "v1"}, 44_549_160, "7.570"),
    ("resnet152", {"variant": "v1"}, 60_192_808, "11.282"),
    ("resnet18", {"shortcut": "A"}, 11_515_688, None),
    ("resnet18", {"shortcut": "C"}, 12_043_816, None),
    ("resnet34", {"shortcut": "A"}, 21_623_848, "3.644"),
    ("resnet34", {"shortcut": "C"}, 22_716_840, "3.831"),
    ("resnet18", {"shortcut": "none"}, 11_515_688, None),
    ("plain18", {}, 11_515_688, None),
    ("plain34", {}, 21_623_848, "3.644"),
    ("alexnet", {}, 61_100_840, "0.714"),
    ("vgg16", {}, 138_357_544, "15.470"),
    ("vgg19", {}, 143_667_240, "19.632"),
    ("googlenet", {}, 6_624_904, "1.498"),
]


@pytest.mark.parametrize(("name", "options", "params", "giga"), IMAGENET)
def test_large_networks(name: str, options: dict[str, str], params: int, giga: str | None) -> None:
    counted = cost_of(name, **options)
    assert counted.params == params
    if giga is not None:
        assert f"{counted.macs / 1e9:.3f}" == giga


CIFAR = [
    ("resnet20", 269_722, 40_551_040),
    ("resnet32", 464_154, 68_862_592),
    ("resnet44", 658_586, 97_174_144),
    ("resnet56", 853_018, 125_485_696),
    ("resnet110", 1_727_962, 252_887_680),
    ("resnet1202", 19_421_274, 2_829_238_912),
]


@pytest.mark.parametrize(("name", "params", "macs"), CIFAR)
def test_small_networks_and_their_plain_twins(name: str, params: int, macs: int) -> None:
    counted = cost_of(name)
    assert (counted.params, counted.macs) == (params, macs)
    if name != "resnet1202":  # it would add seconds and say nothing new
        plain = cost_of(name, shortcut="none")
        assert (plain.params, plain.macs) == (params, macs)


# Widely published counts of the authors' pre-activation and wide networks.
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("preact-resnet164", 1_703_258),
        ("preact-resnet1001", 10_327_706),
        ("wrn-28-10", 36_479_194),
        ("wrn-16-4", 2_748_890),
        ("wide_resnet50_2", 68_883_240),
        ("resnext50_32x4d", 25_028_904),
        ("wide_resnet101_2", 126_886_696),
        ("resnext101_32x8d", 88_791_336),
        ("resnext101_64x4d", 83_455_272),
        ("resnet18-small", 11_173_962),
    ],
)
def test_later_networks(name: str, params: int) -> None:
    assert cost_of(name).params == params


# As printed by the lecture's notebook.
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lecture-alexnet", 3_638_090),
        ("lecture-vgg", 1_894_490),
        ("lecture-vgg-bn", 1_896_522),
        ("lecture-vgg-bn-deep", 3_227_850),
        ("lecture-resnet", 3_727_474),
        ("lecture-resnet-deep", 5_943_794),
    ],
)
def test_the_six_networks_of_the_lecture(name: str, params: int) -> None:
    assert cost_of(name).params == params


def test_the_auxiliary_heads_of_googlenet_count_for_training_only() -> None:
    with torch.device("meta"):
        network = create("googlenet")
    assert sum(p.numel() for p in network.parameters()) == 13_004_888
    assert cost(network, (3, 224, 224)).training_only == 13_004_888 - 6_624_904


@pytest.mark.parametrize(
    ("name", "depth"),
    [("resnet34", 34), ("resnet50", 50), ("preact-resnet164", 164), ("plain56", 56), ("vgg16", 16)],
)
def test_the_depth_in_the_name_counts_the_layers_with_weights(name: str, depth: int) -> None:
    layers = [row for row in cost_of(name).layers if row.macs and "downsample" not in row.name]
    assert len(layers) == depth
