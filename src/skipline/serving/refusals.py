"""Why a request is not answered: a status, what arrived, and what would have been answered."""

from __future__ import annotations

from collections.abc import Mapping

from skipline.serving.limits import Limits


class RefusedError(Exception):
    """A request that is not answered; becomes a JSON object {"error", "expected"}.

    Args:
        status: of HTTP, 400-599.
        error: what arrived, or what went wrong.
        expected: what would have been answered, or what to do.
        headers: more headers of the answer.
    """

    def __init__(
        self, status: int, error: str, expected: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.expected = expected
        self.headers = dict(headers or {})


def stopping() -> RefusedError:
    """The server has been told to stop."""
    return RefusedError(
        503,
        "the server is stopping: requests that it had accepted are answered, new ones are not",
        "the request at another server, or here once it has been started again",
        {"Retry-After": "5", "Connection": "close"},
    )


def body_too_long(error: str, limits: Limits) -> RefusedError:
    """A body beyond the limit."""
    return RefusedError(413, error, f"at most {limits.body_bytes:,} bytes a request")


def too_many_images(error: str, most: int) -> RefusedError:
    """More images than a request may hold."""
    return RefusedError(413, error, f"at most {most} {'image' if most == 1 else 'images'} a request")


def too_many_pixels(error: str, limits: Limits) -> RefusedError:
    """An image that is not even decoded."""
    return RefusedError(413, error, f"images of at most {limits.pixels / 1e6:.3g} million pixels")


def too_busy(what: str) -> RefusedError:
    """The queue is full, in images or in bytes."""
    expected = "the request again in a second, or fewer requests at a time"
    return RefusedError(429, what, expected, {"Retry-After": "1"})


def too_slow(seconds: float) -> RefusedError:
    """The answer did not come in time."""
    return RefusedError(
        503,
        f"there was no answer within {seconds:g} s",
        "the request again later, with fewer images, or fewer requests at a time",
        {"Retry-After": "1"},
    )
