"""The healthy zoo: no rule may raise an error on any of these."""

from __future__ import annotations

from typing import Any

from torch import nn

from skipline import models
from skipline.diagnosis.zoo.case import Build, Case
from skipline.diagnosis.zoo.networks import Chain, ScaledResidual, vgg11_bn, weights_of


def of_catalogue(name: str, **options: Any) -> Build:
    """Builder of a network of the catalogue."""

    def build(classes: int, channels: int, seed: int) -> nn.Module:
        return models.create(name, classes=classes, channels=channels, seed=seed, **options)

    return build


def vgg11(classes: int, channels: int, seed: int) -> nn.Module:
    """VGG-11 with BN for small images."""
    with weights_of(seed):
        return vgg11_bn(channels, classes)


def small_cnn(classes: int, channels: int, seed: int) -> nn.Module:
    """Four convolutions without BN: shallow enough not to need it."""
    with weights_of(seed):
        return Chain(channels, classes, depth=4, he=True)


def handwritten_residual(classes: int, channels: int, seed: int) -> nn.Module:
    """Eight residual blocks with in-place sums."""
    with weights_of(seed):
        return ScaledResidual(channels, classes, blocks=8)


LECTURE = ("optimizer.kind=adam", "optimizer.lr=0.001", "optimizer.nesterov=false", "schedule.kind=constant")
LARGE = ("batch_size=32",)  # these compute 30 to 150 M multiply-adds an image

# fmt: off
HEALTHY = (
    Case("lecture-alexnet", None, "the lecture's AlexNet with its recipe", of_catalogue("lecture-alexnet"),
         (*LECTURE, *LARGE), side=24),
    Case("lecture-vgg-bn", None, "the lecture's VGG with BN and its recipe", of_catalogue("lecture-vgg-bn"),
         (*LECTURE, *LARGE), side=16),
    Case("lecture-resnet", None, "the lecture's residual network with its recipe", of_catalogue("lecture-resnet"),
         (*LECTURE, *LARGE), side=16),
    Case("resnet20", None, "resnet20 with fresh weights", of_catalogue("resnet20")),
    Case("resnet20-trained", None, "resnet20 after 200 steps", of_catalogue("resnet20"), trained=200),
    Case("preact-resnet20", None, "resnet20 with full pre-activation", of_catalogue("preact-resnet20")),
    Case("zero-gamma-resnet18", None, "resnet18-small whose blocks begin as their shortcuts",
         of_catalogue("resnet18-small", zero_gamma=True), LARGE),
    Case("plain20", None, "20 layers with BN, which need no shortcuts", of_catalogue("plain20")),
    Case("vgg11-bn", None, "VGG-11 with BN for small images", vgg11, LARGE, side=32),
    Case("googlenet", None, "GoogLeNet with both auxiliary heads", of_catalogue("googlenet"), LARGE, side=32),
    Case("resnet56", None, "56 layers with shortcuts", of_catalogue("resnet56")),
    Case("small-cnn", None, "four convolutions without BN", small_cnn),
    Case("handwritten-residual", None, "a user's residual network with in-place sums", handwritten_residual),
)
# fmt: on
