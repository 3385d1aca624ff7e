"""Packing: what is in the shards, the same bytes whatever happens on the way, and looking at them afterwards."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipline.data import open_source
from skipline.data.shards import pack, verify
from skipline.data.shards import packing as module
from skipline.errors import CorruptImageError, InputError, MissingExtraError, SourceError

pytest.importorskip("webdataset", reason="the extra shards is not installed")
SIZE = 40_000


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def source(photos: Any) -> Path:
    """Fifty photos of two classes, forty of them to train on."""
    folder = photos({"train/cat": 20, "train/dog": 20, "test/cat": 5, "test/dog": 5})
    (folder / "train" / "dog" / "a.b c.png").write_bytes((folder / "train" / "dog" / "0.png").read_bytes())
    return Path(folder)


# --- what is packed -----------------------------------------------------------------------------


def test_shards_hold_the_files_of_the_source_as_they_are(source: Path, tmp_path: Path) -> None:
    packed = pack(source, tmp_path / "set", shard_size=SIZE)
    names = [shard.name for shard in packed.manifest.splits["train"]]
    assert names == [f"train-{number:06d}.tar" for number in range(len(names))]
    assert len(names) > 1
    assert packed.manifest.classes == ("cat", "dog")
    assert {s: sum(x.samples for x in each) for s, each in packed.manifest.splits.items()} == {
        "train": 41,
        "test": 10,
    }
    files = {path.read_bytes(): path.parent.name for path in source.glob("*/*/*.png")}
    for shard in packed.manifest.shards:
        assert (tmp_path / "set" / shard.name).stat().st_size == shard.size <= SIZE
        with tarfile.open(tmp_path / "set" / shard.name) as archive:
            content = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
            assert {(m.mtime, m.uid, m.gid, m.uname) for m in archive.getmembers()} == {(0, 0, 0, "")}
        for name, image in content.items():
            if name.endswith(".png"):
                label = int(content[name.replace(".png", ".cls")])
                assert packed.manifest.classes[label] == files[image]


def test_names_are_a_number_and_what_no_tool_stumbles_over(source: Path, tmp_path: Path) -> None:
    packed = pack(source, tmp_path / "set", shard_size=10**6)
    with tarfile.open(tmp_path / "set" / packed.manifest.shards[0].name) as archive:
        names = archive.getnames()
    assert any(name.endswith("-a.png") for name in names)  # of "a.b c.png": webdataset cuts at the first dot
    assert names[0].startswith("000000000-")


def test_webdataset_reads_them(source: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    pack(source, tmp_path / "set", shard_size=SIZE)
    urls = sorted(str(path) for path in (tmp_path / "set").glob("train-*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the archives open
        samples = list(webdataset.WebDataset(urls, shardshuffle=False))
        gc.collect()
    assert len(samples) == 41
    assert {sample["cls"] for sample in samples} == {b"0", b"1"}


def test_training_reads_what_was_packed(source: Path, tmp_path: Path) -> None:
    """The same images with the same labels and classes as from the folder itself."""
    pack(source, tmp_path / "set", shard_size=SIZE)
    packed, plain = open_source(tmp_path / "set"), open_source(source)
    assert packed.classes == plain.classes
    for one, other in ((packed.train, plain.train), (packed.test, plain.test)):
        pairs = [
            sorted(
                (image.tobytes(), int(label))
                for image, label in zip(part.images[:], part.labels, strict=True)
            )
            for part in (one, other)
        ]
        assert pairs[0] == pairs[1]


def test_classes_are_mixed_within_a_shard(tmp_path: Path) -> None:
    packed = pack("digits", tmp_path / "set", shard_size=300_000)
    train = open_source(tmp_path / "set").train
    first = train.labels[: packed.manifest.splits["train"][0].samples]
    assert len(np.unique(first)) == 10
    assert (np.bincount(first) > 0.02 * len(first)).all()


def test_digits_become_png_and_come_back_to_the_bit(tmp_path: Path) -> None:
    pack("digits", tmp_path / "set")
    packed, plain = open_source(tmp_path / "set"), open_source("digits")
    assert packed.train.shape == plain.train.shape == (1, 8, 8)
    pixels = [sorted(image.tobytes() for image in part.train.images[:]) for part in (packed, plain)]
    assert pixels[0] == pixels[1]


def test_an_archive_a_table_and_shards_are_sources_too(source: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(source, "photos")
    first = pack(tmp_path / "photos.tar", tmp_path / "a", shard_size=SIZE)
    second = pack(tmp_path / "a", tmp_path / "b", shard_size=10**6)
    assert first.manifest.to_json()["samples"] == second.manifest.to_json()["samples"]
    pyarrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = sorted(source.glob("*/*/*.png"))
    table = pyarrow.table(
        {
            "image": [{"bytes": p.read_bytes(), "path": p.name} for p in rows],
            "label": [p.parent.name for p in rows],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    third = pack(tmp_path / "t.parquet", tmp_path / "c", shard_size=SIZE)
    assert sum(third.manifest.to_json()["samples"].values()) == 51
    assert not verify(tmp_path / "c").broken


def test_broken_photos_are_left_out_and_named(source: Path, tmp_path: Path) -> None:
    (source / "train" / "cat" / "bad.jpg").write_bytes(b"no photo")
    packed = pack(source, tmp_path / "set")
    assert [(p.file, p.reason) for p in packed.problems] == [
        ("train/cat/bad.jpg", "not an image, although it is named like one")
    ]
    assert packed.manifest.to_json()["samples"] == {"train": 41, "test": 10}
    with pytest.raises(CorruptImageError, match=r"^train/cat/bad\.jpg: not an image"):
        pack(source, tmp_path / "strict", strict=True)


def test_without_webdataset_packing_says_how_to_install_it_and_writes_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(MissingExtraError) as refused:
        pack(source, tmp_path / "set")
    assert str(refused.value) == (
        "writing shards needs webdataset, which is not installed: pip install 'skipline[shards]'"
    )
    assert not (tmp_path / "set").exists()


# --- the same bytes -----------------------------------------------------------------------------


def test_packed_twice_the_bytes_are_the_same(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "a", shard_size=SIZE)
    pack(source, tmp_path / "b", shard_size=SIZE)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    pack(source, tmp_path / "c", shard_size=SIZE, seed=1)
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interrupted_pack_goes_on_and_ends_in_the_same_bytes(
    after: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "train" / "cat" / "bad.jpg").write_bytes(b"no photo")
    whole = pack(source, tmp_path / "whole", shard_size=SIZE)
    plain, written = module.write_atomically, []

    def failing(path: Path, write: Any) -> None:
        if path.suffix == ".tar":
            if len(written) == after:
                raise KeyboardInterrupt
            written.append(path)
        plain(path, write)

    monkeypatch.setattr(module, "write_atomically", failing)
    with pytest.raises(KeyboardInterrupt):
        pack(source, tmp_path / "set", shard_size=SIZE)
    assert not (tmp_path / "set" / "shards.json").exists()
    if after:  # nobody takes half a set for a whole one
        with pytest.raises(SourceError, match="are not complete: call `skipline data pack` as before"):
            open_source(tmp_path / "set")
    monkeypatch.setattr(module, "write_atomically", plain)
    packed = pack(source, tmp_path / "set", shard_size=SIZE)
    assert packed.kept == after
    assert packed.problems == whole.problems
    assert digests(tmp_path / "set") == digests(tmp_path / "whole")


def test_a_killed_pack_goes_on(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "whole", shard_size=SIZE)
    code = (
        "import sys, time, pathlib\n"
        "from skipline.data.shards import pack\n"
        "def slow(what, done, total): print(done, flush=True); time.sleep(0.02)\n"
        f"pack(sys.argv[1], pathlib.Path(sys.argv[2]), shard_size={SIZE}, progress=slow)\n"
    )
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "set")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    while not list((tmp_path / "set").glob("train-000000.json")):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    packed = pack(source, tmp_path / "set", shard_size=SIZE)
    assert packed.kept >= 1
    assert digests(tmp_path / "set") == digests(tmp_path / "whole")


@pytest.mark.parametrize(
    ("folder", "options", "message"),
    [
        ("set", {}, "already holds a finished set of shards"),
        ("photos", {}, "is not empty: expected a new or empty folder"),
        ("begun", {"shard_size": 50_000}, "holds the unfinished shards of another source"),
        ("begun", {"seed": 1}, "holds the unfinished shards of another source"),
        ("new", {"shard_size": 100}, "--shard-size must be at least 20,480 bytes, got 100"),
    ],
)
def test_what_would_be_overwritten_is_refused(
    folder: str, options: dict[str, Any], message: str, source: Path, tmp_path: Path
) -> None:
    pack(source, tmp_path / "set", shard_size=SIZE)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / ".packing.json").write_text(
        json.dumps({"identity": "x", "shard_size": SIZE, "seed": 0})
    )
    with pytest.raises(InputError) as refused:
        pack(source, tmp_path / folder, **{"shard_size": SIZE, **options})
    assert message in str(refused.value)


# --- verifying ----------------------------------------------------------------------------------


@pytest.fixture
def packed(source: Path, tmp_path: Path) -> Path:
    pack(source, tmp_path / "set", shard_size=SIZE)
    return tmp_path / "set"


def test_a_whole_set_is_whole(packed: Path) -> None:
    found = verify(packed)
    manifest = json.loads((packed / "shards.json").read_text())
    assert (found.packed, found.samples, found.broken) == (True, 51, ())
    assert found.fingerprint == manifest["fingerprint"]


def flip_a_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)


def test_what_is_broken_is_named(packed: Path) -> None:
    flip_a_byte(packed / "train-000000.tar", 1_600)  # within the first image
    cut = packed / "train-000001.tar"
    size = cut.stat().st_size
    cut.write_bytes(cut.read_bytes()[:-5_000])
    (packed / "test-000000.tar").unlink()
    found = {problem.file: problem.reason for problem in verify(packed).broken}
    first = json.loads((packed / "train-000000.json").read_text())["keys"][0]
    samples = len(json.loads((packed / "train-000000.json").read_text())["keys"])
    assert found["train-000000.tar"] == (
        f"damaged: its SHA-256 is not that of the manifest, in 1 of {samples} images"
    )
    assert found[f"train-000000/{first}"] == "damaged: its checksum is not that of the file that was packed"
    assert found["train-000001.tar"] == f"cut off: {size - 5_000:,} of {size:,} bytes"
    assert found["test-000000.tar"] == "missing"
    assert len(found) == 4


def test_an_edited_manifest_is_no_manifest(packed: Path) -> None:
    manifest = json.loads((packed / "shards.json").read_text())
    manifest["classes"] = ["dog", "cat"]
    (packed / "shards.json").write_text(json.dumps(manifest))
    with pytest.raises(
        SourceError, match=r"'shards.json' in .* is damaged \(its fingerprint does not belong"
    ):
        open_source(packed)


def test_a_manifest_names_files_beside_it_alone(packed: Path) -> None:
    manifest = json.loads((packed / "shards.json").read_text())
    manifest["splits"]["train"][0]["name"] = "../secret.tar"
    (packed / "shards.json").write_text(json.dumps(manifest))
    with pytest.raises(SourceError, match="which is no file beside it"):
        open_source(packed)


def test_a_damaged_image_is_noticed_by_its_checksum_while_training(packed: Path) -> None:
    flip_a_byte(packed / "train-000000.tar", 1_600)
    train = open_source(packed).train
    _, taken = train.take(np.array([0, 1]))
    assert taken.tolist() == [1, 1]
    assert train.lazy is not None
    assert "its checksum is not that of the file that was packed" in train.lazy.problems[0].reason


def test_a_damaged_index_is_made_anew(packed: Path) -> None:
    before = open_source(packed)
    (packed / "train-000000.json").write_text("{}")
    for path in (Path(os.environ["SKIPLINE_HOME"]) / "index").glob("shard-*.json"):
        path.unlink()
    after = open_source(packed)
    assert len(after.train) == len(before.train)
    assert after.train.fingerprint == before.train.fingerprint


def test_shards_of_other_tools_are_decoded(shards: Any) -> None:
    from test_lazy import spoil

    folder = shards()
    spoil(folder, 30)
    found = verify(folder)
    assert (found.packed, found.shards, found.samples, found.fingerprint) == (False, 3, 60, None)
    assert [(p.file, p.reason) for p in found.broken] == [
        ("train-000001/000030", "not an image, although it is named like one")
    ]


def test_a_folder_without_shards_is_told_so(photos: Any) -> None:
    with pytest.raises(SourceError, match="holds no shards: expected a folder"):
        verify(photos({"cat": 1}))
