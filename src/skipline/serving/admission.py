"""A bounded number of images and bytes on their way; what does not fit is refused at the door."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from skipline.serving.limits import Limits
from skipline.serving.refusals import body_too_long, too_busy


class Admission:
    """Counts what all requests together hold.

    Args:
        limits: the bounds.
        watch: told the places taken in the queue whenever they change.

    Attributes:
        images: places taken in the queue.
        bytes: of bodies in memory.
    """

    def __init__(self, limits: Limits, watch: Callable[[int], None]) -> None:
        self.limits = limits
        self.images = 0
        self.bytes = 0
        self._watch = watch

    def take(self, images: int, size: int) -> None:
        """Take so many places and bytes more, or fewer."""
        self.images += images
        self.bytes += size
        self._watch(self.images)

    @contextlib.contextmanager
    def request(self, length: int | None) -> Iterator[Share]:
        """Take a place for a request before its body is read, and give everything back in the end.

        Args:
            length: of the body in bytes, or None where the client does not say; then the largest is assumed.

        Yields:
            What the request holds.

        Raises:
            RefusedError: 413 for a body that is too long, 429 where there is no place.
        """
        if length is not None and length > self.limits.body_bytes:
            raise body_too_long(f"the body has {length:,} bytes", self.limits)
        share = Share(self)
        try:
            share.take_bytes(self.limits.body_bytes if length is None else length)
            share.take_images(1)
            yield share
        finally:
            share.give_back()


class Share:
    """What one request holds.

    Args:
        admission: where it is counted.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._images = 0
        self._bytes = 0

    def take_images(self, total: int) -> None:
        """Hold `total` places in the queue, those held already included.

        Raises:
            RefusedError: 429, there are not so many.
        """
        more = total - self._images
        if self._admission.images + more > self._admission.limits.queue:
            raise too_busy(
                f"{self._admission.images - self._images} images are waiting already, "
                f"and the queue has {self._admission.limits.queue} places"
            )
        self._admission.take(more, 0)
        self._images = total

    def take_bytes(self, count: int) -> None:
        """Hold memory for a body.

        Raises:
            RefusedError: 429, too much is in use.
        """
        if self._admission.bytes + count > self._admission.limits.held_bytes:
            raise too_busy(f"{self._admission.bytes:,} bytes of other requests are in memory already")
        self._admission.take(0, count)
        self._bytes += count

    def give_back(self) -> None:
        """The request is answered."""
        self._admission.take(-self._images, -self._bytes)
        self._bytes = self._images = 0
