"""Archives, folders, tables and images that were made to do harm."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import tracemalloc
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skipline.data import archive as archive_module
from skipline.data import decode_image, open_source, tar_headers
from skipline.data.archive import Archive
from skipline.data.folder import MOST_VISITS, Folder
from skipline.data.listing import Listing
from skipline.data.parquet import Table
from skipline.errors import CorruptImageError, SourceError


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def listed(path: Path) -> Listing:
    with closing(Archive(path, path.name)) as archive:
        return archive.listing()


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], content: bytes) -> Path:
    """A good archive of four images with further members."""
    good = [(tarfile.TarInfo(f"{name}/{i}.png"), content) for name in ("cat", "dog") for i in range(2)]
    with tarfile.open(path, "w") as made:
        for member, data in (*good, *members):
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return path


def typed(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (typed("cat/a.png", tarfile.SYMTYPE, "/etc/passwd"), "a link inside the archive, not followed"),
        (typed("cat/a.png", tarfile.LNKTYPE, "../../secret.png"), "a link inside the archive, not followed"),
        (typed("cat/a.png", tarfile.CHRTYPE), "neither a file nor a folder"),
        (typed("cat/a.png", tarfile.BLKTYPE), "neither a file nor a folder"),
        (typed("cat/a.png", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (typed("../cat/a.png", tarfile.REGTYPE), "its path leads out of the archive"),
        (typed("/cat/a.png", tarfile.REGTYPE), "its path leads out of the archive"),
        (typed("cat\\..\\..\\a.png", tarfile.REGTYPE), "its path leads out of the archive"),
        (typed("C:\\cat\\a.png", tarfile.REGTYPE), "its path leads out of the archive"),
        (
            typed("cat/" + "a/" * 100 + "a.png", tarfile.REGTYPE),
            "longer than 4,096 characters or deeper than 64",
        ),
        (
            typed("cat/" + "a" * 5000 + ".png", tarfile.REGTYPE),
            "longer than 4,096 characters or deeper than 64",
        ),
    ],
    ids=lambda value: value[0].name[:20] + value[0].type.decode() if isinstance(value, tuple) else "",
)
def test_members_that_could_do_harm_are_left_out(
    member: tuple[tarfile.TarInfo, bytes], reason: str, picture: Any, tmp_path: Path
) -> None:
    before = {p for p in tmp_path.rglob("*") if "home" not in p.parts}
    dataset = open_source(tar(tmp_path / "x.tar", member, content=png(picture())))
    assert len(dataset.train) + len(dataset.test) == 4
    (problem,) = dataset.problems
    assert reason in problem.reason
    assert len(problem.file) <= 4096
    assert {p for p in tmp_path.rglob("*") if "home" not in p.parts} - before == {tmp_path / "x.tar"}


def test_names_do_not_steer_a_terminal(picture: Any, tmp_path: Path) -> None:
    strange = "cat/\x1b]0;owned\x07\x1b[2J\n\udcff.png"
    found = tar(tmp_path / "x.tar", (tarfile.TarInfo(strange), png(picture(3))), content=png(picture()))
    names = [entry.name for entry in listed(found).entries]
    assert len(names) == 5
    assert not any(c in name for name in names for c in "\x1b\x07\n\udcff")


def test_headers_within_headers_are_refused(tmp_path: Path) -> None:
    # Each says that the next one has a long name: tarfile follows them by calling itself.
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 512
    block = member.tobuf(tarfile.GNU_FORMAT) + b"x" * 511 + b"\0"
    file = tmp_path / "x.tar"
    file.write_bytes(block * 5000 + bytes(1024))
    with pytest.raises(SourceError, match=r"is not a whole \.tar archive"):
        listed(file)


def test_a_file_of_negative_size_does_not_go_round_in_circles(picture: Any, tmp_path: Path) -> None:
    file = tar(tmp_path / "x.tar", content=png(picture()))
    content = bytearray(file.read_bytes())
    content[124:136] = b"\xff" * 10 + struct.pack(">h", -1024)
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    file.write_bytes(content)
    with pytest.raises(SourceError, match=r"is not a whole \.tar archive"):
        listed(file)


def test_too_many_members_are_refused(picture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_headers, "MAX_MEMBERS", 3)
    with pytest.raises(SourceError, match="lists more than 3 files"):
        listed(tar(tmp_path / "x.tar", content=png(picture())))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_bomb_is_not_unpacked_to_the_end(
    pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "FREE_BYTES", 2**20)
    file = tmp_path / "bomb.tar.gz"
    file.write_bytes(pack(bytes(2**26)))
    with pytest.raises(SourceError, match="unpacks to more than 200 times its size"):
        listed(file)


def test_damaged_compression_is_told_in_words(picture: Any, tmp_path: Path) -> None:
    whole = tar(tmp_path / "x.tar", content=png(picture())).read_bytes()
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        packed = bytearray(pack(whole))
        packed[len(packed) // 2] ^= 0xFF
        packed[len(packed) // 3] ^= 0xFF
        file = tmp_path / "x.tar.gz"
        file.write_bytes(packed)
        with pytest.raises(SourceError):
            listed(file)


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_folders_of_links_to_each_other_come_to_an_end(picture: Any, tmp_path: Path) -> None:
    folders = [tmp_path / "photos" / f"class{i}" for i in range(12)]
    for folder in folders:
        folder.mkdir(parents=True)
        picture().save(folder / "a.png")
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    found = Folder(tmp_path / "photos", "photos").listing()
    assert 12 <= len(found.entries) <= 12 * MOST_VISITS
    assert any("entered 16 times already" in problem.reason for problem in found.problems)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_in_a_folder_are_not_opened(photos: Any, tmp_path: Path) -> None:
    folder = photos({"cat": 3, "dog": 3})
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "zero.png").symlink_to("/dev/zero")
    assert len(open_source(folder).train) + len(open_source(folder).test) == 6


# ---- images


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(2**24), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def png_text_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    text = b"Comment\0\0" + zlib.compress(bytes(2**28), 9)
    rows = zlib.compress(bytes(4 * 13))
    parts = chunk(b"IHDR", header), *[chunk(b"zTXt", text)] * 4, chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_profile_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    profile = b"icc\0\0" + zlib.compress(bytes(2**28), 9)
    rows = zlib.compress(bytes(4 * 13))
    parts = chunk(b"IHDR", header), chunk(b"iCCP", profile), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_bomb() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    content = bytearray(file.getvalue())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    return bytes(content)


def gif_bomb() -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0)
        + bytes(6)
        + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
    )


def gif_large_frame() -> bytes:
    """A small screen with a frame of four thousand million pixels."""
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0)
        + bytes(6)
        + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
    )


def tiff_bomb(width: int = 100_000, strips: int = 1) -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, 100_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, strips, 8), (277, 3, 1, 1), (278, 4, 1, 100_000), (279, 4, strips, 8)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


BOMBS = {
    "png": png_bomb,
    "jpeg": jpeg_bomb,
    "gif": gif_bomb,
    "gif, a large frame": gif_large_frame,
    "tiff": tiff_bomb,
    "tiff, four thousand million strips": lambda: tiff_bomb(4, 2**32 - 1),
    "bmp": lambda: (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    ),
    "ppm": lambda: b"P6 60000 60000 255\n" + bytes(100),
    "tga": lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 65_535, 65_535, 24, 0) + bytes(40),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_images_that_claim_to_be_huge_are_refused(kind: str) -> None:
    with pytest.raises(CorruptImageError, match=r"^bomb: ") as caught:
        decode_image(BOMBS[kind](), name="bomb", channels=3, stored=32)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("make", [png_text_bomb, png_profile_bomb])
def test_what_comes_along_with_an_image_is_not_unpacked(make: Any) -> None:
    content = make()
    tracemalloc.start()
    try:
        decode_image(content, name="bomb", channels=3, stored=4)
    except CorruptImageError:
        pass  # either is fine
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2**27


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_deep_greys_keep_their_values(mode: str) -> None:
    values = np.array([[0, 255, 256], [65_535, 40_000, 513]])
    if mode == "F":
        image, expected = (
            Image.fromarray((values / 65_535).astype(np.float32)),
            np.round(values / 257).astype(int),
        )
    else:
        image, expected = Image.fromarray(values.astype(np.int32 if mode == "I" else np.uint16)), values >> 8
    assert image.mode == mode
    file = io.BytesIO()
    image.save(file, "TIFF")
    decoded = decode_image(file.getvalue(), name="deep", channels=1, stored=None)
    assert np.abs(decoded[..., 0].astype(int) - expected).max() <= (1 if mode == "F" else 0)


# ---- tables


def table(path: Path, images: list[bytes], labels: list[Any], features: Any = None, **options: Any) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    made = pa.table(
        {"image": pa.array([{"bytes": i, "path": None} for i in images], kind), "label": pa.array(labels)}
    )
    if features is not None:
        made = made.replace_schema_metadata({"huggingface": features})
    pq.write_table(made, path, **options)
    return path


def test_a_billion_rows_are_not_listed(tmp_path: Path, picture: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    rows = 5_000_000
    image = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([png(picture())]))
    pq.write_table(pa.table({"image": image, "label": pa.array(np.zeros(rows, np.int8))}), path)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(SourceError, match=r"claims to have 5,000,000 rows and 2 columns in [\d,]+ bytes"):
        open_source(path)


def test_a_column_that_unpacks_to_gigabytes_is_not_read(tmp_path: Path, picture: Any) -> None:
    images = [png(picture(i)) for i in range(3)] + [bytes(2**28 + 2**20)]
    path = table(tmp_path / "bomb.parquet", images, [0, 1, 0, 1], compression="zstd")
    assert path.stat().st_size < 2**20
    with pytest.raises(SourceError, match="unpacks to more than 200 times its size"):
        open_source(path)


def test_a_long_label_on_many_rows_is_kept_once(tmp_path: Path, picture: Any) -> None:
    images = [png(picture(i)) for i in range(2)] * 400
    path = table(tmp_path / "labels.parquet", images, ["x" * 2**20, "y" * 2**20] * 400)
    with pytest.raises(SourceError, match="a label of 1,048,576 characters; a class name has at most 1,000"):
        open_source(path)


@pytest.mark.parametrize(
    "features",
    [
        "[" * 100_000,
        "{}",
        "[]",
        "5",
        '{"info": 5}',
        '{"info": {"features": [1]}}',
        '{"info": {"features": {"label": 5}}}',
        "\xff",
    ],
    ids=["deep", "empty", "list", "number", "info", "features", "label", "text"],
)
def test_strange_metadata_is_ignored(features: str, tmp_path: Path, picture: Any) -> None:
    images = [png(picture(i)) for i in range(8)]
    dataset = open_source(table(tmp_path / "x.parquet", images, [0, 1] * 4, features))
    assert dataset.classes == ("0", "1")


@pytest.mark.parametrize("names", [5, {"a": 1}, [1, 2], "cat"])
def test_class_names_that_are_none_are_refused(names: Any, tmp_path: Path, picture: Any) -> None:
    images = [png(picture(i)) for i in range(8)]
    features = json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}})
    with pytest.raises(SourceError, match="are no list of texts"):
        open_source(table(tmp_path / "x.parquet", images, [0, 1] * 4, features))


def test_more_labels_than_images_are_told_and_nothing_is_kept(
    tmp_path: Path, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged pages can leave the columns of a table of different lengths."""
    file = table(tmp_path / "t.parquet", [png(picture(k)) for k in range(4)], [0, 1, 0, 1])
    whole = Table._labels
    monkeypatch.setattr(Table, "_labels", lambda self, *given: [*whole(self, *given), 0, 1])
    for _ in range(2):
        with pytest.raises(SourceError, match="it has labels for 6 rows, but images for 4"):
            open_source(file)
