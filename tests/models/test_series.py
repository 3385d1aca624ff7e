"""Networks for series: the same as their siblings for images, with kernels of length k in place of k x k."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from skipline.errors import InputError, ShapeMismatchError
from skipline.models import Network, cost, create, family, names, spec, twin

SIBLINGS = [name for name in names() if name.endswith("-1d")]
# One of every block, stem and shortcut.
ONE_OF_A_KIND = ["resnet18-1d", "resnet50-1d", "resnext50_32x4d-1d", "resnet20-1d", "plain20-1d"]
ONE_OF_A_KIND += ["preact-resnet20-1d", "preact-resnet164-1d", "wrn-16-4-1d"]


def parameters_of_resnet20(channels: int, kernel: int, classes: int) -> int:
    """Written out from the paper's table for CIFAR: 16, 32 and 64 channels, three blocks each, option A."""
    weights = kernel * channels * 16 + 2 * 16  # the stem and its BN
    before = 16
    for width in (16, 32, 64):
        for _ in range(3):
            weights += kernel * before * width + 2 * width + kernel * width * width + 2 * width
            before = width
    return weights + 64 * classes + classes


@pytest.mark.parametrize("name", ["resnet20-1d", "plain20-1d", "preact-resnet20-1d"])
def test_parameters_counted_by_hand(name: str) -> None:
    assert parameters_of_resnet20(3, 9, 10) == 269_722  # the published count of its sibling
    assert spec(name).params == parameters_of_resnet20(1, 3, 10)
    assert sum(p.numel() for p in create(name, channels=6, classes=4).parameters()) == (
        parameters_of_resnet20(6, 3, 4)
    )


def test_multiply_adds_counted_by_hand() -> None:
    # At length 128: the stem, six layers 16 to 16; then 64 and 32 long, where one layer of each stage widens.
    stem = 128 * 3 * 1 * 16
    first = 6 * 128 * 3 * 16 * 16
    second = 64 * 3 * 16 * 32 + 5 * 64 * 3 * 32 * 32
    third = 32 * 3 * 32 * 64 + 5 * 32 * 3 * 64 * 64
    assert spec("resnet20-1d").macs == stem + first + second + third + 64 * 10


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_has_a_row_of_its_own(name: str) -> None:
    row, images = spec(name), spec(name.removesuffix("-1d"))
    assert row.family == images.family.removeprefix("cifar-") + "-1d"
    assert row.input == ((1, 1024) if images.input[1] == 224 else (1, 128))
    assert (row.network, row.classes) == (images.network, 10)
    assert {**row.settings, "dimension": None} == {**images.settings, "dimension": None}


def test_a_family_of_networks_for_series() -> None:
    found = [row.name for row in family("resnet-1d")]
    assert found[:3] == ["resnet18-1d", "resnet34-1d", "resnet50-1d"]
    assert "resnet110-1d" in found


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_shapes_of_any_length(name: str) -> None:
    network = create(name, channels=2, classes=5).eval()
    for length in (1, 7, 64, 101):
        assert network(torch.randn(2, 2, length)).shape == (2, 5)


def test_stages_halve_the_length_and_the_stem_of_large_networks_quarters_it() -> None:
    stages = cost(create("resnet20-1d"), (1, 128)).stages
    assert [(s.name, s.output) for s in stages[:4]] == [
        ("stem", (16, 128)),
        ("stage1", (16, 128)),
        ("stage2", (32, 64)),
        ("stage3", (64, 32)),
    ]
    stages = cost(create("resnet18-1d"), (1, 1024)).stages
    assert [s.output for s in stages[1:5]] == [(64, 256), (128, 128), (256, 64), (512, 32)]


def test_kernels_are_named_by_their_length() -> None:
    rows = {row.name: row for row in cost(create("resnet18-1d"), (1, 1024)).layers}
    assert (rows["conv1"].kind, rows["conv1"].detail) == ("Conv1d", "7/2")
    assert (rows["maxpool"].kind, rows["maxpool"].detail) == ("MaxPool1d", "3/2")
    assert rows["layer2.0.conv1"].detail == "3/2"
    assert rows["layer2.0.downsample.0"].detail == "1/2"


