"""A stream of blocks as a file that is read from beginning to end."""

from __future__ import annotations

import io
from collections.abc import Iterator


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
