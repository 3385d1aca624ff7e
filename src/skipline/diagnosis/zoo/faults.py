"""The fault zoo: every row is broken in one known way, and at least one rule must say so."""

from __future__ import annotations

from torch import nn

from skipline import models
from skipline.diagnosis.zoo import data
from skipline.diagnosis.zoo.case import Case
from skipline.diagnosis.zoo.networks import (
    Chain,
    Scale,
    ScaledResidual,
    StuckBatchNorm2d,
    Unmatched,
    weights_of,
)


def resnet20(classes: int, channels: int, seed: int) -> nn.Module:
    """A sound network, for faults that lie elsewhere."""
    return models.create("resnet20", classes=classes, channels=channels, seed=seed)


def no_normalisation(classes: int, channels: int, seed: int) -> nn.Module:
    """Twenty-four convolutions without BN, with PyTorch's own initialisation."""
    with weights_of(seed):
        return Chain(channels, classes, depth=24)


def lecture_vgg(classes: int, channels: int, seed: int) -> nn.Module:
    """The lecture's VGG without BN, which does not learn with its recipe."""
    return models.create("lecture-vgg", classes=classes, channels=channels, seed=seed)


def small_weights(classes: int, channels: int, seed: int) -> nn.Module:
    """Eight convolutions whose weights begin at a tenth of He's."""
    return _scaled(classes, channels, seed, 0.1)


def large_weights(classes: int, channels: int, seed: int) -> nn.Module:
    """Eight convolutions whose weights begin at ten times He's."""
    return _scaled(classes, channels, seed, 10.0)


def zero_weights(classes: int, channels: int, seed: int) -> nn.Module:
    """Eight convolutions whose weights all begin at 0: no gradient ever reaches them."""
    return _scaled(classes, channels, seed, 0.0)


def dead_relus(classes: int, channels: int, seed: int) -> nn.Module:
    """Eight convolutions whose biases of -5 keep every ReLU of the middle at 0."""
    with weights_of(seed):
        network = Chain(channels, classes, depth=8, he=True)
    for convolution in list(network.convolutions())[2:6]:
        assert convolution.bias is not None
        nn.init.constant_(convolution.bias, -5.0)
    return network


