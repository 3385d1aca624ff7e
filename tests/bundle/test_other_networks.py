"""Files of weights that belong to another network: what it has is named, and which one of ours would fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torchvision

from skipline.bundle import load_foreign
from skipline.bundle.lacking import traits_of
from skipline.bundle.recognise import recognise
from skipline.errors import WeightsError
from skipline.models import create, names

Tensors = dict[str, torch.Tensor]


def resnet50_keys() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in create("resnet50").state_dict().items()}


def deep_stem(keys: dict[str, tuple[int, ...]]) -> None:
    """timm's resnet50c: three convolutions with BN between them in place of one."""
    del keys["conv1.weight"]
    keys |= {"conv1.0.weight": (32, 3, 3, 3), "conv1.1.weight": (32,), "conv1.3.weight": (32, 32, 3, 3)}
    keys |= {"conv1.4.weight": (32,), "conv1.6.weight": (64, 32, 3, 3)}


def pooled_shortcuts(keys: dict[str, tuple[int, ...]]) -> None:
    """timm's resnet50d: the pool has index 0, so convolution and BN move up by one."""
    for key in [key for key in keys if ".downsample.1." in key]:
        keys[key.replace("downsample.1", "downsample.2")] = keys.pop(key)
    for key in [key for key in keys if ".downsample.0." in key]:
        keys[key.replace("downsample.0", "downsample.1")] = keys.pop(key)


def attention(keys: dict[str, tuple[int, ...]]) -> None:
    keys |= {"layer1.0.se.fc1.weight": (16, 256, 1, 1), "layer1.0.se.fc1.bias": (16,)}


def efficient_attention(keys: dict[str, tuple[int, ...]]) -> None:
    keys |= {"layer1.0.se.conv.weight": (1, 1, 5)}


def pooling_by_convolution(keys: dict[str, tuple[int, ...]]) -> None:
    keys |= {"maxpool.0.weight": (64, 64, 3, 3), "maxpool.1.weight": (64,)}


def group_norm(keys: dict[str, tuple[int, ...]]) -> None:
    for key in [key for key in keys if "running_" in key or "num_batches" in key]:
        del keys[key]


def folded(keys: dict[str, tuple[int, ...]]) -> None:
    for key in [key for key in keys if ".bn" in key or key.startswith("bn")]:
        del keys[key]
    keys |= {"layer1.0.conv1.bias": (64,)}


CHANGES = {
    deep_stem: "a stem of several 3x3 convolutions (a deep stem: ResNet-C, -D, -S, -T)",
    pooled_shortcuts: "average pooling in its shortcuts (ResNet-D)",
    attention: "squeeze-and-excitation or other channel attention (SE, ECA)",
    efficient_attention: "squeeze-and-excitation or other channel attention (SE, ECA)",
    pooling_by_convolution: "a convolution in place of the first pooling",
    group_norm: "normalisation without statistics of its own, such as group norm, in place of BN",
    folded: "BN folded into biases of its convolutions",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_a_variant_of_timm_has_is_named(change: object) -> None:
    keys = resnet50_keys()
    assert traits_of(keys) == ()
    change(keys)  # type: ignore[operator]
    assert traits_of(keys) == (CHANGES[change],)  # type: ignore[index]


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("stages.0.blocks.0.norm1.weight", "another family (stages.N.blocks.N"),
        ("stages.0.0.conv1.weight", "another family (stages.N.blocks.N"),
        ("blocks.3.attn.qkv.weight", "a vision transformer"),
        ("resnet.embedder.embedder.convolution.weight", "the key names of transformers"),
    ],
)
def test_other_families_are_named(key: str, what: str) -> None:
    assert what in traits_of({key: (8, 8)})[0]


def test_none_of_our_networks_has_any_of_it() -> None:
    for name in names():
        if name in ("resnet1202", "preact-resnet1202", "preact-resnet1001"):
            continue  # their keys are those of their smaller siblings
        with torch.device("meta"):
            state = create(name).state_dict()
        assert traits_of({key: tuple(value.shape) for key, value in state.items()}) == (), name


def test_the_error_says_what_the_file_has_and_the_network_lacks(tmp_path: Path) -> None:
    state = create("resnet18", classes=4).state_dict()
    keys = {key: tuple(value.shape) for key, value in state.items()}
    deep_stem(keys)
    pooled_shortcuts(keys)
    torch.save({key: torch.zeros(shape) for key, shape in keys.items()}, tmp_path / "resnet18d.pth")
    ours = create("resnet18", classes=4, seed=3)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_foreign(ours, tmp_path / "resnet18d.pth", new_head=None)
    message = str(caught.value)
    assert re.search(r"missing: conv1\.weight, layer2\.0\.downsample\.0\.weight", message)
    assert re.search(r"unexpected: .*conv1\.0\.weight", message)
    assert message.endswith(
        "The file is of another network: it has a stem of several 3x3 convolutions (a deep stem: ResNet-C, -D, -S, -T) "
        "and average pooling in its shortcuts (ResNet-D), which resnet18 lacks"
    )
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())


def test_the_error_names_the_network_that_fits(tmp_path: Path) -> None:
    torch.save(create("resnet32", classes=7).state_dict(), tmp_path / "w.pt")
    with pytest.raises(
        WeightsError, match=r"The file fits resnet32: take that network \(--model resnet32\)$"
    ):
        load_foreign(create("resnet20"), tmp_path / "w.pt")


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet34", "resnet50", "alexnet", "vgg11_bn", "resnext50_32x4d"]
)
def test_torchvisions_networks_are_recognised_whatever_their_classes(name: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(num_classes=17)
    assert recognise(theirs.state_dict()) == name.replace("_bn", "-bn")


def test_small_networks_are_recognised_in_any_layout_and_with_any_channels() -> None:
    with torch.device("meta"):
        grey = create("resnet20", classes=3, channels=1).state_dict()
        googlenet = create("googlenet", classes=5).state_dict()
        large = create("resnet18").state_dict()
        small = create("resnet18-small", classes=1000).state_dict()
    theirs = {key.replace("fc.", "linear."): value for key, value in grey.items()}
    assert recognise(theirs) == "resnet20"
    assert recognise(googlenet) == "googlenet"
    assert (recognise(large), recognise(small)) == ("resnet18", "resnet18-small"), "another stem"
    del grey["bn1.weight"]
    assert recognise(grey) is None
