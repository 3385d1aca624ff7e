"""What a file of weights has and the networks here lack, told from its keys: it is of another network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Trait:
    """One thing that networks of others have.

    Attributes:
        name: as people call it, to stand behind "it has".
        shown_by: whether keys and shapes show it.
    """

    name: str
    shown_by: Callable[[Shapes], bool]


def _key(pattern: str) -> Callable[[Shapes], bool]:
    expression = re.compile(pattern)
    return lambda shapes: any(expression.search(key) for key in shapes)


def _pooled_shortcut(shapes: Shapes) -> bool:
    """A pool takes the place of index 0, so that the convolution is at 1 and its BN at 2."""
    return any(
        re.search(r"^layer\d+\.\d+\.downsample\.1\.weight$", key) and len(shape) == 4
        for key, shape in shapes.items()
    )


def _without_statistics(shapes: Shapes) -> bool:
    norms = _key(r"(^|\.)bn\d\.weight$")(shapes)
    return norms and not _key(r"\.running_mean$")(shapes)


def _folded(shapes: Shapes) -> bool:
    biased = any(re.search(r"^layer\d+\.\d+\.conv\d\.bias$", key) for key in shapes)
    return biased and not _key(r"(^|\.)bn\d\.")(shapes)


TRAITS = (
    Trait(
        "a stem of several 3x3 convolutions (a deep stem: ResNet-C, -D, -S, -T)",
        _key(r"^conv1\.\d+\.weight$"),
    ),
    Trait("average pooling in its shortcuts (ResNet-D)", _pooled_shortcut),
    Trait(
        "squeeze-and-excitation or other channel attention (SE, ECA)",
        _key(r"^layer\d+\.\d+\.(se|attn|se_module)\."),
    ),
    Trait("a convolution in place of the first pooling", _key(r"^maxpool\.\d+\.weight$")),
    Trait(
        "normalisation without statistics of its own, such as group norm, in place of BN", _without_statistics
    ),
    Trait("BN folded into biases of its convolutions", _folded),
    Trait(
        "the blocks of another family (stages.N.blocks.N: pre-activation ResNet of timm, RegNet, ConvNeXt, ...)",
        _key(r"^stages\.\d+\."),
    ),
    Trait("the blocks of a vision transformer", _key(r"^blocks\.\d+\.(attn|norm1|mlp)\.")),
    Trait("the key names of transformers, not of timm or torchvision", _key(r"(^|\.)embedder\.")),
)


def traits_of(shapes: Shapes) -> tuple[str, ...]:
    """What the keys show that no network of the catalogue has.

    Args:
        shapes: of the tensors in a file, by name.

    Returns:
        Phrases that go on "it has", in a fixed order; empty where nothing is known.
    """
    return tuple(trait.name for trait in TRAITS if trait.shown_by(shapes))


def listed(phrases: tuple[str, ...]) -> str:
    """Phrases as a sentence has them: "a, b and c"."""
    *others, last = phrases
    return f"{', '.join(others)} and {last}" if others else last
