"""Files of weights that were made to do harm: none runs code, none takes more memory than it has bytes."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from skipline.bundle import load_bundle, read_torch_file, torch_files
from skipline.bundle.safetensors_header import LARGEST_HEADER
from skipline.bundle.weight_files import read_tensors
from skipline.errors import InputError, WeightsError


class Evil:
    """Runs a command when it is unpickled by anything that runs code."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def evils(marker: Path) -> list[Evil]:
    return [
        Evil(os.system, f"touch {marker}"),
        Evil(exec, f"open({str(marker)!r}, 'w').close()"),
        Evil(eval, f"open({str(marker)!r}, 'w').close()"),
        Evil(subprocess.check_call, ["touch", str(marker)]),
        Evil(Path.touch, marker),
    ]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_no_pickle_runs_code(number: int, protocol: int, tmp_path: Path) -> None:
    marker, file = tmp_path / "ran", tmp_path / "evil.pt"
    evil = evils(marker)[number]
    pickle.loads(pickle.dumps(evil))
    assert marker.exists(), "the pickle must be one that works"
    marker.unlink()
    file.write_bytes(pickle.dumps({"state_dict": {"w": evil}}, protocol))
    with pytest.raises(WeightsError):
        read_tensors(file)
    for new in (True, False):
        torch.save({"w": torch.zeros(1), "x": evil}, file, _use_new_zipfile_serialization=new)
        with pytest.raises(WeightsError, match="nothing of it was run"):
            read_tensors(file)
    assert not marker.exists()


def with_pickle(content: bytes) -> bytes:
    """An archive like torch's with another pickle."""
    file = io.BytesIO()
    torch.save({}, file)
    made = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, content if entry.filename.endswith(".pkl") else old.read(entry))
    return made.getvalue()


def zipped(size: int, compression: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(size))
    return file.getvalue()


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bomb.pt"
    file.write_bytes(zipped(2**28, zipfile.ZIP_DEFLATED))
    assert file.stat().st_size < 2**20
    with pytest.raises(WeightsError, match="unpacks to more than it holds"):
        read_tensors(file)


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.pt"
    content = bytearray(zipped(2**20, zipfile.ZIP_STORED))
    end = content.rindex(b"PK\x05\x06")
    count, length, start = (
        struct.unpack("<H", content[end + 10 : end + 12])[0],
        *struct.unpack("<2L", content[end + 12 : end + 20]),
    )
    directory = bytes(content[start : start + length])
    many = directory * 50
    head = content[end : end + 8] + struct.pack("<2H2LH", count * 50, count * 50, len(many), start, 0)
    file.write_bytes(bytes(content[:start]) + many + bytes(head))
    with pytest.raises(WeightsError, match="unpacks to more than it holds"):
        read_tensors(file)


def test_two_directories_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "twofold.pt"
    torch.save({"w": torch.zeros(3)}, file)
    file.write_bytes(file.read_bytes() + b"a comment that torch never writes")
    with pytest.raises(WeightsError, match="is damaged or is no file of weights"):
        read_tensors(file)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_of_too_many_objects_is_not_built(
    new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_files, "LARGEST_PICKLE", 10_000)
    file = tmp_path / "many.pt"
    objects = b"\x80\x02](" + b"]" * 11_000 + b"e."
    magic = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    file.write_bytes(with_pickle(objects) if new else magic + objects)
    with pytest.raises(WeightsError, match="describes more objects than any network has"):
        read_torch_file(file)


def shared_tuples(levels: int) -> bytes:
    """A tuple of twice the same tuple of twice the same ...: 2^levels leaves in a few bytes a level."""
    parts = [b"\x80\x02", b")q\x00"]
    parts += [
        b"h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
        for level in range(levels)
    ]
    return b"".join(parts)


