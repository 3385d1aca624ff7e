"""Images in shards as an array: what indexing gives, what broken images become, how much is in memory."""

from __future__ import annotations

import gc
import io
import tarfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sharded import encoded

from skipline.data.decoding import decode
from skipline.data.imageset import ImageSet
from skipline.data.shards import lazy as module
from skipline.data.shards.index import read_through
from skipline.data.shards.lazy import LazyImages
from skipline.data.shards.places import LocalShard
from skipline.data.shards.samples import Samples, joined_reads
from skipline.errors import CorruptImageError, ShardError


def samples_of(folder: Path) -> Samples:
    places = [LocalShard(path, path.name) for path in sorted(folder.glob("*.tar"))]
    return Samples.of(places, [read_through(place, place.state()) for place in places])


def lazy_images(folder: Path, side: int = 8, **options: Any) -> LazyImages:
    return LazyImages(samples_of(folder), side, 3, **options)


def in_memory(count: int, side: int = 8) -> np.ndarray:
    return np.stack([decode(encoded(n), name="", channels=3, stored=side).pixels for n in range(count)])


def spoil(folder: Path, number: int, how: str = "zeros") -> None:
    """Make an image of a set broken, its shard remaining whole."""
    name = f"{number:06d}.png"
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as archive:
            members = {member.name: member for member in archive}
        if name in members:
            content = bytearray(path.read_bytes())
            start, size = members[name].offset_data, members[name].size
            content[start : start + size] = (
                bytes(size) if how == "zeros" else content[start : start + size][::-1]
            )
            path.write_bytes(content)
            return
    raise AssertionError(name)


# --- what indexing gives ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int64(7),
        slice(None),
        slice(3, 50, 7),
        slice(5, 5),
        [4, 4, 0],
        np.array([59, 1, 30]),
        np.arange(60) % 2 == 0,
        np.array([], dtype=np.int64),
    ],
    ids=str,
)
def test_indexing_gives_what_an_array_of_the_same_images_gives(key: Any, shards: Any) -> None:
    images, array = lazy_images(shards()), in_memory(60)
    assert images.shape == array.shape
    assert (images.dtype, images.ndim, len(images)) == (array.dtype, array.ndim, len(array))
    assert np.array_equal(images[key], array[key])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_of_a_batch_are_the_parts_of_the_batch(count: int, shards: Any) -> None:
    """Processes that take their slices see together what one alone sees."""
    images = lazy_images(shards())
    indices = images.order(0, 1)[7:30]
    whole, taken = images.take(indices)
    parts = [images.take(part) for part in np.array_split(indices, count)]
    assert np.array_equal(np.concatenate([pixels for pixels, _ in parts]), whole)
    assert np.array_equal(np.concatenate([rows for _, rows in parts]), taken)


def test_an_index_out_of_range_is_told(shards: Any) -> None:
    with pytest.raises(IndexError, match="images are numbered from 0 to 59, asked for 60 to 60"):
        lazy_images(shards())[60]


def test_nobody_decodes_all_by_accident(shards: Any) -> None:
    with pytest.raises(TypeError, match="60 images in shards do not become an array"):
        np.asarray(lazy_images(shards()))


def test_a_subset_stays_lazy_and_says_the_same(shards: Any) -> None:
    rows = np.array([3, 24, 25, 59])
    part = lazy_images(shards()).part(rows)
    assert isinstance(part, LazyImages)
    assert np.array_equal(part[:], in_memory(60)[rows])
    assert sorted(part.order(0, 0).tolist()) == [0, 1, 2, 3]


