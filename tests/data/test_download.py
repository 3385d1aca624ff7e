"""Downloads from a server on this machine, and the original CIFAR in small."""

from __future__ import annotations

import hashlib
import http.server
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from skipline.data import cifar as cifar_module
from skipline.data import open_source
from skipline.data.download import fetch
from skipline.errors import DownloadError

CONTENT = bytes(range(256)) * 5000


class Server(http.server.ThreadingHTTPServer):
    """Serves one content; breaks off after some bytes, ignores ranges or is not there, as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.breaks_after: int | None = None
        self.knows_ranges = True
        self.status = 200
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        wish = self.headers.get("Range")
        server.asked.append(wish)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(wish.removeprefix("bytes=").rstrip("-")) if wish and server.knows_ranges else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start : server.breaks_after])


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def test_a_file_arrives_whole_and_reports_progress(server: Server, tmp_path: Path):
    calls: list[tuple[str, int, int]] = []
    fetch([server.url], tmp_path / "file.bin", md5(CONTENT), lambda *call: calls.append(call))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert calls[-1] == ("downloading file.bin", len(CONTENT), len(CONTENT))
    assert all(done < total for _, done, total in calls[:-1])
    fetch([server.url], tmp_path / "file.bin", md5(CONTENT))
    assert len(server.asked) == 1  # it was there


def test_a_broken_download_goes_on_where_it_broke_off(server: Server, tmp_path: Path):
    server.breaks_after = 400_000
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1:\d+: "):
        fetch([server.url], tmp_path / "file.bin", md5(CONTENT))
    assert (tmp_path / "file.bin.part").stat().st_size == 400_000
    server.breaks_after = None
    fetch([server.url], tmp_path / "file.bin", md5(CONTENT))
    assert server.asked == [None, "bytes=400000-"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert not (tmp_path / "file.bin.part").exists()


def test_a_server_that_cannot_go_on_in_the_middle_begins_anew(server: Server, tmp_path: Path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.knows_ranges = False
    fetch([server.url], tmp_path / "file.bin", md5(CONTENT))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_already_whole(server: Server, tmp_path: Path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch([server.url], tmp_path / "file.bin", md5(CONTENT))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path):
    fetch(["http://127.0.0.1:9/file.bin", server.url], tmp_path / "file.bin", md5(CONTENT))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_is_never_accepted(server: Server, tmp_path: Path):
    server.content = b"something else"
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1:\d+: what arrived has another checksum$"):
        fetch([server.url], tmp_path / "file.bin", md5(CONTENT))
    assert list(tmp_path.glob("*file.bin*")) == []


def test_every_mirrors_failure_is_told(server: Server, tmp_path: Path):
    server.status = 404
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1:\d+: 404 .*; 127\.0\.0\.1:9: .*refused$"):
        fetch([server.url, "http://127.0.0.1:9/x"], tmp_path / "file.bin", md5(CONTENT))


# ---- CIFAR-10 in small: the same files with fewer images

CLASSES = ["airplane", "automobile", "bird"]


@pytest.fixture
def small_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an archive like the published one; torchvision's checksums are changed to match it."""
    generator = np.random.default_rng(0)

    def batch(count: int) -> bytes:
        data = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
        return pickle.dumps({"data": data, "labels": [i % 3 for i in range(count)]})

    files = {
        "data_batch_1": batch(6),
        "test_batch": batch(3),
        "batches.meta": pickle.dumps({"label_names": CLASSES}),
    }
    folder = tmp_path / "brought"
    folder.mkdir()
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5(files["data_batch_1"])]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(files["batches.meta"])})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5((folder / "cifar-10-python.tar.gz").read_bytes()))
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    monkeypatch.setattr(cifar_module, "MIRRORS", ())
    return folder


def test_cifar_from_an_archive_that_was_brought(small_cifar: Path):
    dataset = open_source("cifar10", data_root=small_cifar)
    assert dataset.name == "cifar10"
    assert dataset.classes == tuple(CLASSES)
    assert dataset.train.images.shape == (6, 32, 32, 3)
    assert dataset.test.labels.tolist() == [0, 1, 2]
    assert not dataset.photographic
    assert [path.name for path in small_cifar.iterdir()] == [
        "cifar-10-python.tar.gz"
    ]  # nothing was unpacked there
    assert open_source("cifar10").fingerprint == dataset.fingerprint  # now it is here


def test_cifar_from_files_that_were_unpacked(small_cifar: Path, tmp_path: Path):
    with tarfile.open(small_cifar / "cifar-10-python.tar.gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            path = tmp_path / "unpacked" / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
    dataset = open_source("cifar10", data_root=tmp_path / "unpacked", channels=1, stored=16)
    assert dataset.train.images.shape == (6, 16, 16, 1)


def test_cifar_is_downloaded_from_a_mirror(
    small_cifar: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    server.content = (small_cifar / "cifar-10-python.tar.gz").read_bytes()
    monkeypatch.setattr(cifar_module, "MIRRORS", (server.url.removesuffix("file.bin"),))
    calls: list[str] = []
    dataset = open_source("cifar10", progress=lambda what, done, total: calls.append(what))
    assert len(dataset.train) == 6
    assert calls[-1] == "downloading cifar-10-python.tar.gz"


def test_without_network_the_error_says_which_file_to_bring_and_where(small_cifar: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for root, where, how in (
        (None, tmp_path / "home" / "downloads", ""),
        (empty, empty, " with the same --data-root"),
    ):
        with pytest.raises(DownloadError) as caught:
            open_source("cifar10", data_root=root)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith("cifar10 could not be downloaded (127.0.0.1:9: ")
        assert message.endswith(
            "Bring cifar-10-python.tar.gz (from http://127.0.0.1:9/cifar-10-python.tar.gz, "
            f"md5 {CIFAR10.tgz_md5}), put it into '{where}' and run this again{how}"
        )


def test_a_damaged_archive_is_named(small_cifar: Path):
    archive = small_cifar / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-5])
    with pytest.raises(DownloadError) as caught:
        open_source("cifar10", data_root=small_cifar)
    assert str(caught.value).startswith(
        f"'{archive}' has another checksum than the published file, and cifar10 could not be downloaded"
    )


def test_the_published_checksums_are_torchvisions():
    assert CIFAR10.tgz_md5 == "c58f30108f718f92721af3b95e74349a"
