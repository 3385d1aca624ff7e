"""Which layer a class activation map is taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from torch import nn
from torch.nn.modules.conv import _ConvNd

from skipline.errors import InputError, UnknownNameError
from skipline.models.layer_cost import layer_costs

IDLE = (nn.MaxPool2d.__module__, nn.Dropout.__module__)  # where torch keeps what computes no new maps


@dataclass(frozen=True)
class Layer:
    """A module whose output is a set of feature maps.

    Attributes:
        name: path of the module.
        channels: number of maps.
        height: of a map.
        width: of a map.
    """

    name: str
    channels: int
    height: int
    width: int

    @property
    def size(self) -> str:
        """Of a map, as people write it."""
        return f"{self.height} x {self.width}"


def find_layer(network: nn.Module, input: Sequence[int], name: str | None = None) -> Layer:
    """The layer that a map is taken from.

    Selvaraju et al. (1610.02391, section 3) take the last convolution, where the maps stand for whole objects and
    still say where these are. Without a name it is found from the shapes that pass through the network: of the last
    convolution (that of a classifier does not count) with more than one pixel, the last module whose maps have the
    same sides. That is the output of the last stage, behind BN, sum and ReLU and before the pool that closes it:
    layer4 of resnet18, inception5b of googlenet, features.29 of vgg16 (conv5_3 of the paper).

    Args:
        network: any module; left as it is.
        input: (C, H, W) of one image.
        name: a layer of the user's choice.

    Raises:
        UnknownNameError: the network has no such module.
        InputError: the module takes no part or puts out something else than maps; or no layer puts out maps of more
            than one pixel.
    """
    rows, outputs = layer_costs(network, input)
    maps = {key: Layer(key, *shape) for key, shape in outputs.items() if key and len(shape) == 3}
    usual = _last_stage(network, [row.name for row in rows if row.macs], outputs, maps)
    if name is not None:
        return _chosen(network, name, outputs, maps, usual)
    if usual is None:
        raise InputError(
            "no layer of this network puts out maps (N, C, H, W) of more than one pixel, so that Grad-CAM has nothing "
            "to show: use larger images, or --method occlusion, which looks at the answers alone"
        )
    return usual


def _last_stage(
    network: nn.Module, weighted: list[str], outputs: dict[str, tuple[int, ...]], maps: dict[str, Layer]
) -> Layer | None:
    large = {key: layer for key, layer in maps.items() if min(layer.height, layer.width) > 1}
    # Linear layers, too, can return four dimensions, but channels last, as in ConvNeXt.
    convolutions = [
        key for key in weighted if key in large and isinstance(network.get_submodule(key), _ConvNd)
    ]
    if len(convolutions) > 1 and convolutions[-1] == weighted[-1]:
        head = convolutions[-1]
        if (
            outputs.get("", ())[:1] == outputs[head][:1]
        ):  # a map a class: the classifier, written as a convolution
            convolutions.remove(head)
            large = dict(takewhile(lambda item: item[0] != head, large.items()))
    if convolutions:
        last = large[convolutions[-1]]
        large = {key: x for key, x in large.items() if (x.height, x.width) == (last.height, last.width)}
    found = [layer for key, layer in large.items() if _computes(network.get_submodule(key))]
    return found[-1] if found else None


def _chosen(
    network: nn.Module,
    name: str,
    outputs: dict[str, tuple[int, ...]],
    maps: dict[str, Layer],
    usual: Layer | None,
) -> Layer:
    if name in maps:
        return maps[name]
    if not name or name not in dict(network.named_modules()):
        raise UnknownNameError("layer", name, maps, "`skipline summary` lists those of a network")
    other = f"choose another, such as {usual.name}" if usual is not None else "leave it out"
    if name not in outputs:
        raise InputError(f"the layer {name} takes no part in a prediction: {other}")
    arrived = ", ".join(["N", *map(str, outputs[name])])
    raise InputError(
        f"expected a layer that puts out maps (N, C, H, W), but {name} puts out ({arrived}): {other}"
    )


def _computes(module: nn.Module) -> bool:
    return not isinstance(module, nn.Identity) and type(module).__module__ not in IDLE
