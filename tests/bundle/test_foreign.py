from __future__ import annotations

import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from skipline.bundle import evaluate, load_foreign
from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, open_source
from skipline.errors import InputError, WeightsError
from skipline.models import create

Tensors = dict[str, torch.Tensor]


def state_of(network: nn.Module) -> Tensors:
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(a: Tensors, b: Tensors) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def as_akamaster(state: Tensors) -> Tensors:
    """Our names turned back into theirs."""
    renamed = {}
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            renamed["module." + key.replace("fc.", "linear.").replace("downsample", "shortcut")] = value
    return renamed


@pytest.fixture
def target() -> nn.Module:
    """A network with other weights than the file's."""
    return create("resnet20", classes=3, seed=77)


@pytest.mark.parametrize(
    ("suffix", "wrap"),
    [
        (".pt", lambda s: s),
        (".pth", lambda s: {"state_dict": s, "epoch": 3, "best": torch.tensor(0.9)}),
        (".th", lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "best_prec1": 91.7}),
        (".pt", lambda s: {"model": {f"_orig_mod.module.{k}": v for k, v in s.items()}}),
        (".bin", lambda s: {"outer": 1, "model_state_dict": {f"model.{k}": v for k, v in s.items()}}),
    ],
)
def test_containers_and_prefixes_are_taken_off(
    network: nn.Module, target: nn.Module, tmp_path: Path, suffix: str, wrap: object
) -> None:
    file = tmp_path / f"weights{suffix}"
    torch.save(wrap(state_of(network)), file)  # type: ignore[operator]
    loaded = load_foreign(target, file)
    assert same(state_of(target), state_of(network))
    assert (loaded.layout, loaded.fresh, len(loaded.loaded)) == ("own", (), len(network.state_dict()))
    assert str(loaded) == f"{len(network.state_dict())} tensors from {file}"


def test_safetensors_bundles_and_runs_are_read(
    network: nn.Module, target: nn.Module, folder: Path, tmp_path: Path
) -> None:
    save_file(state_of(network), tmp_path / "w.safetensors")
    for place in (tmp_path / "w.safetensors", folder, folder.parent, str(folder)):
        fresh = create("resnet20", classes=3, seed=5)
        load_foreign(fresh, place)
        assert same(state_of(fresh), state_of(network))


def test_the_layout_of_akamaster_and_kuangliu(tmp_path: Path) -> None:
    theirs, ours = create("resnet20", shortcut="B", seed=1), create("resnet20", shortcut="B", seed=2)
    torch.save({"state_dict": as_akamaster(state_of(theirs))}, tmp_path / "w.th")
    loaded = load_foreign(ours, tmp_path / "w.th")
    assert loaded.layout == "akamaster"
    assert "in akamaster's layout" in str(loaded)
    assert same(state_of(ours), state_of(theirs))


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_torchvisions_layout(name: str, tmp_path: Path) -> None:
    arguments = {"aux_logits": True, "init_weights": False} if name == "googlenet" else {}
    theirs = getattr(torchvision.models, name)(num_classes=4, **arguments).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    ours = create(name, classes=4).eval()
    load_foreign(ours, tmp_path / "w.pth")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert ours(images) == pytest.approx(theirs(images).numpy(), abs=1e-5)


def test_other_shortcuts_are_an_error_with_a_remedy_and_nothing_is_loaded(tmp_path: Path) -> None:
    torch.save(create("resnet20", shortcut="B").state_dict(), tmp_path / "w.pt")
    ours = create("resnet20", shortcut="A")
    before = state_of(ours)
    with pytest.raises(WeightsError, match=r"layer2\.0\.downsample.*The file has other shortcuts"):
        load_foreign(ours, tmp_path / "w.pt")
    assert same(state_of(ours), before)


