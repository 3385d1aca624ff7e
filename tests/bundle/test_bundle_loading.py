from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_examples import CLASSES
from safetensors.torch import load_file, save_file

from skipline.bundle import load_bundle
from skipline.errors import InputError, WeightsError


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "bundle.json"
    values = json.loads(file.read_text())
    edit(values)
    file.write_text(json.dumps(values))


def change_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / "weights.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)


def test_a_run_folder_stands_for_the_bundle_in_it(folder: Path) -> None:
    assert load_bundle(folder.parent).classes == load_bundle(str(folder)).classes == CLASSES


def test_loading_leaves_the_generator_alone(folder: Path) -> None:
    before = torch.get_rng_state()
    load_bundle(folder)
    assert torch.equal(before, torch.get_rng_state())


def test_the_weights_no_longer_depend_on_the_file(folder: Path) -> None:
    network = load_bundle(folder).network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-4000:] = b"\xff" * 4000
    with (folder / "weights.safetensors").open("rb+") as file:
        file.write(content)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_there_is_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no such bundle or run .*nowhere'\. Expected a bundle \(a folder with"
    ):
        load_bundle(tmp_path / "nowhere")


def test_a_file_of_weights_is_no_bundle(folder: Path) -> None:
    with pytest.raises(InputError, match="a bare file of weights has neither class names nor preprocessing"):
        load_bundle(folder / "weights.safetensors")


def test_a_run_that_has_not_ended_says_so(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(InputError, match="has no bundle yet: it is written when training ends"):
        load_bundle(tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no bundle in .*Expected a bundle"):
        load_bundle(tmp_path)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "newer format": (
        lambda v: v.update(format=2),
        "has format 2; this skipline reads format 1: upgrade skipline",
    ),
    "no format": (lambda v: v.pop("format"), "format: Field required"),
    "format of another type": (lambda v: v.update(format="1"), "format: Input should be a valid integer"),
    "missing classes": (lambda v: v.pop("classes"), "classes: Field required"),
    "missing side": (lambda v: v["preprocessing"].pop("side"), "preprocessing.side: Field required"),
    "no classes": (lambda v: v.update(classes=[]), "classes: List should have at least 1 item"),
    "a class twice": (
        lambda v: v.update(classes=["cat", "dog", "cat"]),
        "class names must differ; named twice: cat",
    ),
    "a nameless class": (
        lambda v: v.update(classes=["cat", "dog", ""]),
        "classes.2: String should have at least 1",
    ),
    "classes that are numbers": (
        lambda v: v.update(classes=[1, 2, 3]),
        "classes.0: Input should be a valid string",
    ),
    "more means than channels": (
        lambda v: v["preprocessing"].update(mean=[0.5]),
        "preprocessing: Value error, mean and std need 3 values, one a channel",
    ),
    "std of zero": (
        lambda v: v["preprocessing"].update(std=[1.0, 0.0, 1.0]),
        "std.1: Input should be greater than 0",
    ),
    "NaN": (
        lambda v: v["preprocessing"].update(mean=[float("nan")] * 3),
        "mean.0: Input should be a finite number",
    ),
    "a huge side": (
        lambda v: v["preprocessing"].update(stored=10**9),
        "stored: Input should be less than or equal",
    ),
    "side above stored": (lambda v: v["preprocessing"].update(side=21), "side 21 is larger than stored 20"),
    "options against classes": (
        lambda v: v["model"]["options"].update(classes=10**12),
        "the model has classes=1000000000000, but classes and preprocessing say 3",
    ),
    "a model that does not exist": (lambda v: v["model"].update(name="resnet21"), "Did you mean resnet"),
    "an option that does not exist": (lambda v: v["model"]["options"].update(evil=1), "unexpected keyword"),
    "the name as an option": (lambda v: v["model"]["options"].update(name="resnet20"), "multiple values"),
    "an impossible option": (lambda v: v["model"]["options"].update(shortcut="Z"), "cannot be made"),
    "several mistakes": (
        lambda v: (v.pop("classes"), v["model"].update(name=7)),
        "model.name: Input should be a valid string; classes: Field required",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_impossible_bundle_json_is_refused_in_words(folder: Path, case: str) -> None:
    edit, message = BROKEN[case]
    change(folder, edit)
    with pytest.raises(WeightsError, match=re.escape(message)) as caught:
        load_bundle(folder)
    assert str(folder / "bundle.json") in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"[1, 2]", b"\xff\xfe", b"null", b'{"format": 1, "metrics": ' + b"[" * 100_000],
    ids=["empty", "text", "list", "no UTF-8", "null", "deep"],
)
def test_what_is_no_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"is not a bundle\.json of format 1"):
        load_bundle(folder)


