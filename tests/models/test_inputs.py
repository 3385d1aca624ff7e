"""Images that a network cannot take are refused in words, at exactly the size where its layers give up."""

from __future__ import annotations

import pytest
import torch

from skipline.errors import ShapeMismatchError
from skipline.models import create
from skipline.models.network import Network

LIMITED = [
    ("alexnet", 63),
    ("vgg11", 32),
    ("vgg11-bn", 32),
    ("googlenet", 15),
    ("lecture-alexnet", 24),
    ("lecture-vgg", 8),
    ("lecture-resnet", 8),
]


@pytest.fixture(params=LIMITED, ids=lambda case: case[0])
def limited(request: pytest.FixtureRequest) -> tuple[Network, int]:
    name, side = request.param
    with torch.device("meta"):
        return create(name, classes=2).eval(), side


def test_the_smallest_side_works_and_the_next_does_not(
    limited: tuple[Network, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, side = limited
    assert network.minimum_side == side
    assert network(torch.empty(1, 3, side, side, device="meta")).shape == (1, 2)
    with pytest.raises(ShapeMismatchError):
        network(torch.empty(1, 3, side - 1, side + 9, device="meta"))
    monkeypatch.setattr(Network, "check", lambda self, images: images)
    with pytest.raises(RuntimeError):  # without the check, some layer fails: the limit is not set too high
        network(torch.empty(1, 3, side - 1, side - 1, device="meta"))


def test_the_message_names_both_sizes() -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        create("lecture-alexnet")(torch.zeros(1, 3, 8, 8))
    assert str(caught.value) == (
        "lecture-alexnet takes images of at least 24 x 24 pixels, got 8 x 8: enlarge the images, or take a network for "
        "small ones, such as resnet20 or resnet18-small"
    )


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (3, 32, 32), (2, 4, 32, 32)])
def test_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        create("resnet20")(torch.zeros(shape))
    assert str(caught.value) == (
        f"resnet20 takes images of shape (N, 3, height, width), got {shape}: bring the images to this shape, or create "
        "the network with channels= those of the images"
    )
