"""Grad-CAM where the map is known exactly, and Grad-CAM++ against its formula written as a loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipline.explanation import METHODS, find_layer
from skipline.explanation.gradcam import (
    activations_and_gradients,
    class_activation_map,
    gradcam_plus_plus_weights,
    gradcam_weights,
)
from skipline.models import create

FIRST, SECOND = torch.tensor([0]), torch.tensor([1])


def maps(
    network: nn.Module, images: torch.Tensor, classes: torch.Tensor, method: str = "gradcam", layer: str = ""
):
    found = find_layer(network, images.shape[1:], layer or None)
    return METHODS[method].maps(found)(network, images, classes)


def test_a_channel_that_copies_the_patch_gives_the_patch(copies, patch: torch.Tensor) -> None:
    # dy/dA of the mean is gain / 144 everywhere, so the map is the patch times that.
    assert maps(copies(gains=(2.0, 1.0)), patch, FIRST).allclose(2 / 144 * patch[:, 0])
    assert maps(copies(), patch, SECOND).allclose((1 - patch[:, 0]) / 144)


def test_what_speaks_against_the_class_leaves_the_map_empty(copies, patch: torch.Tensor) -> None:
    assert maps(copies(gains=(-1.0, 1.0)), patch, FIRST).count_nonzero() == 0


def test_a_coarse_map_is_enlarged_to_the_image(copies, patch: torch.Tensor) -> None:
    found = maps(copies(side=4), patch, FIRST)  # 3 x 3 cells; their means
    cells = F.avg_pool2d(patch, 4) / 9
    assert found.shape == (1, 12, 12)
    assert found.allclose(F.interpolate(cells, (12, 12), mode="bilinear")[:, 0])


def test_plus_plus_of_the_same_channel_is_the_patch_as_well(copies, patch: torch.Tensor) -> None:
    # g = 1 / 144 everywhere, S = sum of the patch: w = 144 * g / (2 + g S).
    g, total = 1 / 144, patch.sum().item()
    assert maps(copies(), patch, FIRST, "gradcam++").allclose(1 / (2 + g * total) * patch[:, 0])


def test_behind_average_pooling_grad_cam_is_cam() -> None:
    """Selvaraju et al., section 3.1: there the weights are those of the linear layer, over the number of places."""
    network = create("resnet20", classes=5, seed=3).eval()
    images = torch.randn(4, 3, 32, 32)
    classes = torch.tensor([0, 4, 2, 2])
    kept: list[torch.Tensor] = []
    network.layer3.register_forward_hook(lambda module, inputs, output: kept.append(output.detach()))
    with torch.no_grad():
        network(images)
    cam = torch.einsum("nc,nchw->nhw", network.fc.weight[classes], kept[0]).relu() / 64
    activations, gradients = activations_and_gradients(network, images, classes, "layer3")
    assert activations.equal(kept[0])
    assert class_activation_map(gradcam_weights(activations, gradients), activations).allclose(cam, atol=1e-6)


def test_plus_plus_is_equations_5_and_19_written_as_a_loop() -> None:
    activations, gradients = torch.rand(2, 3, 4, 5).double(), torch.randn(2, 3, 4, 5).double()
    gradients[0, 1, 2] = 0.0
    gradients[1, 2] = 0.0
    exp = 1.7  # exp(y^c), any: it is left out, since it scales all weights alike
    expected = torch.zeros(2, 3).double()
    for n in range(2):
        for k in range(3):
            total = activations[n, k].sum()
            for g in gradients[n, k].flatten():
                first, second, third = (
                    exp * g,
                    exp * g**2,
                    exp * g**3,
                )  # of Y^c = exp(y^c), equations 10 to 12
                if g != 0:
                    expected[n, k] += second / (2 * second + total * third) * first.clamp(min=0) / exp
    assert gradcam_plus_plus_weights(activations, gradients).allclose(expected)


def test_gradients_are_those_of_autograd_whatever_happens_in_place(
    tiny_network: Callable[[], nn.Module],
) -> None:
    network, images, classes = tiny_network().eval(), torch.randn(3, 3, 6, 6), torch.tensor([2, 0, 1])
    x = network.stem(images)
    whole = network.bn(x)
    y = network.conv(F.relu(whole)) + F.relu(whole)
    chosen = network.head(F.relu(y).mean((2, 3))).gather(1, classes[:, None]).sum()
    wanted = torch.autograd.grad(chosen, [whole, y])
    for layer, value, gradient in (("bn", whole, wanted[0]), ("relu", F.relu(y), None)):
        activations, found = activations_and_gradients(network, images, classes, layer)
        assert activations.allclose(value)  # what the layer put out, before it was written over
        if gradient is not None:
            assert found.allclose(gradient, atol=1e-7)
        else:  # of a layer that runs twice the last call counts
            share = network.head.weight[classes][:, :, None, None] / 36
            assert found.allclose(share.expand_as(found), atol=1e-7)


def test_the_network_is_left_as_it_was(tiny_network: Callable[[], nn.Module]) -> None:
    network = tiny_network().train()
    network.stem.eval()
    network.stem.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    activations_and_gradients(network, torch.randn(2, 3, 6, 6), torch.tensor([0, 1]), "conv")
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.is_grad_enabled()


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    network = create("resnet20", classes=5, seed=3)
    images, classes = torch.randn(3, 3, 32, 32), torch.tensor([0, 3, 1])
    together = maps(network, images, classes)
    for row in range(3):
        alone = maps(network, images[row : row + 1], classes[row : row + 1])
        assert together[row].allclose(alone[0], atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_a_logit_that_does_not_depend_on_the_layer_has_an_empty_map(method: str) -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([self.conv(x).mean((1, 2, 3)), x.mean((1, 2, 3))], 1)

    assert maps(Deaf(), torch.rand(1, 1, 4, 4), SECOND, method, "conv").count_nonzero() == 0