def test_an_oversized_bundle_json_is_not_read(folder: Path) -> None:
    with (folder / "bundle.json").open("rb+") as file:
        file.truncate(2**34)  # sparse: takes no space, but reading it would take 16 GiB
    with pytest.raises(
        WeightsError,
        match=r"is no bundle\.json: it has 17,179,869,184 bytes, more than the 16,777,216 that such a file can",
    ):
        load_bundle(folder)


def test_unknown_keys_and_missing_metrics_are_fine(folder: Path) -> None:
    change(folder, lambda v: (v.pop("metrics"), v.pop("provenance"), v.update(later="addition")))
    bundle = load_bundle(folder)
    assert (bundle.metrics, bundle.provenance) == ({}, {})


def test_absurdly_many_classes_are_refused_without_allocating(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # alexnet for 100,000 classes would take 1.8 GB; the file's head has 3.
    change(folder, lambda v: v.update(classes=[str(k) for k in range(100_000)]))
    change(folder, lambda v: v.update(model={"name": "alexnet", "options": {}}))
    devices: set[str] = set()
    empty = torch.empty

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        made = empty(*args, **kwargs)
        devices.add(made.device.type)
        return made

    monkeypatch.setattr(torch, "empty", watched)
    with pytest.raises(WeightsError, match="does not fit alexnet"):
        load_bundle(folder)
    assert devices == {"meta"}


def test_other_classes_than_the_head_has(folder: Path) -> None:
    change(folder, lambda v: (v.update(classes=["cat", "dog"]), v["model"]["options"].pop("classes")))
    with pytest.raises(
        WeightsError,
        match=r"2 wrongly shaped: fc\.weight \(expected 2x64, arrived 3x64\), fc\.bias \(expected 2, arr",
    ):
        load_bundle(folder)


def test_missing_and_unexpected_tensors_are_listed(folder: Path) -> None:
    change_weights(folder, lambda t: (t.pop("conv1.weight"), t.update(extra=torch.zeros(1))))
    with pytest.raises(WeightsError, match=r"1 missing: conv1\.weight; 1 unexpected: extra"):
        load_bundle(folder)


def test_a_list_of_mismatches_is_cut(folder: Path) -> None:
    change(folder, lambda v: v["model"].update(name="resnet32"))
    with pytest.raises(WeightsError, match=r"\d+ missing: .* and \d+ more"):
        load_bundle(folder)


@pytest.mark.parametrize("keep", [0, 7, 1000, -100])
def test_a_truncated_file_of_weights(folder: Path, keep: int) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(
        WeightsError, match=r"cannot read .*Expected a whole safetensors file: copy (it|the bundle) again"
    ):
        load_bundle(folder)


def test_a_missing_file_of_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"cannot read .*weights\.safetensors"):
        load_bundle(folder)


def test_weights_of_half_precision_are_read_as_the_networks_own(folder: Path) -> None:
    change_weights(folder, lambda t: t.update({k: v.half() for k, v in t.items() if v.is_floating_point()}))
    assert {p.dtype for p in load_bundle(folder).network.parameters()} == {torch.float32}
