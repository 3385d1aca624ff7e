"""Residual blocks: the order of their parts, and what later diagnosis needs of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skipline.models import Block, create
from skipline.models.blocks import BasicBlock, Bottleneck, PreActivationBasicBlock, PreActivationBottleneck

KINDS = [BasicBlock, Bottleneck, PreActivationBasicBlock, PreActivationBottleneck]


def one_by_one(block: BasicBlock, centre: float) -> None:
    """Let both convolutions multiply by `centre`, and BN do nothing."""
    for convolution in (block.conv1, block.conv2):
        nn.init.zeros_(convolution.weight)
        convolution.weight.data[:, :, 1, 1] = centre
    block.eval()
    block.bn1.eps = block.bn2.eps = 0.0


def test_relu_comes_after_the_sum() -> None:
    block = BasicBlock(1, 1, 1)
    one_by_one(block, 2.0)
    x = torch.tensor([-1.0, 3.0]).reshape(1, 1, 1, 2)
    # branch: relu(2 x) * 2 = 0, 12; sum: -1, 15; ReLU after it: 0, 15 (before the sum it would be -1)
    assert block(x).flatten().tolist() == [0.0, 15.0]
    assert block.branch(x).flatten().tolist() == [0.0, 12.0]


def test_without_a_shortcut_only_the_branch_is_left() -> None:
    block = BasicBlock(1, 1, 1, shortcut="none")
    one_by_one(block, 2.0)
    x = torch.tensor([-1.0, 3.0]).reshape(1, 1, 1, 2)
    assert block(x).flatten().tolist() == [0.0, 12.0]
    assert block.shortcut(x) is None


def test_pre_activation_leaves_the_sum_alone() -> None:
    block = PreActivationBasicBlock(1, 1, 1)
    one_by_one(block, 2.0)  # type: ignore[arg-type]
    x = torch.tensor([-1.0, 3.0]).reshape(1, 1, 1, 2)
    assert block(x.clone()).flatten().tolist() == [-1.0, 15.0]
    assert torch.equal(block.shortcut(x), x)


def test_the_first_pre_activation_of_a_stage_serves_both_paths() -> None:
    block = PreActivationBasicBlock(1, 1, 1, first=True)
    one_by_one(block, 2.0)  # type: ignore[arg-type]
    x = torch.tensor([-1.0, 3.0]).reshape(1, 1, 1, 2)
    assert block(x.clone()).flatten().tolist() == [0.0, 15.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
def test_a_block_is_the_sum_of_its_parts(kind: type[Block], first: bool, shortcut: str) -> None:
    block = kind(8, 4, 16, stride=2, first=first, shortcut=shortcut).eval()  # type: ignore[arg-type]
    x = torch.randn(2, 8, 7, 5)
    z = block.entry(x)
    branch, other = block.branch(z), block.shortcut(z)
    assert branch.shape == (2, 16, 4, 3)
    y = branch if other is None else branch + other
    torch.testing.assert_close(block(x), block.exit(y))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shortcut", ["A", "none"])
def test_nothing_is_written_into_the_input(kind: type[Block], shortcut: str) -> None:
    block = kind(8, 4, 8, shortcut=shortcut)  # type: ignore[arg-type]
    x = torch.randn(2, 8, 4, 4)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


def test_a_hook_on_the_sum_sees_branch_shortcut_and_sum() -> None:
    network = create("resnet20").eval()
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for block in network.modules():
        if isinstance(block, Block):
            assert block.add is not None
            block.add.register_forward_hook(
                lambda m, i, y: seen.append((i[0].clone(), i[1].clone(), y.clone()))
            )
    network(torch.randn(1, 3, 32, 32))
    assert len(seen) == 9
    for branch, shortcut, total in seen:
        torch.testing.assert_close(branch + shortcut, total)


@pytest.mark.parametrize(("variant", "strides"), [("v1", [2, 1, 1]), ("v1.5", [1, 2, 1])])
@pytest.mark.parametrize("kind", [Bottleneck, PreActivationBottleneck])
def test_the_variant_places_the_stride(kind: type[Block], variant: str, strides: list[int]) -> None:
    block = kind(8, 4, 16, stride=2, variant=variant)
    convolutions = [
        m for name, m in block.named_modules() if isinstance(m, nn.Conv2d) and "downsample" not in name
    ]
    assert [m.stride[0] for m in convolutions] == strides


def test_groups_and_widths_of_the_wide_and_the_grouped_network() -> None:
    with torch.device("meta"):
        wide, grouped = create("wide_resnet50_2"), create("resnext50_32x4d")
    assert wide.layer1[0].conv2.weight.shape == (128, 128, 3, 3)
    assert grouped.layer1[0].conv2.weight.shape == (128, 4, 3, 3)
    for network in (wide, grouped):
        assert network.layer4[2].conv3.weight.shape == (2048, 1024, 1, 1)