def test_missing_unexpected_and_wrongly_shaped_keys_are_listed_and_nothing_is_loaded(
    network: nn.Module, target: nn.Module, tmp_path: Path
) -> None:
    state = state_of(network)
    del state["bn1.weight"]
    state["extra"] = torch.zeros(2)
    state["conv1.weight"] = torch.zeros(16, 1, 3, 3)
    torch.save(state, tmp_path / "w.pt")
    before = state_of(target)
    message = (
        f"'{tmp_path / 'w.pt'}' does not fit the network: 1 missing: bn1.weight; 1 unexpected: extra; "
        "1 wrongly shaped: conv1.weight (expected 16x3x3x3, arrived 16x1x3x3). Create the network that the file was "
        "trained with (name, shortcut, channels), or bring another file"
    )
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        load_foreign(target, tmp_path / "w.pt")
    assert same(state_of(target), before)


def test_a_head_for_other_classes_is_never_kept_in_silence(network: nn.Module, tmp_path: Path) -> None:
    """super-gradients#1426: num_classes silently stays at the pretrained value."""
    torch.save(network.state_dict(), tmp_path / "w.pt")
    ours = create("resnet20", classes=5, seed=4)
    before = state_of(ours)
    with pytest.raises(
        WeightsError, match="The head is for 3 classes and the network for 5: load with new_head=True"
    ):
        load_foreign(ours, tmp_path / "w.pt")
    assert same(state_of(ours), before)
    loaded = load_foreign(ours, tmp_path / "w.pt", new_head=True)
    assert loaded.fresh == ("fc.weight", "fc.bias")
    assert loaded.replaced_classes == 3
    assert str(loaded).endswith("; new head (fc.weight, fc.bias) instead of the file's for 3 classes")
    after, source = state_of(ours), state_of(network)
    for key, value in after.items():
        assert torch.equal(value, before[key] if key.startswith("fc.") else source[key])
    assert ours(torch.zeros(1, 3, 16, 16)).shape == (1, 5)


def test_new_head_leaves_the_head_fresh_even_where_it_would_fit(
    network: nn.Module, target: nn.Module, tmp_path: Path
) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt")
    before = state_of(target)
    load_foreign(target, tmp_path / "w.pt", new_head=True)
    assert torch.equal(target.fc.weight, before["fc.weight"])
    assert torch.equal(target.conv1.weight, network.conv1.weight)


def test_a_file_without_a_head(network: nn.Module, target: nn.Module, tmp_path: Path) -> None:
    state = {key: value for key, value in state_of(network).items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="The file has no head: load with new_head=True"):
        load_foreign(target, tmp_path / "w.pt")
    assert load_foreign(target, tmp_path / "w.pt", new_head=True).replaced_classes is None


def test_every_head_of_a_network_with_auxiliary_ones_is_new(tmp_path: Path) -> None:
    torch.save(create("googlenet", classes=7).state_dict(), tmp_path / "w.pt")
    loaded = load_foreign(create("googlenet", classes=2), tmp_path / "w.pt", new_head=True)
    assert loaded.fresh == (
        "aux1.fc2.weight",
        "aux1.fc2.bias",
        "aux2.fc2.weight",
        "aux2.fc2.bias",
        "fc.weight",
        "fc.bias",
    )


