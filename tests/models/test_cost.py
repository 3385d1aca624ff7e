"""The counter: rows, stages, shared modules, inference mode, and that it leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision.models as theirs
from torch import nn

from skipline.errors import ShapeMismatchError
from skipline.models import Outputs, cost, create, spec

KINDS = [
    *("resnet18", "resnet50", "resnext50_32x4d", "resnet20", "plain20", "preact-resnet164", "wrn-16-4"),
    *("googlenet", "lecture-alexnet", "lecture-vgg-bn", "lecture-resnet"),
]


def test_rows_of_a_small_network_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 1, groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(4 * 5 * 4, 7),
    )
    counted = cost(network, (3, 9, 8))
    assert [(row.name, row.kind, row.detail, row.output, row.params, row.macs) for row in counted.layers] == [
        ("0", "Conv2d", "3x3/2", (8, 5, 4), 3 * 8 * 9 + 8, 8 * 5 * 4 * 3 * 9),
        ("1", "BatchNorm2d", "", (8, 5, 4), 16, 0),
        ("2", "ReLU", "", (8, 5, 4), 0, 0),
        ("3", "Conv2d", "1x1, 2 groups", (4, 5, 4), 4 * 4, 4 * 5 * 4 * 4),
        ("4", "Flatten", "", (80,), 0, 0),
        ("5", "Linear", "80 to 7", (7,), 80 * 7 + 7, 80 * 7),
    ]
    assert counted.params == sum(p.numel() for p in network.parameters())
    assert counted.macs == 8 * 5 * 4 * 27 + 4 * 5 * 4 * 4 + 560
    assert counted.flops == 2 * counted.macs


def test_a_shared_layer_has_its_parameters_once_and_its_macs_twice() -> None:
    shared = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    counted = cost(nn.Sequential(shared, nn.ReLU(), shared), (4, 6, 6))
    assert counted.params == 4 * 4 * 9
    assert counted.macs == 2 * 4 * 36 * 4 * 9
    assert [row.params for row in counted.layers] == [144, 0, 144 - 144]


def test_tied_parameters_count_once() -> None:
    one, other = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
    other.weight = one.weight
    counted = cost(nn.Sequential(one, other), (2, 5))
    assert (counted.params, counted.macs, counted.training_only) == (25, 2 * 2 * 25, 0)


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_every_gradient_mode_counts_the_same(context: type[torch.inference_mode]) -> None:
    network = create("resnet20")
    with context():
        assert cost(network, (3, 32, 32)).macs == 40_551_040


@pytest.mark.parametrize(
    "layer", [nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False), nn.Conv1d(4, 6, 3, bias=False)]
)
def test_other_convolutions_count_too(layer: nn.Module) -> None:
    input = (4, 5, 5) if isinstance(layer, nn.ConvTranspose2d) else (4, 7)
    places = 25 if isinstance(layer, nn.ConvTranspose2d) else 5  # inputs there, outputs here
    assert cost(layer, input).macs == places * sum(p.numel() for p in layer.parameters())


def test_parameters_outside_of_leaves_count() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.inner = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale * self.inner(x)

    counted = cost(nn.Sequential(Scaled()), (3,))
    assert [(row.name, row.kind, row.params) for row in counted.layers] == [
        ("0.inner", "Linear", 12),
        ("0", "Scaled", 3),
    ]


@pytest.mark.parametrize("name", ["resnet20", "googlenet", "lecture-resnet", "alexnet"])
def test_counting_leaves_no_trace(name: str) -> None:
    network = create(name, **({"stochastic_depth": 0.5} if "resnet" in name else {}))
    network.train()
    frozen = next(m for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.Dropout)))
    frozen.eval()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    generator = torch.get_rng_state()

    cost(network, spec(name).input)

    assert torch.equal(torch.get_rng_state(), generator)
    assert [module.training for module in network.modules()] == modes
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    for module in network.modules():
        assert not module._forward_hooks
        assert "forward" not in module.__dict__
    if name == "googlenet":
        assert isinstance(network(torch.randn(2, 3, 64, 64)), Outputs)


def test_nothing_is_left_behind_by_a_failure_either() -> None:
    network = create("alexnet")
    with pytest.raises(ShapeMismatchError):
        cost(network, (3, 8, 8))
    assert network.training
    for module in network.modules():
        assert not module._forward_hooks
        assert "forward" not in module.__dict__


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 3), nn.Linear(3, 8), nn.BatchNorm2d(3)])
def test_an_input_that_a_layer_refuses_is_refused_here(layer: nn.Module) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        cost(layer, (4, 4, 4))


def test_a_kernel_larger_than_the_image_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Kernel size"):
        cost(nn.Conv2d(3, 8, 5), (3, 4, 4))


@pytest.mark.parametrize("name", KINDS)
def test_output_shapes_are_those_of_a_real_run(name: str) -> None:
    """On images of 32 x 32 and with few classes, against hooks on a real forward pass."""
    network = create(name, classes=5).eval()
    seen: list[tuple[str, tuple[int, ...]]] = []
    for path, module in network.named_modules():
        if next(module.children(), None) is None and not isinstance(module, nn.Identity):
            module.register_forward_hook(lambda m, i, y, path=path: seen.append((path, tuple(y.shape[1:]))))  # type: ignore[misc]
    with torch.no_grad():
        network(torch.randn(1, 3, 32, 32))
    real = list(seen)
    seen.clear()
    assert [(row.name, row.output) for row in cost(network, (3, 32, 32)).layers] == real


def test_stages_of_a_residual_network() -> None:
    with torch.device("meta"):
        stages = cost(create("resnet34", shortcut="A"), (3, 224, 224)).stages
    assert [(stage.name, stage.output) for stage in stages] == [
        ("stem", (64, 56, 56)),
        ("stage1", (64, 56, 56)),
        ("stage2", (128, 28, 28)),
        ("stage3", (256, 14, 14)),
        ("stage4", (512, 7, 7)),
        ("head", (1000,)),
    ]
    assert [len(stage.macs_per_block) for stage in stages] == [0, 3, 4, 6, 3, 0]
    layer = 64 * 64 * 9 * 56 * 56
    for stage in stages[1:5]:
        assert stage.macs_per_layer == layer
        assert set(stage.macs_per_block[1:]) == {2 * layer}
    # the block that halves the side has half the channels at its first layer's input
    assert {stage.macs_per_block[0] for stage in stages[2:5]} == {layer // 2 + layer}


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("vgg16", [(64, 224, 224), (128, 112, 112), (256, 56, 56), (512, 28, 28), (512, 14, 14), (1000,)]),
        ("alexnet", [(64, 55, 55), (192, 27, 27), (256, 13, 13), (1000,)]),
        ("googlenet", [(192, 28, 28), (480, 28, 28), (832, 14, 14), (1024, 7, 7), (1000,)]),
        ("lecture-resnet", [(64, 32, 32), (64, 32, 32), (192, 16, 16), (256, 8, 8), (10,)]),
    ],
)
def test_stages_of_other_networks(name: str, outputs: list[tuple[int, ...]]) -> None:
    with torch.device("meta"):
        stages = cost(create(name), spec(name).input).stages
    assert [stage.output for stage in stages] == outputs


def test_stages_of_a_tiny_image_are_not_merged() -> None:
    stages = cost(create("resnet18", classes=2), (3, 16, 16)).stages
    assert [stage.output[-1] for stage in stages[1:5]] == [4, 2, 1, 1]


def test_a_network_that_is_not_ours_can_be_counted() -> None:
    with torch.device("meta"):
        other = theirs.resnet50()
    counted = cost(other, (3, 224, 224))
    assert (counted.params, counted.macs) == (25_557_032, 4_089_184_256)


def test_a_network_that_asks_for_values_can_be_counted() -> None:
    class Curious(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(4)
            self.linear = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(x) + torch.arange(4)
            return self.linear(x if x.sum().item() > 0 else -x)

    assert cost(Curious(), (4,)).macs == 8


def test_json_has_plain_values_and_flops() -> None:
    values = cost(create("lecture-vgg"), (3, 32, 32)).to_json()
    assert values["flops"] == 2 * values["macs"] == 2 * 145_358_848
    assert values["layers"][0] == {
        "name": "features.0",
        "kind": "Conv2d",
        "detail": "3x3",
        "output": (8, 32, 32),
        "params": 224,
        "macs": 8 * 27 * 1024,
    }