@pytest.mark.parametrize(
    "content",
    [
        shared_tuples(60) + b")R.",  # called: torch would print what is no function
        shared_tuples(60) + b")\x81.",
        shared_tuples(60) + b"Q.",  # as the name of a storage, which torch would print
        b"\x80\x02}" + shared_tuples(60)[2:] + b"K\x01s.",  # as a key, which would be hashed
        b"\x80\x02]q\x00]q\x01h\x00(h\x01h\x01eh\x01(h\x00h\x00ee.",  # grown after it was used
        b"\x80\x02cx\n" + b"y" * 100_000 + b"\n.",
        b"\x80\x02cx\n" + "é".encode() * 50_000 + b"\n.",
        b"\x80\x02cx\n" + b"y" * 100_000,
    ],
    ids=[
        "function",
        "class",
        "storage",
        "key",
        "late growth",
        "long name",
        "long name of other letters",
        "name without end",
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_what_would_take_for_ever_to_print_is_not_read(content: bytes, new: bool, tmp_path: Path) -> None:
    file = tmp_path / "laughs.pt"
    file.write_bytes(with_pickle(content) if new else content)
    with pytest.raises(WeightsError, match="describes more objects than any network has"):
        read_torch_file(file)


@pytest.mark.parametrize("new", [True, False])
def test_what_a_checkpoint_holds_twice_is_read(new: bool, tmp_path: Path) -> None:
    file = tmp_path / "tied.pt"
    tied, betas = torch.arange(3.0), (0.9, 0.999)
    content = {
        "a": tied,
        "b": tied,
        "optimizer": {"param_groups": [{"betas": betas, "lr": 0.1}, {"betas": betas, "lr": 0.2}]},
        "big": 2**200,
        "flags": {1, 2},
        "buffer": bytearray(b"abc"),
        "nested": [[1, [2, [3]]]] * 3,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    torch.save(content, file, _use_new_zipfile_serialization=new)
    found = read_torch_file(file)
    assert isinstance(found, dict)
    assert torch.equal(found["b"], tied)
    assert found["optimizer"] == content["optimizer"]
    assert found["nested"] == content["nested"]


def test_containers_within_themselves_come_to_an_end(tmp_path: Path) -> None:
    file = tmp_path / "round.pt"
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, file)
    with pytest.raises(WeightsError, match="holds no named tensors"):
        read_tensors(file)


def test_keys_that_are_no_texts_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "keys.pt"
    torch.save({("a", 1): torch.zeros(1), "w": torch.ones(1)}, file)
    assert list(read_tensors(file)) == ["w"]


def test_tensors_larger_than_their_file_are_never_filled(tmp_path: Path) -> None:
    file = tmp_path / "wide.pt"
    torch.save({"w": torch.zeros(1).expand(2**40)}, file)
    assert read_tensors(file)["w"].shape == (2**40,)


@pytest.mark.parametrize("length", [2**60, 2**63, 2**64 - 1, LARGEST_HEADER + 1, 10_000])
def test_a_huge_header_is_not_read(length: int, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(struct.pack("<Q", length) + b'{"w":' + b" " * 100)
    with pytest.raises(WeightsError, match=rf"claims a header of {length:,} bytes and has 113 bytes in all"):
        read_tensors(file)


def header(values: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "values",
    [
        {"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
        {"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}},
        {
            "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        },
    ],
    ids=["overflow", "beyond the end", "backwards", "negative", "no such type", "overlapping"],
)
def test_an_impossible_header_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(header(values, bytes(4)))
    with pytest.raises(WeightsError, match="is not a whole safetensors file"):
        read_tensors(file)


def test_numbers_that_no_network_has_are_refused(folder: Path, tmp_path: Path) -> None:
    file = folder / "weights.safetensors"
    tensors = load_file(file)
    tensors["conv1.weight"] = tensors["conv1.weight"].to(torch.complex64)
    save_file(tensors, file)
    with pytest.raises(WeightsError, match=r"numbers of a kind that no bundle has, in conv1\.weight"):
        load_bundle(folder)
    with pytest.raises(WeightsError, match=r"conv1\.weight is no dense tensor of real numbers"):
        read_tensors(file)
    small = tmp_path / "eight.safetensors"
    save_file({"w": torch.zeros(2).to(torch.float8_e4m3fn)}, small)
    with pytest.raises(WeightsError, match="w is no dense tensor of real numbers"):
        read_tensors(small)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    for file in (folder / "weights.safetensors", folder / "bundle.json"):
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(InputError):
            load_bundle(folder)
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(InputError, match="no such file of weights"):
        read_tensors(tmp_path / "pipe.pt")


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(classes=[str(k) for k in range(100_001)]),
        lambda v: v["preprocessing"].update(channels=10**9),
        lambda v: v["model"]["options"].update(seed=2**70),
        lambda v: v["model"]["options"].update(seed="x"),
        lambda v: v["model"]["options"].update(repeats=[10**9]),
        lambda v: v["model"]["options"].update(classes=10**4000),
        lambda v: v["model"]["options"].update(stochastic_depth="0.5"),
        lambda v: v["model"]["options"].update(shortcut={"a": [1] * 1000}),
        lambda v: v["model"].update(name="\x1b[2J" * 200),
        lambda v: v.update(classes=["x" * 1001, "b", "c"]),
        lambda v: v.update(format=10**4000),
    ],
    ids=lambda change: None,
)
def test_absurd_values_in_bundle_json_end_in_a_short_message(folder: Path, change: Any) -> None:
    file = folder / "bundle.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    with pytest.raises(InputError) as caught:
        load_bundle(folder)
    assert len(str(caught.value)) < 5000


def test_a_billion_classes_are_not_counted(folder: Path) -> None:
    file = folder / "bundle.json"
    values = json.loads(file.read_text())
    values["classes"] = ["K"]
    text = json.dumps(values).replace('"K"', ",".join(["0"] * 5_000_000))
    file.write_text(text)  # 10 MB: below the limit of the file
    with pytest.raises(WeightsError, match="classes: List should have at most 100000 items") as caught:
        load_bundle(folder)
    assert len(str(caught.value)) < 2000
