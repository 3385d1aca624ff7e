from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from skipline import storage
from skipline.data import caching, home, open_source, store
from skipline.errors import StorageError


def stores(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "home" / "cache").glob("[!.]*"))


def leftovers(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "home" / "cache").glob(".*.partial"))


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were handed to the decoder, one number a pass."""
    passes: list[int] = []
    original = caching.decode_all

    def counted(contents, names, **options):
        passes.append(len(names))
        return original(contents, names, **options)

    monkeypatch.setattr(caching, "decode_all", counted)
    return passes


def test_a_source_is_decoded_once(photos, decodings: list[int]):
    folder = photos({"cat": 5, "dog": 5})
    first, second = open_source(folder), open_source(folder)
    assert decodings == [10]
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.train.images, first.train.images)
    assert (second.train.files, second.notes, second.problems) == (
        first.train.files,
        first.notes,
        first.problems,
    )


def test_a_changed_file_is_noticed(photos, picture, decodings: list[int]):
    folder = photos({"cat": 5, "dog": 5})
    first = open_source(folder)
    picture(77).save(folder / "cat" / "0.png")
    second = open_source(folder)
    assert decodings == [10, 10]
    assert second.fingerprint != first.fingerprint


def test_added_and_removed_files_are_noticed(photos, picture):
    folder = photos({"cat": 5, "dog": 5})
    open_source(folder)
    picture(77).save(folder / "cat" / "new.png")
    assert len(open_source(folder).train) + len(open_source(folder).test) == 11
    (folder / "cat" / "new.png").unlink()
    assert len(open_source(folder).train) + len(open_source(folder).test) == 10


def test_equal_content_ends_in_one_store(photos, tmp_path: Path):
    folder = photos({"cat": 5, "dog": 5})
    first = open_source(folder)
    copied = tmp_path / "copy"
    shutil.copytree(folder, copied)
    assert open_source(copied).fingerprint == first.fingerprint
    assert len(stores(tmp_path)) == 1


def test_asking_for_what_the_source_turned_out_to_be_decodes_nothing(photos, decodings: list[int]):
    folder = photos({"cat": 4, "dog": 4})
    trained = open_source(folder)
    decoded = len(decodings)
    channels, side, _ = trained.train.shape
    evaluated = open_source(folder, channels=channels, stored=side)
    assert len(decodings) == decoded
    assert evaluated.fingerprint == trained.fingerprint


def test_each_side_and_number_of_channels_has_its_store(photos, tmp_path: Path, decodings: list[int]):
    folder = photos({"cat": 5, "dog": 5})
    for _ in range(2):
        open_source(folder)
        open_source(folder, stored=16)
        open_source(folder, channels=1)
    assert decodings == [10, 10, 10]
    assert [path.name.rsplit("-", 1)[1] for path in stores(tmp_path)] != []
    assert {path.name.rsplit("-", 1)[1] for path in stores(tmp_path)} == {"40x40x3", "16x16x3", "40x40x1"}


@pytest.mark.parametrize("damage", ["train.u8", "rows.npz", "store.json"])
def test_a_damaged_store_is_made_again(damage: str, photos, tmp_path: Path, decodings: list[int]):
    folder = photos({"cat": 5, "dog": 5})
    first = open_source(folder)
    expected = np.array(first.train.images)
    (path,) = stores(tmp_path)
    (path / damage).write_bytes((path / damage).read_bytes()[:-7])
    second = open_source(folder)
    assert decodings == [10, 10]
    np.testing.assert_array_equal(second.train.images, expected)


def test_a_cache_that_was_deleted_is_made_again(photos, tmp_path: Path):
    folder = photos({"cat": 5, "dog": 5})
    first = open_source(folder)
    shutil.rmtree(tmp_path / "home" / "cache")
    assert open_source(folder).fingerprint == first.fingerprint


def test_progress_runs_to_the_end(photos):
    calls: list[tuple[str, int, int]] = []
    open_source(photos({"cat": 20, "dog": 20}), progress=lambda *call: calls.append(call))
    assert calls == [("decoding photos", 16, 40), ("decoding photos", 32, 40), ("decoding photos", 40, 40)]


def test_an_interruption_leaves_nothing_half_done(photos, tmp_path: Path):
    folder = photos({"cat": 20, "dog": 20})

    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_source(folder, progress=interrupt)
    assert stores(tmp_path) == []
    assert leftovers(tmp_path) == []
    assert len(open_source(folder).train) == 32


def test_only_a_few_images_are_read_ahead(photos, monkeypatch: pytest.MonkeyPatch):
    """Memory stays bounded because readers are not called long before their images are written."""
    folder = photos({"cat": 100, "dog": 100}, width=8, height=8)
    ahead: list[int] = []
    read = written = 0
    original = caching.decode_all

    def watched(contents, names, **options):
        def reading():
            nonlocal read
            for content in contents:
                read += 1
                yield content

        return original(reading(), names, **options)

    class Watching(store.Writer):
        def add(self, *args: object) -> None:
            nonlocal written
            written += 1
            ahead.append(read - written)
            super().add(*args)

    monkeypatch.setattr(caching, "decode_all", watched)
    monkeypatch.setattr(caching, "Writer", Watching)
    monkeypatch.setattr("skipline.data.pipeline.cores", lambda: 2)
    open_source(folder)
    assert written == 200
    assert max(ahead) <= 48


def test_no_room_is_said_before_anything_is_decoded(
    photos, monkeypatch: pytest.MonkeyPatch, decodings: list[int]
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(home.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(
        StorageError,
        match=r"^decoding needs 0\.0 GiB in '.*partial', 0\.0 GiB are free\. Set SKIPLINE_HOME to a folder that can be "
        r"written and has room, or decode to a smaller side$",
    ):
        open_source(photos({"cat": 5, "dog": 5}))
    assert decodings == []


def test_a_disk_that_fills_up_is_explained_and_cleaned(
    photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Full(store.Writer):
        def add(self, entry: int, *args: object) -> None:
            if entry == 5:
                with home.storage_errors(self._folder, self._needed):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().add(entry, *args)

    folder = photos({"cat": 5, "dog": 5})
    with monkeypatch.context() as patch:
        patch.setattr(caching, "Writer", Full)
        with pytest.raises(
            StorageError, match=r"^cannot write to '.*': no space left on device, .* are needed\. Set "
        ):
            open_source(folder)
    assert leftovers(tmp_path) == []
    assert len(open_source(folder).train) == 8


def test_a_home_that_cannot_be_made(photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        StorageError, match=r"^cannot write to '.*file/index': .*\. Set SKIPLINE_HOME to a folder"
    ):
        open_source(photos({"cat": 5, "dog": 5}))


def test_default_home_is_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SKIPLINE_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert storage.skipline_home() == tmp_path / "xdg" / "skipline"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert storage.skipline_home() == tmp_path / "me" / ".cache" / "skipline"
    monkeypatch.setattr("sys.platform", "darwin")
    assert storage.skipline_home() == tmp_path / "me" / "Library" / "Caches" / "skipline"


def test_large_photos_do_not_need_memory_for_all_of_them(
    tmp_path: Path, photos, monkeypatch: pytest.MonkeyPatch
):
    """Images of another seed are copied in portions, not as a whole."""
    monkeypatch.setattr(store, "GATHERED_AT_ONCE", 3 * 40 * 40 * 3)
    folder = photos({"cat": 20, "dog": 20})
    first = open_source(folder)
    other = open_source(folder, seed=5)
    pixels = dict(
        zip(first.train.files + first.test.files, [*first.train.images, *first.test.images], strict=True)
    )
    for file, image in zip(other.train.files, other.train.images, strict=True):
        np.testing.assert_array_equal(image, pixels[file])