def middle_rows(network: Network) -> dict[str, torch.Tensor]:
    """The weights of a network for images as those of its sibling: of each kernel the row in the middle."""
    return {
        key: value[:, :, value.shape[2] // 2] if value.dim() == 4 else value
        for key, value in network.state_dict().items()
    }


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("name", ["resnet18-1d", "resnet20-1d", "preact-resnet20-1d"])
def test_on_images_of_height_one_both_compute_the_same(name: str, shortcut: str) -> None:
    """There the other rows of every kernel meet nothing but zeros, so the middle one is all that counts."""
    options: dict[str, Any] = {"channels": 2, "classes": 5, "shortcut": shortcut}
    images = create(name.removesuffix("-1d"), **options, seed=0).double()
    series = create(name, **options).double()
    series.load_state_dict(middle_rows(images))
    x = torch.randn(3, 2, 37, dtype=torch.float64)
    for training in (True, False):
        images.train(training)
        series.train(training)
        expected, got = images(x[:, :, None]), series(x)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    # And so are the gradients.
    images(x[:, :, None]).square().sum().backward()
    series(x).square().sum().backward()
    weight = images.conv1.weight.grad
    torch.testing.assert_close(series.conv1.weight.grad, weight[:, :, weight.shape[2] // 2])


def test_a_bottleneck_computes_the_same_as_well() -> None:
    images = create("resnet50", channels=1, classes=3, seed=1).double().eval()
    series = create("resnet50-1d", channels=1, classes=3).double().eval()
    series.load_state_dict(middle_rows(images))
    x = torch.randn(2, 1, 50, dtype=torch.float64)
    torch.testing.assert_close(series(x), images(x[:, :, None]), rtol=1e-9, atol=1e-9)


def test_shortcut_a_takes_every_second_value_and_pads_channels() -> None:
    block = create("resnet20-1d").layer2[0]
    x = torch.arange(2 * 16 * 5.0).view(2, 16, 5)
    y = block.downsample(x)
    assert y.shape == (2, 32, 3)
    assert torch.equal(y[:, 8:24], x[:, :, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_the_twin_of_a_network_for_series() -> None:
    assert twin("resnet20-1d", channels=3) == ("plain20-1d", {"channels": 3})
    assert twin("resnet18-1d") == ("plain18-1d", {})
    assert twin("preact-resnet20-1d") == ("preact-resnet20-1d", {"shortcut": "none"})
    with pytest.raises(
        InputError, match=r"^plain20-1d is resnet20-1d without shortcuts: take resnet20-1d for"
    ):
        create("plain20-1d", shortcut="A")


@pytest.mark.parametrize("name", ["resnet20-1d", "resnet50-1d", "preact-resnet20-1d"])
def test_blocks_can_begin_as_their_shortcut(name: str) -> None:
    network = create(name, channels=1, zero_gamma=True)
    x = torch.randn(2, *(network.layer1[1].conv1.in_channels, 12))
    y = network.layer1[1](x)
    torch.testing.assert_close(y, x.relu() if "preact" not in name else x)


def test_branches_of_single_series_are_dropped() -> None:
    network = create("resnet20-1d", stochastic_depth=0.5).train()
    drop = network.layer3[2].drop
    torch.manual_seed(0)
    kept = drop(torch.ones(64, 3, 5)).flatten(1)
    assert set(kept[:, 0].tolist()) == {0.0, 2.0}
    assert torch.equal(kept, kept[:, :1].expand_as(kept))


def test_he_initialisation_counts_the_length_of_the_kernel() -> None:
    weight = create("resnet18-1d", seed=0).layer4[1].conv2.weight  # (512, 512, 3)
    assert weight.std().item() == pytest.approx((2 / (3 * 512)) ** 0.5, rel=0.01)


def test_images_are_refused_in_words() -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        create("resnet20-1d")(torch.zeros(2, 1, 8, 8))
    assert str(caught.value) == (
        "resnet20-1d takes series of shape (N, 1, length), got (2, 1, 8, 8): bring the series to this shape, or create "
        "the network with channels= those of the series"
    )
    with pytest.raises(
        ShapeMismatchError, match=r"^resnet20-1d takes series of shape \(N, 2, length\), got \(2, 1, 8"
    ):
        create("resnet20-1d", channels=2)(torch.zeros(2, 1, 8))


# Sum of the absolute values of all parameters for seed 0, and the first one, as they were before there were networks
# for series: not a weight may have changed.
SUMS = {
    "resnet18": (235862.115037, 0.02410967),
    "resnet50": (764318.541852, -0.05855070),
    "resnet20": (14966.065134, -0.11067913),
    "preact-resnet20": (14966.065134, -0.11067913),
    "preact-resnet164": (152177.806045, 0.13637200),
    "wrn-16-4": (76567.122677, -0.05904644),
    "quick-resnet8": (6348.137561, -0.00216126),
    "lecture-resnet": (135680.364278, -0.10613646),
}


@pytest.mark.parametrize("name", SUMS)
def test_weights_of_networks_for_images_are_what_they_were(name: str) -> None:
    parameters = [parameter.detach().double() for parameter in create(name, seed=0).parameters()]
    total, first = sum(float(p.abs().sum()) for p in parameters), float(parameters[0].flatten()[0])
    assert (total, first) == pytest.approx(SUMS[name], rel=1e-6)
