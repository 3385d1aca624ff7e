from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from skipline.data import archive as module
from skipline.data import open_source
from skipline.data.archive import Archive
from skipline.data.listing import Listing
from skipline.errors import SourceError, StorageError


def pack(folder: Path, target: Path, mode: str = "w") -> Path:
    with tarfile.open(target, mode) as tar:
        tar.add(folder, arcname=".")
    return target


def listed(path: Path) -> Listing:
    with closing(Archive(path, path.name)) as archive:
        return archive.listing()


def with_member(target: Path, member: tarfile.TarInfo, content: bytes = b"") -> None:
    with tarfile.open(target, "a") as tar:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def test_archive_and_folder_are_the_same_data(photos, tmp_path: Path):
    folder = photos({"cat": 6, "dog": 5})
    unpacked, packed = open_source(folder), open_source(pack(folder, tmp_path / "photos.tar"))
    assert packed.fingerprint == unpacked.fingerprint
    assert packed.name == "photos"
    assert packed.train.files == unpacked.train.files
    assert (packed.train.images == unpacked.train.images).all()


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")]
)
def test_compressed_archives(suffix: str, mode: str, photos, tmp_path: Path):
    folder = photos({"cat": 6, "dog": 5})
    packed = open_source(pack(folder, tmp_path / f"photos{suffix}", mode))
    assert packed.name == "photos"
    assert packed.fingerprint == open_source(folder).fingerprint
    assert not [p for p in (tmp_path / "home" / "cache").iterdir() if p.name.startswith("tmp")]


def test_a_wrapping_folder_is_looked_through(photos, tmp_path: Path):
    folder = photos({"cat": 3, "dog": 3})
    target = tmp_path / "x.tar"
    with tarfile.open(target, "w") as tar:
        tar.add(folder, arcname="some/photos")
    dataset = open_source(target)
    assert dataset.classes == ("cat", "dog")
    assert "images are taken from 'some/photos'" in dataset.notes


def test_traversal_links_and_devices_are_left_out_and_named(photos, tmp_path: Path):
    target = pack(photos({"cat": 3, "dog": 3}), tmp_path / "x.tar")
    image = (tmp_path / "photos" / "cat" / "0.png").read_bytes()
    with_member(target, tarfile.TarInfo("../../cat/escape.png"), image)
    with_member(target, tarfile.TarInfo("cat/../../escape.png"), image)
    with_member(target, tarfile.TarInfo("/cat/absolute.png"), image)
    with_member(target, tarfile.TarInfo("c:/cat/drive.png"), image)
    for name, kind in (("sym", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
        member = tarfile.TarInfo(f"cat/{name}.png")
        member.type, member.linkname = kind, "/etc/passwd"
        with_member(target, member)
    before = sorted(p for p in tmp_path.rglob("*") if "home" not in p.parts)
    dataset = open_source(target)
    assert len(dataset.train) + len(dataset.test) == 6
    assert {problem.file: problem.reason for problem in dataset.problems} == {
        "../../cat/escape.png": "its path leads out of the archive",
        "cat/../../escape.png": "its path leads out of the archive",
        "/cat/absolute.png": "its path leads out of the archive",
        "c:/cat/drive.png": "its path leads out of the archive",
        "cat/sym.png": "a link inside the archive, not followed",
        "cat/hard.png": "a link inside the archive, not followed",
        "cat/pipe.png": "neither a file nor a folder",
    }
    assert sorted(p for p in tmp_path.rglob("*") if "home" not in p.parts) == before


def test_of_a_member_appended_again_the_later_one_counts(photos, picture, tmp_path: Path):
    target = pack(photos({"cat": 2, "dog": 2}), tmp_path / "x.tar")
    before = listed(target)
    newer = io.BytesIO()
    picture(99).save(newer, "PNG")
    with_member(target, tarfile.TarInfo("./cat/0.png"), newer.getvalue())
    with closing(Archive(target, "x.tar")) as archive:
        assert archive.listing().entries == before.entries
        assert next(archive.contents())() == newer.getvalue()


def test_an_archive_cut_anywhere_is_refused_not_shortened(photos, tmp_path: Path):
    whole = pack(photos({"cat": 3, "dog": 3}), tmp_path / "x.tar").read_bytes()
    end = whole.rstrip(b"\0")
    cut = tmp_path / "cut.tar"
    for length in [1, 511, 512, 513, *range(600, len(end), 397), len(end)]:
        cut.write_bytes(whole[:length])
        with pytest.raises(
            SourceError, match=r"^'cut\.tar' is not a whole \.tar archive \(.*\)\. Copy or download it again$"
        ):
            listed(cut)


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_compressed_archive_cut_short_is_refused(keep: float, photos, tmp_path: Path):
    whole = pack(photos({"cat": 3, "dog": 3}), tmp_path / "x.tar.gz", "w:gz").read_bytes()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(
        SourceError, match=r"^'cut\.tar\.gz' is not a whole archive \(.*\)\. Copy or download it again$"
    ):
        listed(cut)


@pytest.mark.parametrize("content", [b"garbage" * 400, bytes(512), bytes(10240)])
def test_what_is_no_archive(content: bytes, tmp_path: Path):
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(
        SourceError, match=r"^('x\.tar' is not a whole \.tar archive|there are no images in 'x\.tar')"
    ):
        listed(path)


def test_empty_file(tmp_path: Path):
    (tmp_path / "x.tar").touch()
    with pytest.raises(SourceError, match=r"^'x\.tar' is empty$"):
        listed(tmp_path / "x.tar")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_of_absurd_size_is_refused_before_it_is_read(kind: bytes, tmp_path: Path):
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 2**33 - 1
    path = tmp_path / "x.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(20480))
    with pytest.raises(SourceError, match=r"a header of 8,589,93\d,\d+ bytes"):
        listed(path)


def test_a_member_that_claims_more_than_there_is(tmp_path: Path):
    member = tarfile.TarInfo("cat/1.png")
    member.size = 2**40
    path = tmp_path / "x.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(SourceError, match=r"it ends in the middle of cat/1\.png"):
        listed(path)


def test_an_archive_that_unpacks_to_more_than_the_disk_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(bytes(2**24)))
    usage = namedtuple("usage", "total used free")
    frees = iter([2**31, 2**31, 2**29])  # each block of 4 MiB that is written leaves less
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**32, 0, next(frees)))
    with pytest.raises(
        StorageError, match=r"^'bomb\.tar\.gz' unpacks to more than the disk of '.*cache' holds"
    ):
        listed(bomb)
    assert list((tmp_path / "home" / "cache").iterdir()) == []


def test_manifest_needs_no_look_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos):
    target = pack(photos({"cat": 3, "dog": 3}), tmp_path / "x.tar")
    first = open_source(target)

    def refuse(*args: object) -> None:
        raise AssertionError("the archive was opened")

    monkeypatch.setattr(module, "_plain", refuse)
    assert open_source(target).fingerprint == first.fingerprint
