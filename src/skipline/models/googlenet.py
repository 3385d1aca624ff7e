"""GoogLeNet, that is Inception v1 (Szegedy et al., 1409.4842) with BN, in torchvision's layout."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from skipline.models.initialisation import he_initialise
from skipline.models.network import Network, Outputs


class ConvBNReLU(nn.Module):
    """Convolution without bias, BN, ReLU.

    Args:
        in_channels: channels of x.
        out_channels: channels of the result.
        side: side of the kernel, odd; the sides of x are kept at stride 1.
        stride: stride of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, side, stride=stride, padding=side // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        x = self.relu(self.bn(self.conv(x)))
        return x


class Inception(nn.Module):
    """Four branches over the same input, joined along the channels (figure 2b).

    The 1x1 ("pointwise") convolutions mix the channels of one pixel. In branches 2 and 3 they come first and
    reduce the channels, so that the 3x3 behind them stays cheap: in inception3a, 192 channels straight to 128
    by 3x3 would cost 173 M MACs; down to 96 by 1x1 first they cost 14 M + 87 M. In branch 4 one follows
    the pooling, which cannot reduce channels itself; branch 1 is one alone. The paper's branch 3 is 5x5;
    torchvision's is 3x3, and so is ours, because the published weights are.

    Args:
        in_channels: channels of x.
        one: channels of branch 1 (1x1).
        three: channels of branch 2, of its 1x1 and of its 3x3.
        five: channels of branch 3, of its 1x1 and of its 3x3.
        pool: channels of branch 4 (pooling, then 1x1).
    """

    def __init__(
        self, in_channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int
    ) -> None:
        super().__init__()
        self.branch1 = ConvBNReLU(in_channels, one, 1)
        self.branch2 = nn.Sequential(ConvBNReLU(in_channels, three[0], 1), ConvBNReLU(three[0], three[1], 3))
        self.branch3 = nn.Sequential(ConvBNReLU(in_channels, five[0], 1), ConvBNReLU(five[0], five[1], 3))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ConvBNReLU(in_channels, pool, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, one + three[1] + five[1] + pool, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class AuxiliaryHead(nn.Module):
    """A classifier in the middle of the network that brings gradient to the layers below it (section 5).

    Args:
        in_channels: channels of x.
        classes: K.
    """

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvBNReLU(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, K)."""
        x = torch.flatten(self.conv(self.pool(x)), 1)  # (N, 2048)
        x = self.fc2(self.dropout(self.relu(self.fc1(x))))  # (N, K)
        return x


class GoogLeNet(Network):
    """Nine Inception modules, average pooling and one linear layer; two auxiliary heads in training.

    In training mode the result is `Outputs(logits, auxiliary)`, and the loss is that of the logits plus 0.3
    times that of each auxiliary head. In eval mode it is the logits, and the auxiliary heads are not run.
    torchvision's published weights want images on the scale -1 to 1 (mean 0.5, deviation 0.5).

    Args:
        channels: C of the images.
        classes: K.
    """

    minimum_side = 15
    classifiers: ClassVar[tuple[str, ...]] = ("fc", "aux1.fc2", "aux2.fc2")

    def __init__(self, *, channels: int = 3, classes: int = 1000) -> None:
        super().__init__(channels, classes)
        self.conv1 = ConvBNReLU(channels, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvBNReLU(64, 64, 1)
        self.conv3 = ConvBNReLU(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, 64, (96, 128), (16, 32), 32)
        self.inception3b = Inception(256, 128, (128, 192), (32, 96), 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(480, 192, (96, 208), (16, 48), 64)
        self.inception4b = Inception(512, 160, (112, 224), (24, 64), 64)
        self.inception4c = Inception(512, 128, (128, 256), (24, 64), 64)
        self.inception4d = Inception(512, 112, (144, 288), (32, 64), 64)
        self.inception4e = Inception(528, 256, (160, 320), (32, 128), 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(832, 256, (160, 320), (32, 128), 128)
        self.inception5b = Inception(832, 384, (192, 384), (48, 128), 128)
        self.aux1 = AuxiliaryHead(512, classes)
        self.aux2 = AuxiliaryHead(528, classes)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, classes)
        he_initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor | Outputs:
        """Logits (N, K) of images (N, C, H, W); in training mode with those of the auxiliary heads."""
        x = self.maxpool1(self.conv1(self.check(images)))  # (N, 64, 56, 56) for 224 x 224
        x = self.maxpool2(self.conv3(self.conv2(x)))  # (N, 192, 28, 28)
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # (N, 480, 14, 14)
        lower = x = self.inception4a(x)  # (N, 512, 14, 14)
        upper = x = self.inception4d(self.inception4c(self.inception4b(x)))  # (N, 528, 14, 14)
        x = self.maxpool4(self.inception4e(x))  # (N, 832, 7, 7)
        x = self.inception5b(self.inception5a(x))  # (N, 1024, 7, 7)
        logits: torch.Tensor = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))  # (N, K)
        if not self.training:
            return logits
        return Outputs(logits, (self.aux1(lower), self.aux2(upper)))