def test_the_head_is_free_to_choose(network: nn.Module, target: nn.Module, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt")
    same_classes = load_foreign(target, tmp_path / "w.pt", new_head=None)
    assert (same_classes.fresh, same_classes.kept_classes) == ((), 3)
    assert str(same_classes).endswith("; the file's head for 3 classes kept")
    assert torch.equal(target.fc.weight, network.fc.weight)
    others = load_foreign(create("resnet20", classes=5), tmp_path / "w.pt", new_head=None)
    assert (others.replaced_classes, others.kept_classes) == (3, None)
    assert str(others).endswith("; new head (fc.weight, fc.bias) instead of the file's for 3 classes")


def test_auxiliary_heads_that_the_file_lacks_are_new_and_the_main_one_is_kept(tmp_path: Path) -> None:
    """What torchvision.models.googlenet(weights=...) saves: it drops its auxiliary heads."""
    state = create("googlenet", classes=3, seed=1).state_dict()
    torch.save({key: value for key, value in state.items() if not key.startswith("aux")}, tmp_path / "w.pt")
    ours = create("googlenet", classes=3, seed=2)
    loaded = load_foreign(ours, tmp_path / "w.pt", new_head=None)
    assert {key.partition(".")[0] for key in loaded.fresh} == {"aux1", "aux2"}
    assert "aux1.conv.conv.weight" in loaded.fresh
    assert torch.equal(ours.fc.weight, state["fc.weight"])


@pytest.mark.parametrize(
    ("channels", "rule"),
    [(1, "sum over RGB (3 -> 1 channel)"), (4, "repeat and rescale (3 -> 4 channels)")],
)
def test_other_image_channels_adapt_the_first_convolution_where_wished(
    network: nn.Module, tmp_path: Path, channels: int, rule: str
) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt")
    ours = create("resnet20", classes=3, channels=channels, seed=9)
    with pytest.raises(WeightsError, match=r"1 wrongly shaped: conv1\.weight"):
        load_foreign(ours, tmp_path / "w.pt")
    loaded = load_foreign(ours, tmp_path / "w.pt", adapt_channels=True)
    assert loaded.adapted == rule
    assert str(loaded).endswith(f"; first convolution: {rule}")
    assert ours.conv1.weight.shape[1] == channels
    if channels == 1:
        grey = torch.randn(2, 1, 16, 16)
        expected = network.eval()(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(ours.eval()(grey), expected, rtol=1e-4, atol=1e-4)


def test_a_first_convolution_of_another_shape_is_not_adapted(tmp_path: Path) -> None:
    """quick-resnet8 has a stem that widens with the channels: nothing could be kept."""
    torch.save(create("quick-resnet8", classes=3).state_dict(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"conv1\.weight \(expected 8x1x2x2, arrived 24x3x2x2\)"):
        load_foreign(create("quick-resnet8", classes=3, channels=1), tmp_path / "w.pt", adapt_channels=True)


def test_heads_of_timm_that_are_convolutions_are_read(
    network: nn.Module, target: nn.Module, tmp_path: Path
) -> None:
    state = {key: value for key, value in state_of(network).items() if not key.startswith("fc.")}
    state |= {"head.fc.weight": network.fc.weight.detach()[:, :, None, None], "head.fc.bias": network.fc.bias}
    torch.save(state, tmp_path / "w.pt")
    assert load_foreign(target, tmp_path / "w.pt").layout == "timm"
    assert same(state_of(target), state_of(network))


class Evil:
    """What a pickle from a stranger may hold."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("how", ["zip", "legacy", "raw"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(
    target: nn.Module, tmp_path: Path, how: str
) -> None:
    """fastai#2814, fastai#3921: pickled models can run code."""
    file, marker = tmp_path / "w.pt", tmp_path / "executed"
    content = {"state_dict": Evil(marker)}
    if how == "raw":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how == "zip")
    before = state_of(target)
    with pytest.raises(
        WeightsError, match=r"(asks for \w+\.mkdir|is no plain file of tensors), .*: nothing of it was run"
    ):
        load_foreign(target, file)
    assert not marker.exists()
    assert same(state_of(target), before)
    pickle.loads(pickle.dumps(Evil(marker)))
    assert marker.exists()  # so the trap would have sprung


def test_a_whole_pickled_network_is_refused_with_a_remedy(target: nn.Module, tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"torch\.save\(network\.state_dict\(\), file\)") as caught:
        load_foreign(target, tmp_path / "w.pt")
    assert "weights_only=False" not in str(caught.value)  # PyTorch's own advice would run it


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.pt", b""),
        ("w.pt", b"hello, I am a text"),
        ("w.pt", b"<!DOCTYPE html>"),
        ("w.th", b"PK\x03\x04 half an archive"),
        ("w.safetensors", b""),
        ("w.safetensors", b"\xff" * 100),
    ],
)
def test_a_damaged_file_is_refused(target: nn.Module, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(name)):
        load_foreign(target, tmp_path / name)


