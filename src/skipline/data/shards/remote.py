"""Files behind HTTP: ranges of bytes, tried again where a connection breaks, and whole where a server has no ranges."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from skipline.data.home import check_room, shards_folder, sole_writer, storage_errors
from skipline.data.progress import silent
from skipline.errors import ShardError

ATTEMPTS = 6
FIRST_PAUSE = 0.25  # seconds, doubled with every attempt: 8 seconds in all
SECONDS_WITHOUT_A_BYTE = 20.0
BLOCK = 2**18
KEPT_BYTES = 8 * 2**30  # of whole shards, for servers without ranges
Result = TypeVar("Result")


@dataclass(frozen=True)
class Head:
    """What a server says about a file.

    Attributes:
        size: bytes.
        stamp: its ETag or else Last-Modified, "" where it gives neither.
        ranges: whether it gives ranges of bytes.
    """

    size: int
    stamp: str
    ranges: bool


class RemoteFile:
    """A file behind HTTP or HTTPS; proxies are taken from the environment, redirections are followed.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._known: Head | None = None

    def head(self) -> Head:
        """Ask for one byte, which tells all of it.

        Raises:
            FileNotFoundError: the server has no such file.
            ShardError: it cannot be reached, refuses, or does not say how large the file is.
        """
        if self._known is None:
            self._known = self._patiently(self._head)
        return self._known

    def read(self, start: int, size: int) -> bytes:
        """A range of bytes, short where the file ends.

        Raises:
            ShardError: the server cannot be reached, refuses, or gives something else.
        """
        size = min(size, self.head().size - start)
        return b"" if size <= 0 else self._patiently(lambda: self._range(start, size))

    def whole(self, limit: int) -> bytes:
        """The content of a small file.

        Raises:
            FileNotFoundError: the server has no such file.
            ShardError: it cannot be read, or is larger than `limit` bytes.
        """

        def fetch() -> bytes:
            with self._open({}) as answer:
                return bytes(answer.read(limit + 1))

        content = self._patiently(fetch)
        if len(content) > limit:
            raise ShardError(f"{self.url}: more than {limit:,} bytes, which no such file has")
        return content

    def through(self) -> Iterator[bytes]:
        """The whole file in blocks; where the connection breaks, it goes on there if the server has ranges.

        Raises:
            ShardError: it cannot be read to its end.
        """
        head, have, failures = self.head(), 0, 0
        while have < head.size:
            try:
                with self._open({"Range": f"bytes={have}-"} if have else {}) as answer:
                    if have and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                        raise ShardError(
                            f"{self.url}: the connection broke, and the server cannot go on there"
                        )
                    while block := answer.read(min(BLOCK, head.size - have) or 1):
                        have += len(block)
                        failures = 0
                        yield block
                if have < head.size:
                    raise OSError(f"the connection broke off after {have:,} of {head.size:,} bytes")
            except (OSError, http.client.HTTPException) as error:  # noqa: PERF203
                failures += 1
                self._wait(failures, error)

    def _head(self) -> Head:
        with self._open({"Range": "bytes=0-0"}) as answer:
            ranged = answer.status == http.HTTPStatus.PARTIAL_CONTENT
            told = (
                answer.headers.get("Content-Range", "")
                if ranged
                else answer.headers.get("Content-Length", "")
            )
            size = told.rpartition("/")[2] if ranged else told
            if not size.isdecimal() or len(size) > 18:
                raise ShardError(
                    f"{self.url}: the server does not say how many bytes it has. Download it first"
                )
            stamp = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            return Head(int(size), stamp, ranged)

    def _range(self, start: int, size: int) -> bytes:
        with self._open({"Range": f"bytes={start}-{start + size - 1}"}) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                raise ShardError(
                    f"{self.url}: the server gave ranges of bytes before, but does so no more. Try again later"
                )
            content = bytes(answer.read())
        if len(content) != size:
            raise OSError(f"{len(content):,} bytes came instead of {size:,}")
        return content

    def _open(self, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(self.url, headers={"User-Agent": "skipline", **headers})
        try:
            return urllib.request.urlopen(request, timeout=SECONDS_WITHOUT_A_BYTE)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE):
                    raise FileNotFoundError(f"there is no {self.url}") from error
                if error.code < 500 and error.code != http.HTTPStatus.TOO_MANY_REQUESTS:
                    raise ShardError(
                        f"{self.url}: the server refuses ({error.code} {error.reason})"
                    ) from error
                raise OSError(f"{error.code} {error.reason}") from error
        except (ValueError, http.client.InvalidURL) as error:
            raise ShardError(f"{self.url}: no address that can be asked ({error})") from error

    def _patiently(self, work: Callable[[], Result]) -> Result:
        failures = 0
        while True:
            try:
                return work()
            except FileNotFoundError:  # noqa: PERF203
                raise
            except (OSError, http.client.HTTPException) as error:
                failures += 1
                self._wait(failures, error)

    def _wait(self, failures: int, error: Exception) -> None:
        if failures >= ATTEMPTS:
            reason = " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
            raise ShardError(
                f"{self.url}: cannot be read after {ATTEMPTS} attempts ({reason}). Look at the network and the server"
            ) from error
        time.sleep(FIRST_PAUSE * 2 ** (failures - 1))


