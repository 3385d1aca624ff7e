"""What is found in a shard, whoever wrote it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharded import encoded

from skipline.data.shards.index import ShardIndex, read_through, split_name
from skipline.data.shards.places import LocalShard


def tar(path: Path, files: dict[str, bytes]) -> LocalShard:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return LocalShard(path, path.name)


def indexed(place: LocalShard) -> ShardIndex:
    return read_through(place, place.state())


def test_images_are_where_the_index_says(shards: Any) -> None:
    folder = shards(count=10, each=10)
    place = LocalShard(folder / "train-000000.tar", "train-000000.tar")
    index = indexed(place)
    assert index.keys == tuple(f"{number:06d}" for number in range(10))
    assert index.labels == tuple(number % 3 for number in range(10))
    for number in range(10):
        assert place.read(int(index.offsets[number]), int(index.sizes[number])) == encoded(number)


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        ({"a.jpg": b"x", "a.cls": b"7\n"}, (7,)),
        ({"a.cls": b"7", "a.jpg": b"x"}, (7,)),
        ({"a.jpg": b"x", "a.json": b'{"label": 3, "caption": "c"}'}, (3,)),
        ({"a.jpg": b"x", "a.json": b'{"class": "cat"}'}, ("cat",)),
        ({"a.jpg": b"x", "a.json": b'{"label": "4"}'}, (4,)),
        ({"a.WEBP": b"x", "a.cls": b"owl"}, ("owl",)),
        ({"a.jpg": b"x", "a.cls": b"1", "a.json": b'{"label": 2}'}, (1,)),
        ({"d/e.f/a.png": b"x", "d/e.f/a.cls": b"1"}, (1,)),
        ({"a.jpg": b"x", "a.txt": b"a caption"}, ()),
        ({"a.jpg": b"x", "a.cls": b"-1"}, ()),
        ({"a.jpg": b"x", "a.json": b"{broken"}, ()),
        ({"a.jpg": b"x", "a.json": b'{"label": true}'}, ()),
        ({"a.jpg": b"x", "b.cls": b"1"}, ()),
        ({"__meta__.json": b"{}", "a.jpg": b"x", "a.cls": b"1"}, (1,)),
    ],
)
def test_labels_of_other_tools(
    files: dict[str, bytes], labels: tuple[int | str, ...], tmp_path: Path
) -> None:
    index = indexed(tar(tmp_path / "a.tar", files))
    assert index.labels == labels
    assert index.unlabelled == (0 if labels else 1)


def test_the_image_is_the_one_with_the_plain_suffix(tmp_path: Path) -> None:
    files = {"a.mask.png": b"mask", "a.jpg": b"photo", "a.cls": b"1"}
    place = tar(tmp_path / "a.tar", files)
    index = indexed(place)
    assert place.read(int(index.offsets[0]), int(index.sizes[0])) == b"photo"


@pytest.mark.parametrize("suffix", ["pyd", "pickle", "pth"])
def test_pickles_are_never_read(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle as the only label is no label: reading one would run what it says."""
    index = indexed(tar(tmp_path / "a.tar", {"a.jpg": b"x", f"a.{suffix}": b"cos\nsystem\n(S'exit 1'\ntR."}))
    assert (len(index), index.unlabelled) == (0, 1)


def test_samples_without_an_image_are_counted(tmp_path: Path) -> None:
    index = indexed(tar(tmp_path / "a.tar", {"a.txt": b"t", "b.jpg": b"x", "b.cls": b"0"}))
    assert (index.keys, index.bare) == (("b",), 1)


@pytest.mark.parametrize("cut", [100, 5_000, 10_240])
def test_a_shard_that_is_cut_off_is_no_whole_archive(cut: int, shards: Any) -> None:
    path = shards(count=10, each=10) / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:-cut])
    if cut < 9_000:  # only padding is gone: the end mark and all images are there
        assert len(indexed(LocalShard(path, path.name))) == 10
        return
    with pytest.raises(tarfile.ReadError):
        indexed(LocalShard(path, path.name))


def test_a_broken_header_is_no_whole_archive(shards: Any) -> None:
    path = shards(count=10, each=10) / "train-000000.tar"
    content = bytearray(path.read_bytes())
    third = next(
        offset for offset in range(0, len(content), 512) if content[offset : offset + 6] == b"000002"
    )
    content[third + 148 : third + 156] = b"garbage!"
    path.write_bytes(content)
    with pytest.raises(tarfile.ReadError):
        indexed(LocalShard(path, path.name))


def test_json_holds_all_of_it(shards: Any) -> None:
    path = shards(count=10, each=10) / "train-000000.tar"
    index = indexed(LocalShard(path, path.name))
    again = ShardIndex.from_json(json.loads(json.dumps(index.to_json())), path.stat().st_size)
    assert (again.keys, again.labels, again.digest) == (index.keys, index.labels, index.digest)
    assert np.array_equal(again.offsets, index.offsets)
    assert np.array_equal(again.sizes, index.sizes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 9}, "it has the format 9, not 1"),
        ({"offsets": [0, 999]}, "it names images beyond the end of the shard"),
        ({"sizes": [1, -1]}, "it names images of impossible size or place"),
        ({"sizes": [1]}, "its lists differ in length"),
        ({"sizes": [1, 10**30]}, "it lacks values or has wrong ones"),
        ({"labels": [1, None]}, "its keys are not all texts, or its labels not all numbers or texts"),
        ({"labels": [1, True]}, "its keys are not all texts, or its labels not all numbers or texts"),
        ({"keys": None}, "it lacks values or has wrong ones"),
    ],
)
def test_an_index_from_strangers_is_checked(change: dict[str, Any], reason: str) -> None:
    sound = {
        "format": 1,
        "digest": "d",
        "unlabelled": 0,
        "bare": 0,
        "keys": ["a", "b"],
        "offsets": [0, 10],
        "sizes": [5, 5],
        "labels": [0, 1],
    }
    assert len(ShardIndex.from_json(sound, 100)) == 2
    with pytest.raises(ValueError, match=reason):
        ShardIndex.from_json({**sound, **change}, 100)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a.jpg", ("a", "jpg")), ("d/a.B.JPG", ("d/a", "b.jpg")), (".hidden.jpg", ("", "")), ("a", ("", ""))],
)
def test_names_are_cut_at_the_first_dot_of_the_last_part(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts
