"""Where a shard lies and how pieces of it are read: a file, or an address that is asked for ranges of bytes."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skipline.data.archive import read_at
from skipline.data.decoding import reason_of
from skipline.data.shards.forward import Forward
from skipline.data.shards.remote import RemoteFile
from skipline.data.shards.whole import Whole
from skipline.data.tar_headers import Readable
from skipline.errors import ShardError


@dataclass(frozen=True)
class State:
    """What tells whether a shard is still the same.

    Attributes:
        size: bytes.
        stamp: modification time, or what a server gives as ETag or Last-Modified.
    """

    size: int
    stamp: str


class Place(ABC):
    """One shard.

    Attributes:
        name: relative to the set, such as "train-000000.tar" or "train/3.tar".
        gap: bytes between two samples that are cheaper to read than to ask again.
        streams: reads that are worth having under way at a time; 0 for one a core.
    """

    gap = 2**16
    streams = 0

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def key(self) -> str:
        """Names it among all shards anywhere."""

    @abstractmethod
    def state(self) -> State:
        """Size and stamp.

        Raises:
            FileNotFoundError: there is no such shard.
            ShardError: it cannot be asked.
        """

    @abstractmethod
    def read(self, start: int, size: int) -> bytes:
        """A piece, short where the shard ends.

        Raises:
            ShardError: it cannot be read.
        """

    @abstractmethod
    def through(self) -> Iterator[bytes]:
        """The whole shard in blocks.

        Raises:
            ShardError: it cannot be read.
        """


class LocalShard(Place):
    """A shard in a file.

    Args:
        path: the file.
        name: as in `Place`.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(name)
        self.path = path

    @property
    def key(self) -> str:
        """The path."""
        return str(self.path.resolve())

    def state(self) -> State:
        """Size and modification time."""
        status = self.path.stat()
        return State(status.st_size, str(status.st_mtime_ns))

    def read(self, start: int, size: int) -> bytes:
        """A piece; the file is opened for it, as thousands of shards cannot all stay open."""
        try:
            with self.path.open("rb", buffering=0) as file:
                return read_at(file, start, size)
        except OSError as error:
            raise ShardError(f"{self.name}: {reason_of(error)}. Bring '{self.path}' back") from error

    def through(self) -> Iterator[bytes]:
        """The whole shard in blocks."""
        try:
            with self.path.open("rb") as file:
                while block := file.read(2**20):
                    yield block
        except OSError as error:
            raise ShardError(f"{self.name}: {reason_of(error)}. Bring '{self.path}' back") from error


class RemoteShard(Place):
    """A shard behind HTTP, of which ranges of bytes are asked for.

    A server that knows no ranges gives it as a whole, once, into the cache folder.

    Args:
        url: its address.
        name: as in `Place`.
    """

    gap = 2**18
    streams = 8

    def __init__(self, url: str, name: str) -> None:
        super().__init__(name)
        self._file = RemoteFile(url)
        self._whole = Whole(self._file)

    @property
    def key(self) -> str:
        """The address."""
        return self._file.url

    @property
    def in_pieces(self) -> bool:
        """Whether the server gives ranges of bytes."""
        return self._file.head().ranges

    def state(self) -> State:
        """Content-Length, and ETag or Last-Modified."""
        head = self._file.head()
        return State(head.size, head.stamp)

    def read(self, start: int, size: int) -> bytes:
        """A piece, asked for again where the connection breaks."""
        if not self._file.head().ranges:
            with self._whole.opened() as file:
                return read_at(file, start, size)
        return self._file.read(start, size)

    def through(self) -> Iterator[bytes]:
        """The whole shard in blocks."""
        return self._file.through()


@contextmanager
def headers_of(place: Place) -> Iterator[Readable]:
    """A shard as a file whose headers are walked over: a local one skips what lies between, a remote one reads it."""
    if isinstance(place, LocalShard):
        try:
            with place.path.open("rb", buffering=io.DEFAULT_BUFFER_SIZE) as file:
                yield file
        except OSError as error:
            raise ShardError(f"{place.name}: {reason_of(error)}. Bring '{place.path}' back") from error
    else:
        blocks = place.through()
        try:
            yield Forward(blocks)
        finally:
            blocks.close()  # type: ignore[attr-defined]  # a generator: it holds a connection


def digest_of(place: Place) -> tuple[str, int]:
    """SHA-256 (hex) and size of a shard, read from beginning to end."""
    digest, size = hashlib.sha256(), 0
    for block in place.through():
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size
