"""Files behind HTTP: ranges of bytes, tried again where a connection breaks."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from skipline.errors import ShardError

ATTEMPTS = 6
FIRST_PAUSE = 0.25  # seconds, doubled with every attempt: 8 seconds in all
SECONDS_WITHOUT_A_BYTE = 20.0
BLOCK = 2**18
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
