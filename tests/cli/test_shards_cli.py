"""`skipline data pack` and `verify`, and training from what they made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Run

from skipline.cli.shards import bytes_of
from skipline.errors import InputError

pytest.importorskip("webdataset", reason="the extra shards is not installed")
QUICK = [
    "--epochs",
    "1",
    "--threads",
    "1",
    "--set",
    "batch_size=256",
    "--set",
    "precision=fp32",
    "--no-probes",
]


@pytest.fixture
def packed(run: Run, tmp_path: Path) -> Path:
    """The digits in shards, made by the command."""
    assert run("data", "pack", "digits", "--shards", tmp_path / "set", "--shard-size", "300KB").status == 0
    return tmp_path / "set"


def test_pack_says_what_it_made(run: Run, tmp_path: Path) -> None:
    result = run("data", "pack", "digits", "--shards", tmp_path / "set", "--shard-size", "300KB", "--verify")
    lines = result.out.splitlines()
    assert result.status == 0
    assert lines[0] == "digits       10 classes, 1,437 train / 360 test"
    assert lines[1].startswith(f"shards       14 in {tmp_path / 'set'}, 3.8 MB")
    assert lines[2].startswith("fingerprint  ")
    assert lines[3] == "verdict      whole: nothing is missing or damaged"


def test_json_of_pack(run: Run, tmp_path: Path) -> None:
    result = run("data", "pack", "digits", "--shards", tmp_path / "set", "--json")
    values = json.loads(result.out)
    assert values["samples"] == {"train": 1437, "test": 360}
    assert (values["shards"], values["kept"], values["classes"], values["problems"]) == (2, 0, 10, [])
    manifest = json.loads((tmp_path / "set" / "shards.json").read_text())
    assert values["fingerprint"] == manifest["fingerprint"]


def test_a_finished_set_is_not_packed_over(run: Run, packed: Path) -> None:
    result = run("data", "pack", "digits", "--shards", packed)
    assert result.status == 2
    assert "already holds a finished set of shards" in result.err


def test_verify_tells_by_its_status(run: Run, packed: Path) -> None:
    assert run("data", "verify", packed).status == 0
    shard = packed / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:-20_480])
    result = run("data", "verify", packed)
    assert result.status == 1
    assert "broken       train-000001.tar: cut off: " in result.out
    result = run("data", "verify", packed, "--json")
    assert result.status == 1
    assert [problem["file"] for problem in json.loads(result.out)["broken"]] == ["train-000001.tar"]


def test_verify_of_something_else_is_a_mistake(run: Run, tmp_path: Path) -> None:
    result = run("data", "verify", tmp_path)
    assert result.status == 2
    assert "holds no shards" in result.err


def test_train_from_shards_end_to_end(run: Run, packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("train", packed, "--model", "resnet20", "--out", out, "--json", *QUICK)
    assert result.status == 0, result.err
    values = json.loads(result.out)
    assert values["test"]["top1"] > 0.2
    assert "1,797 images, 10 classes" in result.err
    assert "training images are read from 11 shards" in result.err
    assert (out / "report.html").is_file()
    evaluated = run("evaluate", out, packed, "--json")
    assert json.loads(evaluated.out)["n"] == 360
    assert json.loads(evaluated.out)["top1"] == pytest.approx(values["test"]["top1"])


def test_train_names_a_broken_shard_and_stops_with_strict(run: Run, packed: Path, tmp_path: Path) -> None:
    shard = packed / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:-20_480])
    command = ["train", packed, "--model", "resnet20", *QUICK]
    result = run(*command, "--out", tmp_path / "a")
    assert result.status == 0, result.err
    assert "left out train-000001.tar: cut off: it has" in result.err
    result = run(*command, "--out", tmp_path / "b", "--strict")
    assert result.status == 1
    assert "train-000001.tar: cut off" in result.err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MB", 256_000_000),
        ("1GB", 10**9),
        ("1.5 gb", 1_500_000_000),
        ("64MiB", 2**26),
        ("123456", 123_456),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "big", "-1MB", "1TBs"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--shard-size: expected a size such as 256MB, 1GB or 64MiB, got"):
        bytes_of(text)