def test_a_truncated_checkpoint_is_refused(network: nn.Module, target: nn.Module, tmp_path: Path) -> None:
    for legacy in (False, True):
        torch.save(network.state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
        content = (tmp_path / "w.pt").read_bytes()
        (tmp_path / "w.pt").write_bytes(content[: len(content) // 2])
        with pytest.raises(WeightsError, match="is damaged or is no file of weights"):
            load_foreign(target, tmp_path / "w.pt")


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {"epoch": 3}}, torch.zeros(3)])
def test_a_file_without_named_tensors(target: nn.Module, tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(
        WeightsError, match=r"holds no named tensors\. Expected a state dict, alone or under state_dict"
    ):
        load_foreign(target, tmp_path / "w.pt")


@pytest.mark.parametrize(
    "odd",
    [
        lambda t: torch.empty_like(t, device="meta"),
        lambda t: t.to_sparse(),
        lambda t: torch.complex(t, t),
    ],
    ids=["no content", "sparse", "complex"],
)
def test_tensors_that_cannot_be_copied_are_refused_before_anything_is(
    network: nn.Module, target: nn.Module, tmp_path: Path, odd: object
) -> None:
    state = state_of(network)
    state["fc.weight"] = odd(state["fc.weight"])  # type: ignore[operator]
    torch.save(state, tmp_path / "w.pt")
    before = state_of(target)
    with pytest.raises(WeightsError, match=r"fc\.weight is no dense tensor of real numbers"):
        load_foreign(target, tmp_path / "w.pt")
    assert same(state_of(target), before)


def test_weights_of_a_run_that_diverged_are_refused(
    network: nn.Module, target: nn.Module, tmp_path: Path
) -> None:
    state = state_of(network)
    state["bn1.bias"][3] = float("nan")
    torch.save(state, tmp_path / "w.pt")
    before = state_of(target)
    with pytest.raises(WeightsError, match=r"values that are not finite in bn1\.bias"):
        load_foreign(target, tmp_path / "w.pt")
    assert same(state_of(target), before)


def test_there_is_no_such_file(target: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no such file of weights .*Expected \.safetensors, \.th, \.pt or \.pth"
    ):
        load_foreign(target, tmp_path / "gone.pt")


def test_half_precision_is_converted(network: nn.Module, target: nn.Module, tmp_path: Path) -> None:
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in state_of(network).items()}, tmp_path / "w.pt"
    )
    load_foreign(target, tmp_path / "w.pt")
    assert target.conv1.weight.dtype == torch.float32
    assert target.conv1.weight.detach() == pytest.approx(network.conv1.weight.detach(), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "file", "every", "top1"),
    # resnet32 scores 0.8256 on all 10,000 images; a fifth of them shows as well that its weights are in their places.
    [("resnet20", "resnet20-12fca82f.th", 1, 0.8103), ("resnet32", "resnet32-d509ac18.th", 5, 0.8190)],
)
def test_published_checkpoints_reach_their_accuracy(
    shared: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    file: str,
    every: int,
    top1: float,
) -> None:
    """akamaster's ResNets on the test split of the JPEG copy of CIFAR-10, ImageNet statistics, fp32."""
    monkeypatch.setenv("SKIPLINE_HOME", str(shared_cache))
    test = open_source(shared / "data" / "cifar10-jpeg.tar").test
    test = replace(test, images=test.images[::every], labels=test.labels[::every], files=())
    network = create(name, classes=10)
    loaded = load_foreign(network, shared / "weights" / file)
    assert loaded.layout == "akamaster"
    result = evaluate(network, test, Preprocessing(3, 32, 32, IMAGENET_MEAN, IMAGENET_STD))
    assert result.n == 10_000 // every
    assert result.top1 == pytest.approx(
        top1, abs=1.1 / result.n
    )  # one image may tip over on another processor
