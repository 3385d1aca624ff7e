"""Opening sets of shards: splits, classes, broken shards; and batches from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded import encoded
from test_lazy import in_memory, lazy_images, spoil

from skipline.data import Augmentation, Batches, Dataset, ImageSet, Preprocessing, check_source, open_source
from skipline.data.batches import Batch
from skipline.data.shards.lazy import LazyImages
from skipline.errors import CorruptImageError, SourceError

EVERYTHING = Augmentation(pad_crop=2, flip="alternating", cutout=2, mixup=0.3, auto="trivialaugment")


def both(shards: Any, train: int = 60, test: int = 12) -> Path:
    """A set with training and test shards."""
    shards(count=train)
    return Path(shards(count=test, first=100, pattern="test-%06d.tar"))


def lazy_of(dataset: Dataset) -> LazyImages:
    assert dataset.train.lazy is not None
    return dataset.train.lazy


# --- splits and classes -------------------------------------------------------------------------


def test_named_splits_are_taken_and_the_test_images_are_cached(shards: Any) -> None:
    dataset = open_source(both(shards))
    assert dataset.name == "set"
    assert dataset.classes == ("0", "1", "2")
    assert (len(dataset.train), len(dataset.test), dataset.validation) == (60, 12, None)
    assert np.array_equal(dataset.train.labels, np.arange(60) % 3)
    assert np.array_equal(dataset.train.images[:], in_memory(60, side=12))
    assert isinstance(dataset.test.images, np.ndarray)
    assert dataset.test.files[0] == "test-000000/000100"
    assert np.array_equal(dataset.test.labels, np.arange(100, 112) % 3)
    assert not dataset.photographic
    assert "training images are read from 3 shards" in dataset.notes[-1]


def test_folders_called_after_splits_hold_shards(shards: Any) -> None:
    shards(pattern="train/%03d.tar")
    folder = shards(count=9, first=100, pattern="val/%03d.tar")
    dataset = open_source(folder)
    assert (len(dataset.train), len(dataset.test)) == (60, 9)  # val stands in for a test split


def test_validation_and_test_are_both_kept(shards: Any) -> None:
    both(shards)
    dataset = open_source(shards(count=6, first=200, pattern="val-%06d.tar"))
    assert dataset.validation is not None
    assert [len(part) for part in dataset.splits] == [60, 12, 6]
    assert np.array_equal(dataset.validation.images[0], in_memory_of(200))


def in_memory_of(number: int) -> np.ndarray:
    from skipline.data.decoding import decode

    return decode(encoded(number), name="", channels=3, stored=12).pixels


def test_without_a_test_split_a_share_is_held_out_by_seed(shards: Any) -> None:
    folder = shards(count=61, pattern="%06d.tar")
    first, again, other = (open_source(folder, seed=seed) for seed in (0, 0, 1))
    assert (len(first.train), len(first.test)) == (49, 12)
    assert "split 49 / 12, stratified, seed 0, as there are no shards of a test split" in first.notes
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.train.fingerprint != other.train.fingerprint
    held = {int(image.sum()) for image in np.asarray(first.test.images, dtype=np.int64)}
    learnt = {int(image.astype(np.int64).sum()) for image in first.train.images[:]}
    assert not held & learnt


def test_a_pattern_names_some_of_the_shards(shards: Any) -> None:
    folder = both(shards)
    dataset = open_source(f"{folder}/{{train-{{000000..000001}},test-000000}}.tar")
    assert (len(dataset.train), len(dataset.test)) == (50, 12)
    assert dataset.name == "set"


@pytest.mark.parametrize("name", ["classes.txt", "classnames.txt"])
def test_class_names_beside_the_shards(name: str, shards: Any) -> None:
    folder = both(shards)
    (folder / name).write_text("cat\ndog\nowl\n")
    assert open_source(folder).classes == ("cat", "dog", "owl")


def test_numbers_stand_in_numerical_order(shards: Any) -> None:
    folder = shards(sample=lambda number: {"png": encoded(number), "cls": (2, 10, 7)[number % 3]})
    dataset = open_source(folder)
    assert dataset.classes == ("2", "7", "10")
    assert set(dataset.train.labels.tolist()) == {0, 1, 2}


def test_texts_in_json_are_class_names(shards: Any) -> None:
    names = ("owl", "cat")
    folder = shards(
        sample=lambda number: {"jpg": encoded(number, "JPEG"), "json": {"class": names[number % 2]}}
    )
    dataset = open_source(folder)
    assert dataset.classes == ("cat", "owl")
    assert dataset.train.class_counts().tolist() == [24, 24]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (
            lambda f: (f / "classes.txt").write_text("cat\ndog\n"),
            "has the label 2, but only 2 class names lie",
        ),
        (
            lambda f: (f / "classes.txt").write_text("cat\ncat\nowl\n"),
            "must hold one class name a line, all different",
        ),
        (
            lambda f: (f / "a.tar.gz").write_bytes(b"x"),
            "is compressed, so that no image in it can be read by its place",
        ),
        (lambda f: (f / "odd.tar").write_bytes(b"x"), "has shards of named splits beside 'odd.tar'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(prepare: Any, message: str, shards: Any) -> None:
    folder = both(shards)
    prepare(folder)
    with pytest.raises(SourceError) as refused:
        open_source(folder)
    assert message in str(refused.value)


def test_archives_of_class_folders_are_told_apart(shards: Any) -> None:
    folder = shards(sample=lambda number: {"png": encoded(number)})
    with pytest.raises(SourceError) as refused:
        open_source(folder)
    assert "there are no labelled images in the 3 shards" in str(refused.value)
    assert "If an archive holds a folder per class instead, give that .tar itself" in str(refused.value)


# --- broken shards ------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-15_000])


def bad_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[148:156] = b"garbage!"
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, bad_header, empty])
def test_a_broken_shard_is_named_and_left_out(harm: Any, shards: Any) -> None:
    folder = both(shards)
    harm(folder / "train-000001.tar")
    dataset = open_source(folder)
    assert len(dataset.train) == 35
    (problem,) = dataset.problems
    assert problem.file == "train-000001.tar"
    assert problem.reason.startswith("not a whole .tar archive (")
    with pytest.raises(CorruptImageError, match=r"^train-000001\.tar: not a whole \.tar archive"):
        open_source(folder, strict=True)


def test_a_broken_test_image_is_left_out_as_anywhere(shards: Any) -> None:
    folder = both(shards)
    spoil(folder, 103)
    dataset = open_source(folder)
    assert len(dataset.test) == 11
    assert [problem.file for problem in dataset.problems] == ["test-000000/000103"]


def test_a_shard_that_changed_is_looked_through_again(shards: Any) -> None:
    folder = both(shards)
    before = open_source(folder)
    shards(count=30)
    after = open_source(folder)
    assert (len(before.train), len(after.train)) == (60, 40)  # 25 and 5 in the new ones, 10 in the old third
    assert before.fingerprint != after.fingerprint


# --- batches ------------------------------------------------------------------------------------


class InOrderOf(Batches):
    """Batches of a set in memory, in the order of a lazy one."""

    other: LazyImages

    def _order(self, epoch: int) -> Any:
        return self.other.order(self._seed, epoch)


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("images", "targets", "indices", "labels"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_batches_are_those_of_the_same_images_in_memory_bit_for_bit(shards: Any) -> None:
    train = open_source(both(shards)).train
    preprocessing = Preprocessing(3, 12, 10, (0.4,) * 3, (0.2,) * 3)
    options: Any = {"batch_size": 7, "augmentation": EVERYTHING, "seed": 3}
    streamed = Batches(train, preprocessing, **options)
    kept = InOrderOf(replace(train, images=train.images[:]), preprocessing, **options)
    assert train.lazy is not None
    kept.other = train.lazy
    for epoch in range(2):
        for step in range(streamed.steps_per_epoch):
            assert_same(streamed.batch(epoch, step), kept.batch(epoch, step))


@given(count=st.integers(1, 60), batch_size=st.integers(1, 64), epoch=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_an_epoch_shows_each_image_once(
    count: int, batch_size: int, epoch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    images: Any = _of_sixty(tmp_path_factory).part(np.arange(count))
    part = ImageSet(images, np.arange(count) % 3, ("a", "b", "c"), "train", "f")
    batches = Batches(
        part, Preprocessing(3, 8, 8, (0.5,) * 3, (0.5,) * 3), batch_size=batch_size, leftover="spread"
    )
    seen = [index for batch in batches.epoch(epoch) for index in batch.indices.tolist()]
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("over_http", [False, True])
def test_processes_see_together_each_image_once_and_the_same_to_the_bit(
    processes: int, over_http: bool, shards: Any, serve: Any
) -> None:
    folder = both(shards, train=47)
    preprocessing = Preprocessing(3, 12, 10, (0.4,) * 3, (0.2,) * 3)
    options: Any = {"batch_size": 7, "augmentation": EVERYTHING, "seed": 1, "leftover": "spread"}
    whole = Batches(open_source(folder).train, preprocessing, **options)
    with serve(folder) as server:
        source = f"{server.url}/{{train-000000,train-000001,test-000000}}.tar" if over_http else folder
        parts = [  # each process opens the source itself
            Batches(open_source(source).train, preprocessing, share=(k, processes), **options)
            for k in range(processes)
        ]
        seen: list[int] = []
        for step, made in enumerate(zip(*(part.epoch(2) for part in parts), strict=True)):
            one = whole.batch(2, step)
            for name in ("images", "targets", "indices", "labels"):
                assert torch.equal(torch.cat([getattr(part, name) for part in made]), getattr(one, name)), (
                    name
                )
            seen += one.indices.tolist()
    assert sorted(seen) == list(range(47))


_kept: list[LazyImages] = []


def _of_sixty(factory: pytest.TempPathFactory) -> LazyImages:
    """Sixty images in shards, made once for all examples."""
    webdataset = pytest.importorskip("webdataset", reason="the extra shards is not installed")
    if not _kept:
        folder = factory.mktemp("sixty")
        with webdataset.ShardWriter(str(folder / "%03d.tar"), maxcount=13, verbose=0) as sink:
            for number in range(60):
                sink.write({"__key__": f"{number:06d}", "png": encoded(number), "cls": number % 3})
        _kept.append(lazy_images(folder))
    return _kept[0]


def test_a_broken_image_changes_batches_for_all_alike(shards: Any) -> None:
    folder = both(shards)
    spoil(folder, 20)
    preprocessing = Preprocessing(3, 12, 12, (0.4,) * 3, (0.2,) * 3)
    first, second = (Batches(open_source(folder).train, preprocessing, batch_size=60) for _ in range(2))
    second.batch(3, 0)  # has met the broken image already
    assert_same(first.batch(0, 0), second.batch(0, 0))
    batch = first.batch(0, 0)
    assert sorted(batch.indices.tolist()) == sorted([*range(20), 21, *range(21, 60)])
    assert torch.equal(batch.labels, batch.indices % 3)
    assert first.lazy is not None
    assert [problem.file for problem in first.lazy.problems] == ["train-000000.tar: 000020.png"]


def test_an_audit_says_what_its_figures_are_of(shards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from skipline.data import imageset

    monkeypatch.setattr(imageset, "LOOKED_AT", 20)
    audit = check_source(both(shards))
    assert audit.images == 72
    assert [count.train for count in audit.classes] == [20, 20, 20]
    assert audit.notes[-1] == (
        "duplicates and statistics are of 20 of 60 training images, evenly spaced, and of all others"
    )
