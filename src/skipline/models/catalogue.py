"""Every network by name, one row each. To add one, add a row; a test compares its two counts with `cost`.

Counts are those of the row as it stands, with its own classes, image and options. They are written down
so that the list of all networks takes no time: the network of 1202 layers alone takes a second to build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from skipline.errors import UnknownNameError
from skipline.models import lecture
from skipline.models.alexnet import AlexNet
from skipline.models.blocks import BasicBlock, Bottleneck, PreActivationBasicBlock, PreActivationBottleneck
from skipline.models.dimension import SERIES
from skipline.models.googlenet import GoogLeNet
from skipline.models.lecture import PlainLectureNetwork, ResidualLectureNetwork
from skipline.models.network import Network
from skipline.models.quick import QuickResNet
from skipline.models.resnet import ResNet
from skipline.models.vgg import VGG


@dataclass(frozen=True)
class Spec:
    """One network of the catalogue.

    Attributes:
        name: what `create` and the command line take.
        family: what networks built alike share.
        params: number of parameters that a prediction uses.
        macs: multiply-adds of one image.
        input: (C, H, W) of an image, or (C, L) of a series, that the network was made for; others work too.
        classes: K that it was made for; others work too.
        network: constructor.
        settings: its arguments beside channels and classes; `shortcut` and `variant`, where a network has
            them, are defaults that `create` may override.
    """

    name: str
    family: str
    params: int
    macs: int
    input: tuple[int, ...]
    classes: int
    network: Callable[..., Network]
    settings: Mapping[str, Any]


_PHOTO = ((3, 224, 224), 1000)  # ImageNet
_SMALL = ((3, 32, 32), 10)  # CIFAR-10

_LARGE: dict[str, Any] = {"stem": "7x7", "stem_channels": 64, "widths": (64, 128, 256, 512)}
_BASIC = _LARGE | {"block": BasicBlock, "shortcut": "B"}
_PLAIN = _LARGE | {"block": BasicBlock, "shortcut": "none"}
_BOTTLENECK = _LARGE | {"block": Bottleneck, "shortcut": "B", "variant": "v1.5"}

_LITTLE: dict[str, Any] = {"stem": "3x3", "stem_channels": 16, "widths": (16, 32, 64)}
_CIFAR = _LITTLE | {"block": BasicBlock, "shortcut": "A"}
_CIFAR_PLAIN = _LITTLE | {"block": BasicBlock, "shortcut": "none"}
_PREACT = _LITTLE | {"block": PreActivationBasicBlock, "shortcut": "A"}
_PREACT_BOTTLENECK = _LITTLE | {"block": PreActivationBottleneck, "shortcut": "B", "variant": "v1"}
_WIDE = _LITTLE | {"block": PreActivationBasicBlock, "shortcut": "B"}

# fmt: off
_IMAGES = (
    Spec("resnet18", "resnet", 11_689_512, 1_814_073_344, *_PHOTO,
         ResNet, _BASIC | {"repeats": (2, 2, 2, 2)}),
    Spec("resnet26", "resnet", 15_995_176, 2_342_256_640, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (2, 2, 2, 2)}),
    Spec("resnet34", "resnet", 21_797_672, 3_663_761_408, *_PHOTO,
         ResNet, _BASIC | {"repeats": (3, 4, 6, 3)}),
    Spec("resnet50", "resnet", 25_557_032, 4_089_184_256, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 4, 6, 3)}),
    Spec("resnet101", "resnet", 44_549_160, 7_801_405_440, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 4, 23, 3)}),
    Spec("resnet152", "resnet", 60_192_808, 11_513_626_624, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 8, 36, 3)}),
    Spec("wide_resnet50_2", "resnet", 68_883_240, 11_398_021_120, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 4, 6, 3), "width_per_group": 128}),
    Spec("resnext50_32x4d", "resnet", 25_028_904, 4_230_479_872, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 4, 6, 3), "groups": 32, "width_per_group": 4}),
    Spec("wide_resnet101_2", "resnet", 126_886_696, 22_753_050_624, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 4, 23, 3), "width_per_group": 128}),
    Spec("resnext101_32x8d", "resnet", 88_791_336, 16_414_015_488, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 4, 23, 3), "groups": 32, "width_per_group": 8}),
    Spec("resnext101_64x4d", "resnet", 83_455_272, 15_460_270_080, *_PHOTO,
         ResNet, _BOTTLENECK | {"repeats": (3, 4, 23, 3), "groups": 64, "width_per_group": 4}),
    Spec("plain18", "plain", 11_515_688, 1_794_805_760, *_PHOTO,
         ResNet, _PLAIN | {"repeats": (2, 2, 2, 2)}),
    Spec("plain34", "plain", 21_623_848, 3_644_493_824, *_PHOTO,
         ResNet, _PLAIN | {"repeats": (3, 4, 6, 3)}),

    Spec("resnet18-small", "cifar-resnet", 11_173_962, 555_422_720, *_SMALL,
         ResNet, _BASIC | {"repeats": (2, 2, 2, 2), "stem": "3x3"}),
    Spec("resnet20", "cifar-resnet", 269_722, 40_551_040, *_SMALL,
         ResNet, _CIFAR | {"repeats": (3,) * 3}),
    Spec("resnet32", "cifar-resnet", 464_154, 68_862_592, *_SMALL,
         ResNet, _CIFAR | {"repeats": (5,) * 3}),
    Spec("resnet44", "cifar-resnet", 658_586, 97_174_144, *_SMALL,
         ResNet, _CIFAR | {"repeats": (7,) * 3}),
    Spec("resnet56", "cifar-resnet", 853_018, 125_485_696, *_SMALL,
         ResNet, _CIFAR | {"repeats": (9,) * 3}),
    Spec("resnet110", "cifar-resnet", 1_727_962, 252_887_680, *_SMALL,
         ResNet, _CIFAR | {"repeats": (18,) * 3}),
    Spec("resnet1202", "cifar-resnet", 19_421_274, 2_829_238_912, *_SMALL,
         ResNet, _CIFAR | {"repeats": (200,) * 3}),
    Spec("plain20", "cifar-plain", 269_722, 40_551_040, *_SMALL,
         ResNet, _CIFAR_PLAIN | {"repeats": (3,) * 3}),
    Spec("plain32", "cifar-plain", 464_154, 68_862_592, *_SMALL,
         ResNet, _CIFAR_PLAIN | {"repeats": (5,) * 3}),
    Spec("plain44", "cifar-plain", 658_586, 97_174_144, *_SMALL,
         ResNet, _CIFAR_PLAIN | {"repeats": (7,) * 3}),
    Spec("plain56", "cifar-plain", 853_018, 125_485_696, *_SMALL,
         ResNet, _CIFAR_PLAIN | {"repeats": (9,) * 3}),
    Spec("plain110", "cifar-plain", 1_727_962, 252_887_680, *_SMALL,
         ResNet, _CIFAR_PLAIN | {"repeats": (18,) * 3}),

    Spec("preact-resnet20", "preact-resnet", 269_722, 40_551_040, *_SMALL,
         ResNet, _PREACT | {"repeats": (3,) * 3}),
    Spec("preact-resnet32", "preact-resnet", 464_154, 68_862_592, *_SMALL,
         ResNet, _PREACT | {"repeats": (5,) * 3}),
    Spec("preact-resnet44", "preact-resnet", 658_586, 97_174_144, *_SMALL,
         ResNet, _PREACT | {"repeats": (7,) * 3}),
    Spec("preact-resnet56", "preact-resnet", 853_018, 125_485_696, *_SMALL,
         ResNet, _PREACT | {"repeats": (9,) * 3}),
    Spec("preact-resnet110", "preact-resnet", 1_727_962, 252_887_680, *_SMALL,
         ResNet, _PREACT | {"repeats": (18,) * 3}),
    Spec("preact-resnet164", "preact-resnet", 1_703_258, 244_500_992, *_SMALL,
         ResNet, _PREACT_BOTTLENECK | {"repeats": (18,) * 3}),
    Spec("preact-resnet1001", "preact-resnet", 10_327_706, 1_487_849_984, *_SMALL,
         ResNet, _PREACT_BOTTLENECK | {"repeats": (111,) * 3}),
    Spec("preact-resnet1202", "preact-resnet", 19_421_274, 2_829_238_912, *_SMALL,
         ResNet, _PREACT | {"repeats": (200,) * 3}),
    Spec("wrn-16-4", "wide-resnet", 2_748_890, 392_612_352, *_SMALL,
         ResNet, _WIDE | {"repeats": (2,) * 3, "widths": (64, 128, 256)}),
    Spec("wrn-28-10", "wide-resnet", 36_479_194, 5_243_328_768, *_SMALL,
         ResNet, _WIDE | {"repeats": (4,) * 3, "widths": (160, 320, 640)}),

    Spec("quick-resnet8", "quick-resnet", 498_104, 33_066_272, *_SMALL,
         QuickResNet, {"widths": (32, 128, 128), "shortcut": "A"}),
    Spec("quick-resnet8-wide", "quick-resnet", 1_161_272, 65_431_840, *_SMALL,
         QuickResNet, {"widths": (64, 128, 256), "shortcut": "A"}),
    Spec("quick-resnet8-wider", "quick-resnet", 1_972_792, 118_147_360, *_SMALL,
         QuickResNet, {"widths": (64, 256, 256), "shortcut": "A"}),

    Spec("alexnet", "alexnet", 61_100_840, 714_188_480, *_PHOTO,
         AlexNet, {}),
    Spec("vgg11", "vgg", 132_863_336, 7_609_090_048, *_PHOTO,
         VGG, {"repeats": (1, 1, 2, 2, 2), "normalise": False}),
    Spec("vgg13", "vgg", 133_047_848, 11_308_466_176, *_PHOTO,
         VGG, {"repeats": (2, 2, 2, 2, 2), "normalise": False}),
    Spec("vgg16", "vgg", 138_357_544, 15_470_264_320, *_PHOTO,
         VGG, {"repeats": (2, 2, 3, 3, 3), "normalise": False}),
    Spec("vgg19", "vgg", 143_667_240, 19_632_062_464, *_PHOTO,
         VGG, {"repeats": (2, 2, 4, 4, 4), "normalise": False}),
    Spec("vgg11-bn", "vgg", 132_868_840, 7_609_090_048, *_PHOTO,
         VGG, {"repeats": (1, 1, 2, 2, 2), "normalise": True}),
    Spec("vgg13-bn", "vgg", 133_053_736, 11_308_466_176, *_PHOTO,
         VGG, {"repeats": (2, 2, 2, 2, 2), "normalise": True}),
    Spec("vgg16-bn", "vgg", 138_365_992, 15_470_264_320, *_PHOTO,
         VGG, {"repeats": (2, 2, 3, 3, 3), "normalise": True}),
    Spec("vgg19-bn", "vgg", 143_678_248, 19_632_062_464, *_PHOTO,
         VGG, {"repeats": (2, 2, 4, 4, 4), "normalise": True}),
    Spec("googlenet", "googlenet", 6_624_904, 1_498_376_192, *_PHOTO,
         GoogLeNet, {}),

    Spec("lecture-alexnet", "lecture", 3_638_090, 104_707_072, *_SMALL,
         PlainLectureNetwork, {"plan": lecture.ALEXNET}),
    Spec("lecture-vgg", "lecture", 1_894_490, 145_358_848, *_SMALL,
         PlainLectureNetwork, {"plan": lecture.VGG}),
    Spec("lecture-vgg-bn", "lecture", 1_896_522, 145_358_848, *_SMALL,
         PlainLectureNetwork, {"plan": lecture.VGG, "normalise": True}),
    Spec("lecture-vgg-bn-deep", "lecture", 3_227_850, 230_293_504, *_SMALL,
         PlainLectureNetwork, {"plan": lecture.VGG_DEEP, "normalise": True}),
    Spec("lecture-resnet", "lecture", 3_727_474, 282_198_016, *_SMALL,
         ResidualLectureNetwork, {"plan": lecture.RESNET, "shortcut": "B"}),
    Spec("lecture-resnet-deep", "lecture", 5_943_794, 423_755_776, *_SMALL,
         ResidualLectureNetwork, {"plan": lecture.RESNET_DEEP, "shortcut": "B"}),
)
# fmt: on

# Siblings for series, by the row for images that each is derived from: parameters and multiply-adds.
_SERIES = {
    "resnet18": (3_849_034, 174_298_112),
    "resnet34": (7_223_370, 356_750_336),
    "resnet50": (15_974_730, 799_264_768),
    "resnet101": (28_282_186, 1_583_599_616),
    "resnet152": (38_420_810, 2_275_659_776),
    "resnext50_32x4d": (22_048_330, 1_128_648_704),
    "plain18": (3_675_210, 166_958_080),
    "plain34": (7_049_546, 349_410_304),
    "resnet20": (91_162, 3_840_640),
    "resnet32": (156_570, 6_593_152),
    "resnet44": (221_978, 9_345_664),
    "resnet56": (287_386, 12_098_176),
    "resnet110": (581_722, 24_484_480),
    "plain20": (91_162, 3_840_640),
    "plain32": (156_570, 6_593_152),
    "plain44": (221_978, 9_345_664),
    "plain56": (287_386, 12_098_176),
    "plain110": (581_722, 24_484_480),
    "preact-resnet20": (91_162, 3_840_640),
    "preact-resnet32": (156_570, 6_593_152),
    "preact-resnet44": (221_978, 9_345_664),
    "preact-resnet56": (287_386, 12_098_176),
    "preact-resnet110": (581_722, 24_484_480),
    "preact-resnet164": (1_122_266, 46_637_568),
    "wrn-16-4": (948_314, 39_854_592),
    "wrn-28-10": (12_348_250, 522_334_464),
}


def table(rows: Iterable[Spec]) -> dict[str, Spec]:
    """Rows by name.

    Raises:
        ValueError: a name stands in two rows.
    """
    by_name: dict[str, Spec] = {}
    for row in rows:
        if row.name in by_name:
            raise ValueError(f"two rows of the catalogue are called '{row.name}'")
        by_name[row.name] = row
    return by_name


def for_series(row: Spec, params: int, macs: int) -> Spec:
    """The row of the network that has a kernel of length k where `row` has one of k x k, and is otherwise the same.

    Args:
        row: of a ResNet for images.
        params: of the sibling, for 10 classes and one channel.
        macs: of the sibling, on the series that its `input` names.
    """
    return replace(
        row,
        name=f"{row.name}-1d",
        family=f"{row.family.removeprefix('cifar-')}-1d",
        params=params,
        macs=macs,
        input=(1, 1024) if row.settings["stem"] == "7x7" else (1, 128),
        classes=10,
        settings={**row.settings, "dimension": SERIES},
    )


_BY_NAME = table(_IMAGES)
ROWS = (*_IMAGES, *(for_series(_BY_NAME[name], *counts) for name, counts in _SERIES.items()))
_TABLE = table(ROWS)


def names() -> tuple[str, ...]:
    """The names of all networks, in the order of the table."""
    return tuple(_TABLE)


def spec(name: str) -> Spec:
    """The row of one network.

    Raises:
        UnknownNameError: no such network; names the nearest ones.
    """
    try:
        return _TABLE[name]
    except KeyError:
        raise UnknownNameError("model", name, _TABLE, "`skipline models` lists all") from None


def family(name: str) -> tuple[Spec, ...]:
    """The rows of one family, in the order of the table.

    Raises:
        UnknownNameError: no such family; names the nearest ones.
    """
    found = tuple(row for row in ROWS if row.family == name)
    if not found:
        raise UnknownNameError("family of models", name, {row.family for row in ROWS})
    return found
