"""Which requests are being answered, and whether new ones still are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

LINGER = (
    0.5  # seconds in which a stopping server still says so, instead of letting clients run into a closed port
)


class Traffic:
    """Counts requests from their first line to the end of their answer.

    Attributes:
        in_flight: requests that are being answered.
        stopping: whether new ones are refused.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._stopped_at: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether new requests are refused."""
        return self._stopped_at is not None

    def stop(self) -> None:
        """Refuse new requests from now on; may be called from a signal handler, and more than once."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()

    def over(self, grace: float) -> bool:
        """Whether the server may close: it is stopping, and all that it had accepted is answered or hopeless.

        Args:
            grace: seconds after which requests are no longer waited for.
        """
        if self._stopped_at is None:
            return False
        passed = time.monotonic() - self._stopped_at
        return passed >= (grace if self.in_flight else LINGER)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it is being answered."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
