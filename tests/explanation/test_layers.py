"""The layer that maps are taken from: found by itself in every family, or named."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from skipline.errors import InputError, UnknownNameError
from skipline.explanation import Layer, find_layer
from skipline.models import create, names, spec

FOUND = {
    "resnet18": ("layer4", 7),
    "resnet50": ("layer4", 7),
    "resnext50_32x4d": ("layer4", 7),
    "plain18": ("layer4", 7),
    "resnet18-small": ("layer4", 4),
    "resnet20": ("layer3", 8),
    "plain20": ("layer3", 8),
    "preact-resnet20": ("last_relu", 8),
    "preact-resnet164": ("last_relu", 8),
    "wrn-16-4": ("last_relu", 8),
    "quick-resnet8": ("stage3", 3),
    "alexnet": ("features.11", 13),  # the ReLU behind the fifth convolution
    "vgg11": ("features.19", 14),
    "vgg16": ("features.29", 14),  # conv5_3 with its ReLU, as in the paper
    "vgg16-bn": ("features.42", 14),
    "googlenet": ("inception5b", 7),
    "lecture-alexnet": ("features.11", 4),
    "lecture-vgg": ("features.19", 8),
    "lecture-resnet": ("features.18", 8),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_last_stage_is_found(name: str) -> None:
    with torch.device("meta"):
        network = create(name)
    layer = find_layer(network, spec(name).input)
    assert (layer.name, layer.height, layer.width) == (FOUND[name][0], FOUND[name][1], FOUND[name][1])


def test_every_family_is_tested() -> None:
    images = {spec(name).family for name in names() if len(spec(name).input) == 3}
    assert {spec(name).family for name in FOUND} == images


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", Layer("layer4", 512, 7, 7)),
        ("squeezenet1_1", Layer("features", 512, 13, 13)),  # its classifier is a convolution
        ("mobilenet_v3_small", Layer("features", 576, 7, 7)),  # squeezes to one pixel on the way
        (
            "convnext_tiny",
            Layer("features", 768, 7, 7),
        ),  # its blocks end with linear layers over channels last
        ("densenet121", Layer("features", 1024, 7, 7)),
    ],
)
def test_networks_of_other_origin(name: str, expected: Layer) -> None:
    assert find_layer(torchvision.models.get_model(name, weights=None), (3, 224, 224)) == expected


def test_a_stage_of_one_pixel_says_nothing_of_places() -> None:
    network = create("resnet18", classes=3)
    assert find_layer(network, (3, 32, 32)) == Layer("layer3", 256, 2, 2)
    assert find_layer(network, (3, 33, 33)).name == "layer4"


def test_a_layer_of_the_users_choice() -> None:
    network = create("resnet20")
    assert find_layer(network, (3, 32, 32), "layer1.0.conv1") == Layer("layer1.0.conv1", 16, 32, 32)
    with pytest.raises(
        UnknownNameError, match=r"no layer is called 'layer9'\. Did you mean layer3 or layer2 or layer1\?"
    ):
        find_layer(network, (3, 32, 32), "layer9")
    with pytest.raises(InputError) as error:
        find_layer(network, (3, 32, 32), "fc")
    assert str(error.value) == (
        "expected a layer that puts out maps (N, C, H, W), but fc puts out (N, 10): choose another, such as layer3"
    )
    with pytest.raises(InputError, match="aux1 takes no part in a prediction"):
        find_layer(create("googlenet"), (3, 64, 64), "aux1")


def test_a_network_without_maps() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(
        InputError, match=r"no layer of this network puts out maps .* use larger images, or --method"
    ):
        find_layer(network, (3, 2, 2))
