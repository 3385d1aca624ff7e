"""Each variant changes one thing: known answers on blocks with hand-set or fresh weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skipline import models
from skipline.errors import InputError
from skipline.models import Block
from skipline.models.blocks import BasicBlock
from skipline.studies.variants import (
    VARIANTS,
    DropoutShortcut,
    GatedShortcut,
    HalfBoth,
    HalfShortcut,
    NearlyOpenGate,
    NormAfterAddition,
    ReluBeforeAddition,
    build_variant,
    cifar_network,
)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, 1, 8, 8)


def pair(variant: type[BasicBlock]) -> tuple[BasicBlock, BasicBlock, torch.Tensor]:
    """A variant and an ordinary block with the same weights, in evaluation mode, and an input for both."""
    torch.manual_seed(3)
    ordinary = BasicBlock(8, 8, 8, shortcut="A")
    other = variant(8, 8, 8, shortcut="A")
    other.load_state_dict(ordinary.state_dict(), strict=False)
    return other.eval(), ordinary.eval(), torch.randn(2, 8, 6, 6)


def branch_and_shortcut(block: Block, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What arrives at the addition of a running block."""
    seen: list[tuple[torch.Tensor, ...]] = []
    assert block.add is not None
    handle = block.add.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    block(x)
    handle.remove()
    return seen[0][0], seen[0][1]


def test_half_shortcut_lets_half_through_and_leaves_the_branch() -> None:
    block, ordinary, x = pair(HalfShortcut)
    branch, shortcut = branch_and_shortcut(block, x)
    fidelity = (shortcut - x).norm() / x.norm()
    assert fidelity.item() == pytest.approx(0.5)
    torch.testing.assert_close(branch, ordinary.branch(x))
    torch.testing.assert_close(block(x), torch.relu(ordinary.branch(x) + 0.5 * x))


def test_half_both_halves_both_paths() -> None:
    block, ordinary, x = pair(HalfBoth)
    torch.testing.assert_close(block(x), torch.relu(0.5 * (ordinary.branch(x) + x)))


@pytest.mark.parametrize(
    ("gate", "through"), [(GatedShortcut, 0.5), (NearlyOpenGate, 1 - 1 / (1 + 2.718281828**6))]
)
def test_a_gate_of_zero_weights_lets_the_share_of_its_bias_through(
    gate: type[GatedShortcut], through: float
) -> None:
    block, _, x = pair(gate)
    assert isinstance(block, GatedShortcut)
    nn.init.zeros_(block.gate.weight)
    nn.init.constant_(block.gate.bias, block.bias)  # type: ignore[arg-type]
    torch.testing.assert_close(branch_and_shortcut(block, x)[1], through * x)


def test_the_gates_of_a_network_begin_with_their_bias() -> None:
    network = build_variant("gate-6", 14, channels=1, classes=10, seed=0)
    gates = [module for module in network.modules() if isinstance(module, GatedShortcut)]
    assert len(gates) == 6
    assert all(gate.gate.bias is not None and bool((gate.gate.bias == -6).all()) for gate in gates)


def test_dropout_acts_in_training_and_is_the_identity_in_evaluation() -> None:
    block, ordinary, x = pair(DropoutShortcut)
    torch.testing.assert_close(block(x), ordinary(x))
    block.train()
    shortcut = branch_and_shortcut(block, x)[1]
    dropped = (shortcut == 0).float().mean().item()
    assert 0.35 < dropped < 0.65, "576 values, each dropped with probability 0.5"
    torch.testing.assert_close(shortcut[shortcut != 0], 2 * x[shortcut != 0])


def test_bn_after_addition_normalises_the_sum() -> None:
    block, _, x = pair(NormAfterAddition)
    block.train()
    outputs: list[torch.Tensor] = []
    handle = block.bn2.register_forward_hook(
        lambda module, inputs, output: outputs.append(output.detach().clone())
    )
    block(x)
    handle.remove()
    assert outputs[0].mean().item() == pytest.approx(0, abs=1e-5)
    assert outputs[0].std().item() == pytest.approx(1, abs=0.02)
    branch, shortcut = branch_and_shortcut(block, x)
    torch.testing.assert_close(shortcut, x)
    assert not torch.allclose(branch.mean(), torch.zeros(()), atol=1e-6), (
        "no BN behind the branch's last layer"
    )


def test_with_relu_before_addition_the_branch_is_never_negative() -> None:
    block, _, x = pair(ReluBeforeAddition)
    branch, _ = branch_and_shortcut(block, x)
    assert branch.min().item() == 0
    torch.testing.assert_close(block(x), x + branch), "and nothing follows the sum"


def test_relu_only_pre_activation_leaves_its_input_as_it_is() -> None:
    network = build_variant("relu-only", 8, channels=1, classes=10, seed=0)
    block = next(module for module in network.modules() if isinstance(module, Block))
    x = torch.randn(2, 16, 8, 8)
    before = x.clone()
    y = block(x)
    torch.testing.assert_close(x, before)
    torch.testing.assert_close(block(x.clamp(min=0)) - x.clamp(min=0), y - x), "the branch sees relu(x) only"


def test_full_pre_activation_is_the_catalogues(images: torch.Tensor) -> None:
    ours = build_variant("pre-activation", 20, channels=1, classes=10, seed=5).eval()
    theirs = models.create("preact-resnet20", channels=1, classes=10, seed=5).eval()
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(("shortcut", "name"), [("A", "resnet56"), ("none", "plain56")])
def test_depths_of_the_catalogue_are_the_catalogues(shortcut: str, name: str) -> None:
    ours = cifar_network(56, shortcut=shortcut, channels=3, classes=10, seed=5)  # type: ignore[arg-type]
    theirs = models.create(name, seed=5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_takes_images_and_passes_gradients_to_its_stem(name: str, images: torch.Tensor) -> None:
    network = build_variant(name, 8, channels=1, classes=10, seed=0)
    network(images).square().mean().backward()
    assert isinstance(network.conv1, nn.Conv2d)
    assert network.conv1.weight.grad is not None
    assert network.conv1.weight.grad.norm() > 0


@pytest.mark.parametrize(("depth", "near"), [(21, 20), (4, 8), (60, 62)])
def test_a_depth_that_the_family_does_not_have_is_refused_with_a_near_one(depth: int, near: int) -> None:
    with pytest.raises(InputError, match=rf"6n \+ 2 layers.*got depth {depth}: take {near}"):
        cifar_network(depth, channels=3, classes=10, seed=0)
