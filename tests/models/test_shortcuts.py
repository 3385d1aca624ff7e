"""Options A, B, C and none; the sum and its error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skipline.errors import InputError, ShapeMismatchError
from skipline.models import add, create
from skipline.models.blocks import BasicBlock
from skipline.models.shortcuts import ZeroPad, build_shortcut


def test_option_a_by_hand() -> None:
    x = torch.arange(2 * 3 * 3, dtype=torch.float32).reshape(1, 2, 3, 3)
    y = ZeroPad(2, 5, stride=2)(x)
    assert y.shape == (1, 5, 2, 2)  # 3 new channels: 1 before, 2 after
    assert y[0].tolist() == [
        [[0, 0], [0, 0]],
        [[0, 2], [6, 8]],
        [[9, 11], [15, 17]],
        [[0, 0], [0, 0]],
        [[0, 0], [0, 0]],
    ]


def test_option_a_keeps_channels_last() -> None:
    x = torch.randn(2, 16, 32, 32).to(memory_format=torch.channels_last)
    assert ZeroPad(16, 32, stride=2)(x).is_contiguous(memory_format=torch.channels_last)


def test_option_a_cannot_narrow() -> None:
    with pytest.raises(
        InputError, match="only add channels, but a block goes from 384 to 192: use shortcut B"
    ):
        create("lecture-resnet", shortcut="A")


def test_which_option_has_which_module_where() -> None:
    kinds = {
        option: [
            type(build_shortcut(option, 16, out, stride)).__name__
            for out, stride in ((16, 1), (32, 1), (16, 2))
        ]
        for option in ("A", "B", "C", "none")
    }
    assert kinds == {
        "A": ["Identity", "ZeroPad", "ZeroPad"],
        "B": ["Identity", "Projection", "Projection"],
        "C": ["Projection", "Projection", "Projection"],
        "none": ["NoneType", "NoneType", "NoneType"],
    }


def test_a_projection_is_a_strided_pixelwise_matrix() -> None:
    projection = build_shortcut("B", 2, 3, stride=2)
    assert isinstance(projection, nn.Sequential)
    with torch.no_grad():
        projection[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, -1.0]])[:, :, None, None])
    x = torch.randn(1, 2, 5, 5)
    got = projection.eval()(x) * (1 + projection[1].eps) ** 0.5  # undo BN's division
    expected = torch.stack([x[0, 0], 2 * x[0, 1], x[0, 0] - x[0, 1]])[None, :, ::2, ::2]
    torch.testing.assert_close(got, expected)


def test_the_sum_of_different_shapes_names_both_and_the_ways_out() -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        add(torch.zeros(1, 32, 16, 16), torch.zeros(1, 16, 32, 32))
    assert str(caught.value) == (
        "a residual branch of shape (1, 32, 16, 16) and a shortcut of shape (1, 16, 32, 32) cannot be added. "
        "Where a block changes the shape, use shortcut A (subsample with the stride of the branch and pad the new "
        "channels with zeros) or shortcut B (1x1 convolution with that stride)"
    )


def test_the_sum_never_broadcasts() -> None:
    with pytest.raises(ShapeMismatchError):
        add(torch.zeros(2, 8, 4, 4), torch.zeros(2, 8, 1, 1))


def test_a_block_with_a_wrong_shortcut_says_so_in_a_forward_pass() -> None:
    block = BasicBlock(16, 32, 32, stride=2)
    block.downsample = nn.Identity()
    with pytest.raises(
        ShapeMismatchError, match=r"\(1, 32, 4, 4\).*\(1, 16, 8, 8\).*shortcut A .*shortcut B"
    ):
        block(torch.zeros(1, 16, 8, 8))
