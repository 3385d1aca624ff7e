"""Networks that the probes do not know: in-place work, functions instead of modules, torchvision's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from skipline.diagnosis.probes import Reading, residual_blocks, take_reading
from skipline.models import create


class Own(nn.Module):
    """A user's block, in one of the ways in which people write the same thing."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        out = self.bn1(self.conv1(x))
        if self.way == "method":
            out = out.relu_()
        elif self.way == "clamp":
            out = out.clamp_(min=0)
        else:
            out = F.relu(out, inplace=self.way != "out of place")
        out = self.bn2(self.conv2(out))
        if self.way == "out of place":
            return torch.relu(out + identity)
        if self.way == "onto the input":
            identity = identity.clone()
            identity += out
            return torch.relu_(identity)
        out += identity
        return F.relu_(out)


def own(way: str) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 3, 1), Own(way), Own(way), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def figures(reading: Reading) -> Reading:
    """The reading without the names of functions."""
    layers = tuple(replace(layer, name="", kind="") for layer in reading.layers)
    return replace(reading, layers=layers)


@pytest.mark.parametrize("way", ["in place", "method", "clamp", "onto the input"])
def test_in_place_reads_like_out_of_place(way: str) -> None:
    x, y = torch.randn(6, 3, 5, 5), torch.arange(6) % 3
    expected = take_reading(own("out of place"), x, y, lesions=True)
    found = take_reading(own(way), x, y, lesions=True)
    assert len(found.layers) == 13
    assert [block.name for block in found.blocks] == ["1", "2"]
    assert figures(found).to_json() == figures(expected).to_json()
    relus = [layer for layer in found.layers if layer.dead is not None]
    assert len(relus) == 4
    assert all(0.1 < relu.zeros < 0.9 and relu.activation_grad_norm > 0 for relu in relus)


def test_gradients_are_those_of_autograd() -> None:
    network = own("in place").train()
    x, y = torch.randn(6, 3, 5, 5), torch.arange(6) % 3
    reading = {layer.name: layer for layer in take_reading(network, x, y).layers}
    F.cross_entropy(network(x), y).backward()
    for name in ("0", "1.conv1", "2.bn2"):
        expected = network.get_submodule(name).weight.grad.norm().item()
        assert reading[name].grad_norm == pytest.approx(expected, rel=1e-4)


def test_in_place_on_the_images_and_a_frozen_stem() -> None:
    class Rude(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 2, 1).requires_grad_(False)
            self.unused = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x -= 5
            return self.stem(x.relu_()).mean((2, 3))

    x = torch.randn(4, 1, 3, 3)
    before = x.clone()
    relu, stem = take_reading(Rude(), x, torch.tensor([0, 1, 0, 1])).layers
    assert torch.equal(x, before)
    assert (relu.name, relu.dead) == ("relu", 1.0)
    assert (stem.name, stem.grad_norm) == ("stem", None)
    assert stem.activation_grad_norm > 0


def test_functional_layers() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(4, 1, 3, 3))
            self.matrix = nn.Parameter(torch.randn(4, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.gelu(F.conv2d(x, self.kernel)).mean((2, 3)) @ self.matrix

    network = Functional()
    reading = take_reading(network, torch.randn(4, 1, 5, 5), torch.tensor([0, 1, 0, 1]))
    assert [layer.name for layer in reading.layers] == ["conv2d", "gelu", "matmul"]
    assert reading.layers[0].weight_norm == pytest.approx(network.kernel.norm().item())
    assert reading.layers[2].grad_norm > 0


def test_torchvision_resnet18() -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10)
    reading = take_reading(network, torch.randn(4, 3, 32, 32), torch.arange(4))
    assert [block.name for block in reading.blocks] == [f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)]
    identities = [b for b in reading.blocks if b.name not in ("layer2.0", "layer3.0", "layer4.0")]
    assert [block.fidelity for block in identities] == [0.0] * 5
    assert all(block.fidelity is None for block in reading.blocks if block not in identities)
    assert len(reading.norms) == 20
    assert [layer.name for layer in reading.layers[:6]] == (
        ["conv1", "bn1", "relu", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu"]
    )
    assert len([layer for layer in reading.layers if layer.grad_norm is not None]) == 41
    assert all(layer.finite and layer.activation_grad_norm > 0 for layer in reading.layers)


def test_blocks_of_torchvision_networks_with_functions_and_tokens() -> None:
    mobile = torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25)
    holders = [path for path, module in mobile.named_modules() if getattr(module, "use_res_connect", False)]
    assert residual_blocks(mobile, torch.randn(2, 3, 32, 32)) == tuple(holders)
    transformer = torchvision.models.VisionTransformer(
        image_size=8, patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=4
    )
    reading = take_reading(transformer, torch.randn(2, 3, 8, 8), torch.tensor([0, 1]))
    layers = [f"encoder.layers.encoder_layer_{index}{call}" for index in (0, 1) for call in ("", ".2")]
    assert [block.name for block in reading.blocks] == layers
    assert all(block.fidelity == 0 and block.trainable for block in reading.blocks)


@pytest.mark.parametrize("name", ["preact-resnet20", "lecture-resnet", "resnet20"])
def test_our_blocks(name: str) -> None:
    network = create(name, classes=10, channels=3, seed=0).to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
    reading = take_reading(network, x, torch.arange(4))
    holders = [path for path, module in network.named_modules() if getattr(module, "add", None) is not None]
    assert [block.name for block in reading.blocks] == holders
    assert all(block.fidelity in (0.0, None) for block in reading.blocks)
    assert residual_blocks(network, x) == tuple(holders)


@pytest.mark.parametrize("ours", [True, False])
def test_googlenet_with_its_auxiliary_heads(ours: bool) -> None:
    if ours:
        network = create("googlenet", classes=10, channels=3, seed=0)
    else:
        network = torchvision.models.googlenet(num_classes=10, init_weights=False)
    reading = take_reading(network, torch.randn(2, 3, 32, 32), torch.arange(2))
    assert reading.blocks == ()
    assert all(layer.grad_norm != 0 for layer in reading.layers)
    assert {"aux1.fc2", "aux2.fc2"} <= {layer.name for layer in reading.layers}
