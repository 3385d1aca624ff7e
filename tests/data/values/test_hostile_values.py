"""Files of values that were made to do harm, or broke on the way: no pickle, no room for what is only claimed."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from skipline.data import open_source
from skipline.data.values import reading
from skipline.errors import SourceError

X, Y = np.zeros((8, 4), np.float32), np.arange(8) % 2


def header(shape: str, descr: str = "'<f4'", version: int = 1, order: str = "False") -> bytes:
    """The head of a .npy file that claims something."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive(path: Path, x: bytes, y: bytes | None = None, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("X.npy", x)
        file.writestr("y.npy", saved(Y) if y is None else y)
    return path


def refusal(path: Path) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(SourceError) as caught:
            open_source(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26  # nothing was made for what a file only claims
    finally:
        tracemalloc.stop()
    return str(caught.value).replace(f"{path.parent}/", "")


CLAIMS = [
    (header("(1000000, 1000000)"), "says that it holds 1000000 x 1000000 values of float32, 4,000,000,000,000 bytes, "
        "but 0 bytes follow: it is damaged; save it again"),
    (header("(2, 3)") + bytes(20), "says that it holds 2 x 3 values of float32, 24 bytes, but 20 bytes follow: it is "
        "damaged; save it again"),
    (header("(2, 3)") + bytes(30), "says that it holds 2 x 3 values of float32, 24 bytes, but 30 bytes follow: it is "
        "damaged; save it again"),
    (header("(2,)", "'|O'") + b"cos\nsystem\n", "holds Python objects, which only pickle can read, and a pickle can "
        "run code: expected real numbers, or texts as labels; save it as X.astype('float32') or y.astype(str)"),
    (header("(1,)", "'<c8'") + bytes(8), "holds complex numbers: expected real numbers, or texts as labels; save it as "
        "X.astype('float32') or y.astype(str)"),
    (header("(1,)", "[('a', '<f4')]") + bytes(4), "holds records of several fields: expected real numbers, or texts as "
        "labels; save it as X.astype('float32') or y.astype(str)"),
    (header("(1,)", "'<M8[s]'") + bytes(8), "holds dates: expected real numbers, or texts as labels; save it as "
        "X.astype('float32') or y.astype(str)"),
    (header("(-1, -4)") + bytes(16), "is no .npy array: '\"the shape (-1, -4)\"'. Expected one written by numpy.save"),
    (header("(True, 4)") + bytes(16), "is no .npy array: '\"the shape (True, 4)\"'. Expected one written by "
        "numpy.save"),
]  # fmt: skip
BROKEN = [
    b"",
    b"\x93NUM",
    b"not an array at all",
    header("(1,)")[:20],
    header("__import__('os').system('touch harm')"),
    header("(" * 5000 + ")" * 5000),
    header("(2, 2), 'more': 1"),
    header("[2, 2]"),
    header("(2, 2)", "'no type'"),
    header("(2, 2)", "'<f4'", order="5"),
    b"\x93NUMPY\x03\x00" + struct.pack("<I", 10) + b"0123456789",
    b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{",
    b"\x93NUMPY\x09\x09" + bytes(100),
]


@pytest.mark.parametrize("content", [content for content, _ in CLAIMS])
def test_what_a_header_claims_is_checked_first(tmp_path: Path, content: bytes):
    message = dict(CLAIMS)[content].replace("'\"the", "'the").replace(")\"'", ")'")
    (tmp_path / "X.npy").write_bytes(content)
    np.save(tmp_path / "y.npy", Y)
    assert refusal(tmp_path / "X.npy") == f"'X.npy' {message}"
    assert refusal(archive(tmp_path / "a.npz", content)) == f"'X' in 'a.npz' {message}"


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_array_is_said_to_be_none(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "X.npy").write_bytes(content)
    np.save(tmp_path / "y.npy", Y)
    assert refusal(tmp_path / "X.npy").startswith("'X.npy' is no .npy array: ")
    assert refusal(archive(tmp_path / "a.npz", content)).startswith("'X' in 'a.npz' is no .npy array: ")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == [
        "X.npy",
        "a.npz",
        "y.npy",
    ]


def test_labels_are_read_as_carefully(tmp_path: Path):
    assert refusal(archive(tmp_path / "a.npz", saved(X), header("(8,)", "'|O'") + b"x")).startswith(
        "'y' in 'a.npz' holds Python objects, which only pickle can read"
    )


def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "FREE_BYTES", 2**16)
    path = archive(
        tmp_path / "a.npz", header("(512, 512)") + bytes(4 * 512 * 512), compression=zipfile.ZIP_DEFLATED
    )
    assert "unpacks from" in refusal(path)
    assert refusal(path).endswith(
        "bytes, more than 200 times as many: expected numbers, which shrink less; save it with numpy.savez"
    )


def test_a_member_that_claims_to_be_larger_than_it_is(tmp_path: Path):
    """The directory of the archive and the header of the array tell the same lie."""
    path = tmp_path / "a.npz"
    content = header("(250000, 1000)") + bytes(64)
    archive(path, content)
    claimed = len(content) - 64 + 10**9
    raw = path.read_bytes().replace(struct.pack("<I", len(content)) * 2, struct.pack("<I", claimed) * 2)
    path.write_bytes(raw)
    message = refusal(path)
    assert message.startswith("'X' in 'a.npz' ")
    assert message.endswith(("save it again", "Save it again"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_a_broken_archive(tmp_path: Path, damage: str):
    path = archive(tmp_path / "a.npz", saved(np.random.default_rng(0).normal(size=(8, 40))))
    raw = path.read_bytes()
    damaged = {
        "cut": raw[:200],
        "flipped": raw[:300] + b"\0\1\2\3" + raw[304:],
        "text": b"PK...",
        "empty": b"",
    }
    path.write_bytes(damaged[damage])
    expected = "'X' in 'a.npz' is damaged: " if damage == "flipped" else "'a.npz' is no .npz archive: "
    assert refusal(path).startswith(expected)


def test_an_encrypted_member(tmp_path: Path):
    path = archive(tmp_path / "a.npz", saved(X))
    raw = bytearray(path.read_bytes())
    raw[6] |= 1  # the local header's flag
    start = raw.index(b"PK\1\2")
    raw[start + 8] |= 1
    path.write_bytes(raw)
    assert refusal(path).startswith("'X' in 'a.npz' is damaged: ")


def test_too_many_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "MOST_ARRAYS", 3)
    np.savez(tmp_path / "a.npz", **{f"a{i}": X for i in range(5)})
    assert refusal(tmp_path / "a.npz") == "'a.npz' holds 5 arrays, more than 3: expected X and y"


def test_more_than_this_machine_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "available_bytes", lambda: 2**31)
    path = tmp_path / "X.npy"
    with path.open("wb") as file:  # sparse: it takes no room on disk
        head = header("(1000, 1000000)")
        file.write(head)
        file.truncate(len(head) + 4 * 10**9)
    np.save(tmp_path / "y.npy", Y)
    assert refusal(path) == "'X.npy' needs 11.2 GiB of memory, 2.0 GiB are free: take fewer rows"


@pytest.mark.parametrize("shape", [(4, 2000, 3), (2, 1, 20_000, 1), (2, 1_100_000)])
def test_sides_have_bounds(tmp_path: Path, shape: tuple[int, ...]):
    np.savez(tmp_path / "a.npz", X=np.zeros(shape, np.int8), y=np.arange(shape[0]))
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / "a.npz")
    assert str(caught.value).endswith(
        "with at most 1,024 channels, 1,048,576 values of a series and sides of 16,384; cut it into parts"
    )


def test_a_name_that_steers_a_terminal_reaches_nobody_raw(tmp_path: Path):
    (tmp_path / "a.csv").write_text("a,1,2\nb,\x1b[31m,3\n")
    assert "\x1b" not in refusal(tmp_path / "a.csv")