def test_statistics_are_of_a_sample_of_a_large_set(shards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from skipline.data import imageset

    monkeypatch.setattr(imageset, "LOOKED_AT", 10)
    whole: Any = lazy_images(shards())
    looked = ImageSet(whole, np.arange(60) % 3, ("a", "b", "c"), "train", "f").looked_at()
    rows = np.linspace(0, 59, 10).round().astype(int)
    assert np.array_equal(looked.images, in_memory(60)[rows])
    assert np.array_equal(looked.labels, rows % 3)


# --- reads --------------------------------------------------------------------------------------


def test_near_images_are_read_in_one_piece_in_order_of_place(shards: Any) -> None:
    samples = samples_of(shards())
    reads = joined_reads(samples, np.array([40, 3, 1, 2, 41]), 100)
    assert [(read.place.name, read.rows) for read in reads] == [
        ("train-000000.tar", (1, 2, 3)),
        ("train-000001.tar", (40, 41)),
    ]
    for read in reads:
        content = read.place.read(read.start, read.size)
        first = int(samples.offsets[read.rows[0]]) - read.start
        assert content[first : first + 4] == b"\x89PNG"


def test_far_images_are_read_apart(shards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalShard, "gap", 0)
    reads = joined_reads(samples_of(shards()), np.array([1, 2, 5]), 100)
    assert [read.rows for read in reads] == [(1,), (2,), (5,)]


# --- broken images ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["zeros", "reversed"])
def test_a_broken_image_is_replaced_by_the_next_sound_one_and_named_once(how: str, shards: Any) -> None:
    folder = shards()
    spoil(folder, 17, how)
    spoil(folder, 18, how)
    images, array = lazy_images(folder), in_memory(60)
    for _ in range(2):
        pixels, taken = images.take(np.array([16, 17, 18, 19]))
        assert taken.tolist() == [16, 19, 19, 19]
        assert np.array_equal(pixels, array[[16, 19, 19, 19]])
    named = [problem.file for problem in images.problems]
    assert sorted(named) == ["train-000000.tar: 000017.png", "train-000000.tar: 000018.png"]
    assert all("not an image, although it is named like one" in problem.reason for problem in images.problems)


def test_what_replaces_does_not_depend_on_what_was_asked_before(shards: Any) -> None:
    folder = shards()
    spoil(folder, 30)
    first, second = lazy_images(folder), lazy_images(folder)
    first.take(np.arange(60))
    for indices in (np.array([30]), np.array([31, 30]), np.array([5, 30, 59])):
        assert np.array_equal(first.take(indices)[1], second.take(indices)[1])


def test_the_last_image_is_replaced_by_the_first(shards: Any) -> None:
    folder = shards()
    spoil(folder, 59)
    assert lazy_images(folder).take(np.array([59]))[1].tolist() == [0]


def test_strict_stops_at_a_broken_image(shards: Any) -> None:
    folder = shards()
    spoil(folder, 17)
    with pytest.raises(CorruptImageError) as stopped:
        lazy_images(folder, strict=True).take(np.arange(20))
    assert str(stopped.value) == (
        "train-000000.tar: 000017.png: not an image, although it is named like one. Replace the shard, or go on "
        "without the image by leaving out --strict"
    )


def test_nothing_but_broken_images_ends_in_words(shards: Any) -> None:
    folder = shards(count=3)
    for number in range(3):
        spoil(folder, number)
    with pytest.raises(CorruptImageError, match="and so are all that follow it"):
        lazy_images(folder).take(np.array([1]))


def test_a_shard_cut_off_after_it_was_opened_costs_its_last_images(shards: Any) -> None:
    folder = shards()
    images = lazy_images(folder)
    path = folder / "train-000002.tar"
    path.write_bytes(path.read_bytes()[:4_200])
    _, taken = images.take(np.arange(50, 60))
    assert taken[0] == 50
    assert taken[-1] == 0
    assert images.problems[-1].reason == "cut off: the shard ends before it"


def test_a_shard_that_vanished_stops_the_run_in_words(shards: Any) -> None:
    folder = shards()
    images = lazy_images(folder)
    (folder / "train-000001.tar").unlink()
    with pytest.raises(ShardError, match=r"train-000001\.tar: cannot be read: no such file or directory"):
        images.take(np.arange(60))


# --- memory -------------------------------------------------------------------------------------


def test_only_a_few_decoded_images_are_alive(shards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch after batch, no more large images are held than those that are being decoded at the moment."""

    def photo(number: int) -> dict[str, Any]:
        target = io.BytesIO()
        Image.new("RGB", (64, 64), (number, 0, 0)).save(target, "PNG")
        return {"png": target.getvalue(), "cls": number % 3}

    alive: list[weakref.ref[Any]] = []
    most = 0
    plain = module.decode

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal most
        decoded = plain(*arguments, **options)
        alive.append(weakref.ref(decoded))
        most = max(most, sum(1 for reference in alive if reference() is not None))
        return decoded

    monkeypatch.setattr(module, "decode", counting)
    images = lazy_images(shards(sample=photo, count=120, each=40), side=32)
    order = images.order(0, 0)
    for start in range(0, 120, 10):
        images.take(order[start : start + 10])
        gc.collect()
    assert len(alive) == 120
    assert most <= 20