class Forward:
    """Blocks as a file that is read from beginning to end; it can go back by the last two blocks of a tar alone.

    Args:
        blocks: of the file, in order.
    """

    KEPT = 1024

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._ahead = bytearray()  # from `_start` on: bytes that are kept, then those still to be read
        self._start = self._at = 0

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Skip, by reading; going back further than `KEPT` is an error of the caller."""
        assert whence == io.SEEK_SET, whence
        assert offset >= self._start, (offset, self._start)
        while self._start + len(self._ahead) < offset:
            self._at = self._start + len(self._ahead)
            self._forget()
            if not self._more():
                break
        self._at = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        """Bytes, short where the file ends."""
        while self._start + len(self._ahead) < self._at + size and self._more():
            pass
        begin = self._at - self._start
        content = bytes(self._ahead[begin : begin + size])
        self._at += len(content)
        self._forget()
        return content

    def _more(self) -> bool:
        block = next(self._blocks, b"")
        self._ahead += block
        return bool(block)

    def _forget(self) -> None:
        passed = self._at - self.KEPT - self._start
        if passed > 0:
            del self._ahead[:passed]
            self._start += passed


class Whole:
    """A file of a server without ranges, kept whole in the cache folder while it is of use.

    All processes of a machine share what is kept; what was used longest ago makes room for others.

    Args:
        file: which.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The file, fetched if it is not there; it can be read on even when another process removes it.

        Raises:
            ShardError: it cannot be fetched.
            StorageError: there is no room for it.
        """
        with self._open() or self._fetched() as file:
            yield file

    @property
    def _path(self) -> Path:
        head = self._file.head()
        text = f"{self._file.url}\0{head.size}\0{head.stamp}"
        return shards_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.tar"

    def _open(self) -> IO[bytes] | None:
        path = self._path
        try:
            file = path.open("rb")
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return file

    def _fetched(self) -> IO[bytes]:
        path, size = self._path, self._file.head().size
        folder = path.parent
        with sole_writer(folder, "whole", silent):  # one at a time: several would keep more than is allowed
            file = self._open()
            if file is not None:
                return file
            _make_room(folder, size)
            check_room(folder, size)
            partial = path.with_name(f".{path.stem}.{os.getpid()}.partial")
            try:
                with storage_errors(folder, size), partial.open("wb") as target:
                    for block in self._file.through():
                        target.write(block)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            file = self._open()
            assert file is not None, path
            return file


def _make_room(folder: Path, size: int) -> None:
    """Remove whole shards, that used longest ago first, until one more fits into what may be kept."""
    kept = []
    for path in folder.glob("*.tar"):
        with contextlib.suppress(OSError):
            kept.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    total = sum(bytes_ for _, bytes_, _ in kept) + size
    for _, bytes_, path in sorted(kept):
        if total <= KEPT_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= bytes_
