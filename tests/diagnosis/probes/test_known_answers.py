"""Readings of tiny hand-set networks whose figures can be worked out on paper."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipline.diagnosis.probes import Reading, residual_blocks, take_reading, update_ratios, weight_snapshot
from skipline.diagnosis.probes.updates import with_updates
from skipline.errors import InputError
from skipline.models import create
from skipline.training.precision import Precision


def total(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return output.sum()


def layer(reading: Reading, name: str):
    return {layer.name: layer for layer in reading.layers}[name]


def test_linear_and_relu() -> None:
    network = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
    network[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]])
    x = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    reading = take_reading(network, x, torch.zeros(2, dtype=torch.int64), loss=total)
    # Before the ReLU: [1, 4, -3] and [3, 0, -3]; the loss is the sum of the positive ones.
    assert reading.loss == 8.0
    linear, relu = reading.layers
    assert (linear.name, linear.kind, linear.depth) == ("0", "Linear", 0)
    assert (relu.name, relu.kind, relu.depth) == ("1", "ReLU", 1)
    assert linear.weight_norm == pytest.approx(math.sqrt(7))
    # dL/dW: unit 0 is active on both rows, [4, 2]; unit 1 on the first alone, [1, 2]; unit 2 on none.
    assert linear.grad_norm == pytest.approx(5.0)
    assert linear.grad_weight_ratio == pytest.approx(5 / math.sqrt(7))
    assert linear.activation_grad_norm == pytest.approx(math.sqrt(3))
    assert linear.mean == pytest.approx(2 / 6)
    assert linear.std == pytest.approx(math.sqrt(44 / 6 - 1 / 9))
    assert linear.zeros is None
    assert linear.dead is None
    assert relu.activation_grad_norm == pytest.approx(math.sqrt(6))
    assert relu.zeros == pytest.approx(3 / 6)
    assert relu.dead == pytest.approx(1 / 3)
    assert relu.weight_norm is None
    assert linear.finite
    assert relu.finite


def test_loss_and_share_right_of_logits() -> None:
    network = nn.Linear(2, 2, bias=False)
    network.weight.data = torch.eye(2)
    x = torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    reading = take_reading(network, x, torch.tensor([0, 1]), step=7)
    assert reading.loss == pytest.approx(math.log(1 + math.exp(-3)) + 1.5)
    assert (reading.top1, reading.images, reading.step) == (0.5, 2, 7)
    assert reading.eval_loss is None
    mixed = take_reading(network, x, torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
    assert mixed.loss == pytest.approx(reading.loss)


def test_tiny_and_huge_values_are_measured() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data = torch.tensor([[1e-30]])
    x = torch.full((4, 1), 1e25)
    reading = take_reading(network, x, torch.zeros(4, dtype=torch.int64), loss=total)
    assert reading.layers[0].weight_norm == pytest.approx(1e-30)
    assert reading.layers[0].grad_norm == pytest.approx(4e25)
    assert reading.layers[0].finite


def test_not_finite_is_told_by_layer() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))
    network[1].weight.data.fill_(float("inf"))
    reading = take_reading(network, torch.ones(2, 1), torch.zeros(2, dtype=torch.int64), loss=total)
    assert layer(reading, "1").finite is False
    plain = reading.to_json()
    assert plain["layers"][1]["mean"] is None
    assert len(Reading.from_json(plain).layers) == 3


def test_batch_norm_statistics_are_those_before_the_pass() -> None:
    norm = nn.BatchNorm2d(2, eps=1e-9)
    norm.running_mean.data = torch.tensor([0.0, 3.0])
    norm.running_var.data = torch.tensor([2.0, 8.0])
    x = torch.tensor([[0.0, 1.0], [2.0, 5.0]])[:, :, None, None]  # means 1 and 3, variances 2 and 8
    network = nn.Sequential(norm, nn.Flatten())
    (reading,) = take_reading(network, x, torch.tensor([0, 1])).norms
    assert reading.name == "0"
    assert reading.mean_distance == pytest.approx((1 / math.sqrt(2) + 0) / 2)
    assert reading.variance_ratio == pytest.approx(1.0)
    assert reading.training
    norm.running_var.data = torch.tensor([4.0, 32.0])
    (reading,) = take_reading(network, x, torch.tensor([0, 1])).norms
    assert reading.variance_ratio == pytest.approx(3.0)


class Residual(nn.Module):
    """y = 1x1 convolution(x) + scale * x, then the mean over the image."""

    def __init__(self, branch: float, scale: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1, bias=False)
        self.conv.weight.data = branch * torch.eye(2)[:, :, None, None]
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.scale == 1 else self.scale * x
        return self.conv(x) + shortcut


def sums(x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return x.sum()


@pytest.mark.parametrize(("scale", "fidelity"), [(1.0, 0.0), (0.5, 0.5), (3.0, 2.0)])
def test_residual_block(scale: float, fidelity: float) -> None:
    x = torch.randn(4, 2, 3, 3)
    network = nn.Sequential(Residual(-2.0, scale))
    reading = take_reading(network, x, torch.zeros(4, dtype=torch.int64), loss=sums, lesions=True)
    (block,) = reading.blocks
    assert block.name == "0"
    assert block.rho == pytest.approx(2 / scale)
    assert block.fidelity == pytest.approx(fidelity, abs=1e-6)
    assert block.response == pytest.approx(2 * x.std(correction=0).item(), rel=1e-5)
    assert block.negative == pytest.approx((((scale - 2) * x) < 0).float().mean().item())
    assert block.trainable
    # Without the branch the loss is scale * sum(x), with it (scale - 2) * sum(x).
    assert block.lesion == pytest.approx(2 * x.sum().item(), abs=1e-4)
    assert residual_blocks(network, x) == ("0",)


def test_branch_without_gradient_takes_no_part_in_training() -> None:
    def branch(frozen: bool) -> Reading:
        network = nn.Sequential(Residual(0.0))
        network[0].conv.requires_grad_(not frozen)
        return take_reading(
            network, torch.randn(2, 2, 2, 2), torch.zeros(2, dtype=torch.int64), loss=sums, lesions=True
        )

    assert branch(False).blocks[0].trainable
    frozen = branch(True)
    assert not frozen.blocks[0].trainable
    assert frozen.blocks[0].rho == 0
    assert frozen.blocks[0].lesion == 0
    assert frozen.layers[0].grad_norm is None
    assert frozen.layers[0].weight_norm == 0
    assert frozen.layers[0].activation_grad_norm == pytest.approx(4.0)


def test_zero_gamma_block_trains_unless_its_gamma_is_frozen() -> None:
    network = create("resnet20", classes=10, channels=1, zero_gamma=True, seed=0)
    x, y = torch.randn(4, 1, 8, 8), torch.arange(4)
    assert all(block.rho == 0 and block.trainable for block in take_reading(network, x, y).blocks)
    for name, parameter in network.named_parameters():
        if ".bn2." in name:
            parameter.requires_grad_(False)
    assert not any(block.trainable for block in take_reading(network, x, y).blocks)


def test_plain_sums_are_no_blocks() -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
            self.place = nn.Parameter(torch.ones(3, 2, 2, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = x.chunk(2)
            x = torch.cat([left + right, left])[:3]
            x = x + self.place  # as a position embedding
            return self.one(x) + self.two(x)  # two paths of equal length

    assert residual_blocks(Sums(), torch.randn(4, 2, 2, 2)) == ()


def test_blocks_in_a_network_without_block_modules() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for first, second in zip(self.convolutions[::2], self.convolutions[1::2], strict=True):
                x = torch.add(second(F.relu(first(x))), 0.5 * x)
            return x.mean((2, 3))

    reading = take_reading(Flat(), torch.randn(4, 2, 4, 4), torch.tensor([0, 1, 0, 1]))
    assert [block.name for block in reading.blocks] == ["sum", "sum.2"]
    assert [block.fidelity for block in reading.blocks] == pytest.approx([0.5, 0.5])
    assert [each.name for each in reading.layers if each.kind == "relu"] == ["relu", "relu.2"]


def test_shared_layer_has_a_record_a_call_and_its_weight_once() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1, bias=False)
            self.layer.weight.data.fill_(3.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x))

    reading = take_reading(Shared(), torch.ones(2, 1), torch.zeros(2, dtype=torch.int64), loss=total)
    first, second = reading.layers
    assert (first.name, second.name) == ("layer", "layer.2")
    assert (first.mean, second.mean) == (3.0, 9.0)
    assert first.grad_norm == pytest.approx(2 * 2 * 3)  # d(w * w * x) = 2 w x, two images
    assert second.weight_norm is None
    assert second.grad_norm is None


def test_true_update_ratio() -> None:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    network[0].weight.data = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    before = weight_snapshot(network)
    network[0].weight.data += 0.1
    ratios = update_ratios(network, before)
    assert ratios == pytest.approx({"0": 0.2 / 5, "2": 0.0})
    reading = take_reading(network, torch.randn(2, 2), torch.tensor([0, 1]))
    assert [each.update_weight_ratio for each in with_updates(reading, ratios).layers] == pytest.approx(
        [0.04, None, 0.0]
    )


def test_evaluation_mode_uses_the_statistics_from_before() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2, affine=False), nn.Flatten())
    x = 5 + torch.randn(8, 2, 1, 1)
    y = torch.arange(8) % 2
    expected = F.cross_entropy(network.eval()(x).detach(), y).item()
    assert take_reading(network.train(), x, y, eval_loss=True).eval_loss == pytest.approx(expected)


def test_wholly_evaluating_network_is_read_in_training_mode_and_frozen_bn_as_it_stands() -> None:
    network = create("resnet20", classes=10, channels=1, seed=0)
    x, y = torch.randn(8, 1, 8, 8), torch.arange(8)
    expected = take_reading(network.train(), x, y)
    assert take_reading(network.eval(), x, y) == expected
    assert not any(module.training for module in network.modules())
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    frozen = take_reading(network, x, y)
    assert not any(norm.training for norm in frozen.norms)
    assert frozen.loss != expected.loss


def test_bf16_reads_like_fp32() -> None:
    network = create("resnet20", classes=10, channels=1, seed=0)
    x, y = torch.randn(8, 1, 8, 8), torch.arange(8)
    exact, rough = (take_reading(network, x, y, precision=Precision(bf16)) for bf16 in (False, True))
    assert [each.name for each in rough.layers] == [each.name for each in exact.layers]
    assert rough.loss == pytest.approx(exact.loss, rel=0.05)
    assert layer(rough, "conv1").std == pytest.approx(layer(exact, "conv1").std, rel=0.01)


@pytest.mark.parametrize("shape", ["tuple", "dictionary", "object"])
def test_logits_among_other_things(shape: str) -> None:
    class Wrapped:
        def __init__(self, logits: torch.Tensor) -> None:
            self.logits = logits

    class Network(nn.Linear):
        def forward(self, x: torch.Tensor) -> object:
            y = super().forward(x)
            return {"tuple": (y, x), "dictionary": {"features": x, "logits": y}, "object": Wrapped(y)}[shape]

    network = Network(3, 2)
    expected = F.cross_entropy(F.linear(torch.ones(2, 3), network.weight, network.bias), torch.tensor([0, 1]))
    assert take_reading(network, torch.ones(2, 3), torch.tensor([0, 1])).loss == pytest.approx(
        expected.item()
    )


def test_no_logits_are_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 4, 3, 3\).*pass loss="):
        take_reading(nn.Conv2d(1, 4, 1), torch.ones(2, 1, 3, 3), torch.tensor([0, 1]))


def test_several_inputs() -> None:
    network = nn.Bilinear(2, 3, 2)
    reading = take_reading(network, (torch.randn(4, 2), torch.randn(4, 3)), torch.tensor([0, 1, 0, 1]))
    assert [each.kind for each in reading.layers] == ["Bilinear"]
    assert reading.layers[0].grad_norm > 0