def no_running_statistics(classes: int, channels: int, seed: int) -> nn.Module:
    """resnet20 whose BN has momentum 0: in evaluation it uses statistics that were never gathered."""
    network = resnet20(classes, channels, seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    return network


def stuck_in_evaluation(classes: int, channels: int, seed: int) -> nn.Module:
    """Twelve convolutions whose BN stays in evaluation mode while they are trained, so that it normalises nothing."""
    with weights_of(seed):
        return Chain(channels, classes, depth=12, norm=StuckBatchNorm2d).train()


def plain_without_norm(classes: int, channels: int, seed: int) -> nn.Module:
    """Four convolutions, sound but for a batch that is too small."""
    with weights_of(seed):
        return Chain(channels, classes, depth=4, he=True)


def unscaled_input(classes: int, channels: int, seed: int) -> nn.Module:
    """Six convolutions that are given pixels from 0 to 255."""
    with weights_of(seed):
        return nn.Sequential(Scale(255.0), Chain(channels, classes, depth=6, he=True))


def plain56(classes: int, channels: int, seed: int) -> nn.Module:
    """Fifty-six layers with BN and without shortcuts."""
    return models.create("plain56", classes=classes, channels=channels, seed=seed)


def halved_shortcuts(classes: int, channels: int, seed: int) -> nn.Module:
    """Twelve residual blocks whose shortcuts are multiplied by 0.5 (1603.05027, section 3.1)."""
    with weights_of(seed):
        return ScaledResidual(channels, classes, blocks=12, factor=0.5)


def dropped_shortcuts(classes: int, channels: int, seed: int) -> nn.Module:
    """Twelve residual blocks with dropout on their shortcuts (1603.05027, section 3.1)."""
    with weights_of(seed):
        return ScaledResidual(channels, classes, blocks=12, dropout=0.5)


def frozen_branches(classes: int, channels: int, seed: int) -> nn.Module:
    """resnet20 whose last gammas begin at 0 and are frozen there: every block stays its shortcut."""
    network = models.create("resnet20", classes=classes, channels=channels, zero_gamma=True, seed=seed)
    for name, parameter in network.named_parameters():
        if name.endswith(("bn2.weight", "bn2.bias")):
            parameter.requires_grad_(False)
    return network


def frozen_layer(classes: int, channels: int, seed: int) -> nn.Module:
    """resnet20 with one stage frozen at its random weights."""
    network = resnet20(classes, channels, seed)
    network.get_submodule("layer2").requires_grad_(False)
    return network


def softmaxed(classes: int, channels: int, seed: int) -> nn.Module:
    """resnet20 with a softmax at its end, before a loss that takes logits."""
    return nn.Sequential(resnet20(classes, channels, seed), nn.Softmax(dim=1))


def unmatched_shapes(classes: int, channels: int, seed: int) -> nn.Module:
    """A block with stride 2 and twice the channels whose shortcut was left as the identity."""
    with weights_of(seed):
        return Unmatched(channels, classes)


def _scaled(classes: int, channels: int, seed: int, factor: float) -> Chain:
    with weights_of(seed):
        network = Chain(channels, classes, depth=8, he=True)
    for convolution in network.convolutions():
        convolution.weight.data.mul_(factor)
    return network


# fmt: off
FAULTS = (
    Case("no-normalisation", "vanishing gradient", "24 convolutions without normalisation",
         no_normalisation, also=("bad initialisation", "not learning", "stall", "dead ReLU")),
    Case("lecture-vgg", "vanishing gradient", "the lecture's deep VGG without BN, with its recipe", lecture_vgg,
         ("optimizer.kind=adam", "optimizer.lr=0.001", "optimizer.nesterov=false", "schedule.kind=constant",
          "batch_size=64"),
         side=16, also=("bad initialisation", "not learning", "stall", "dead ReLU")),
    Case("small-weights", "bad initialisation", "weights begin at a tenth of He's", small_weights,
         also=("vanishing gradient", "not learning", "stall")),
    Case("large-weights", "exploding gradient", "weights begin at ten times He's", large_weights,
         also=("bad initialisation", "dead ReLU", "rate too high", "not learning", "stall")),
    Case("zero-weights", "not learning", "all weights begin at 0", zero_weights,
         also=("bad initialisation", "vanishing gradient", "dead ReLU", "stall", "rate too low")),
    Case("rate-times-100", "rate too high", "a hundred times the recipe's learning rate", resnet20,
         ("optimizer.lr=5", "schedule.kind=constant"),
         also=("not learning", "stall", "exploding gradient", "dead ReLU", "BN pathology", "branch collapse",
               "vanishing gradient")),
    Case("rate-times-0.001", "rate too low", "a thousandth of the recipe's learning rate", resnet20,
         ("optimizer.lr=0.00005", "schedule.kind=constant"), also=("stall", "not learning")),
    Case("rate-dropped-early", "stall", "the rate falls to a ten-thousandth after 1 % of the run", resnet20,
         ("schedule.kind=step", "schedule.milestones=[0.01]", "schedule.gamma=0.0001"),
         also=("rate too low", "not learning")),
    Case("dead-relus", "dead ReLU", "biases of -5 in four of eight layers", dead_relus,
         also=("vanishing gradient", "not learning", "bad initialisation", "stall", "rate too low")),
    Case("bn-momentum-0", "BN pathology", "BN never gathers its running statistics", no_running_statistics),
    Case("bn-stuck-in-eval", "BN pathology", "BN in evaluation mode while training", stuck_in_evaluation,
         also=("vanishing gradient", "bad initialisation", "not learning", "stall", "dead ReLU")),
    Case("bn-batch-2", "BN pathology", "BN on batches of 2", resnet20, ("batch_size=2",),
         also=("small batch noise", "rate too high", "stall", "not learning", "dead ReLU")),
    Case("batch-2", "small batch noise", "batches of 2 without BN", plain_without_norm, ("batch_size=2",),
         also=("rate too high", "stall", "not learning", "dead ReLU")),
    Case("shuffled-labels", "label noise", "every training label is drawn anew", resnet20,
         data=data.shuffle_labels, also=("not learning", "stall", "overfitting")),
    Case("label-noise-20", "label noise", "one training label in five is wrong", resnet20,
         data=data.flip_labels, also=("stall",)),
    Case("duplicates", "duplicates", "held-out images stand among the training images", resnet20,
         data=data.leak_held_out),
    Case("imbalance-50", "class imbalance", "the largest class has 50 times the images of the smallest", resnet20,
         data=data.imbalance),
    Case("overfitting", "overfitting", "40 training images and no augmentation", resnet20,
         ("augmentation.pad_crop=0", "batch_size=40", "epochs=100"), data=data.keep_few),
    Case("unscaled-input", "bad input scaling", "pixels from 0 to 255", unscaled_input, ("input.normalise=none",),
         also=("exploding gradient", "bad initialisation", "dead ReLU", "rate too high", "not learning", "stall",
               "vanishing gradient")),
    Case("plain56", "degradation", "56 layers with BN, without shortcuts", plain56,
         also=("exploding gradient", "vanishing gradient", "not learning", "stall")),
    Case("shortcut-halved", "impeded shortcut", "shortcuts times 0.5", halved_shortcuts),
    Case("shortcut-dropout", "impeded shortcut", "dropout on the shortcuts", dropped_shortcuts),
    Case("branches-frozen-at-0", "branch collapse", "gammas of the residual branches frozen at 0", frozen_branches,
         also=("frozen layer", "vanishing gradient", "rate too low")),
    Case("frozen-stage", "frozen layer", "one stage left frozen at its random weights", frozen_layer),
    Case("softmaxed-outputs", "softmaxed outputs", "a softmax before the cross-entropy", softmaxed,
         also=("not learning", "stall")),
    Case("unmatched-shapes", "shape mismatch", "a stride-2 block beside an identity shortcut", unmatched_shapes),
)
# fmt: on
