"""Starting and stopping: sockets, worker processes, signals."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from skipline.engines.choice import PRECISIONS
from skipline.errors import InputError, MissingExtraError, UnknownNameError
from skipline.serving.limits import Limits

BACKLOG = 2048  # connections that the system holds until a process takes them
EXTRA = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


@dataclass(frozen=True)
class Settings:
    """What a server is.

    Attributes:
        target: a bundle, or a run that holds one.
        host: address to listen on.
        port: 0 for one that is free.
        workers: processes, at least 1; each loads the bundle, and they share the cores.
        limits: of each process.
        token: that clients must show, or None.
        precision: "auto" for whichever format is faster and agrees with fp32, "fp32" or "bf16".
    """

    target: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    token: str | None = field(default=None, repr=False)
    precision: str = "auto"


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C; all requests that were accepted by then are answered.

    Args:
        settings: what to serve, and how.
        announce: told the model's name and the address, once requests are taken.

    Raises:
        InputError: there is no such bundle or precision, or the address cannot be listened on.
        MissingExtraError: the extra `serve` is not installed.
    """
    for package in EXTRA:
        if find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "serve", "skipline serve")
    if settings.workers < 1:
        raise InputError(f"expected at least 1 worker, arrived {settings.workers}")
    if settings.precision not in PRECISIONS:
        raise UnknownNameError("precision", settings.precision, PRECISIONS)
    from skipline.bundle import load_bundle
    from skipline.serving.answering import served
    from skipline.serving.supervisor import supervise
    from skipline.serving.worker import work

    bundle = load_bundle(settings.target)  # also where workers load their own: a mistake is told here, once
    served(bundle)
    with listening(settings.host, settings.port) as (listener, address):
        ready = functools.partial(announce, f"{bundle.name} at {address}")
        if settings.workers == 1:
            work(settings, bundle, listener, ready)
        else:
            supervise(settings, listener, ready)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens.

    Args:
        host: name or address, of version 4 or 6.
        port: 0 for one that is free.

    Yields:
        The socket and its address as a URL.

    Raises:
        InputError: the address is not this machine's, or the port is taken.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"expected a port of 0 to 65535, arrived {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        known = error.errno is not None and error.errno > 0  # Python adds the address to the system's words
        reason = (os.strerror(error.errno or 0) if known else str(error.strerror or error)).lower()
        raise InputError(
            f"cannot listen on {host} port {port}: {reason}. Expected an address of this machine and a port that is "
            "free: choose others with --host and --port (0 takes any free port)"
        ) from error
    with listener:
        shown = f"[{host}]" if ":" in host else host
        yield listener, f"http://{shown}:{listener.getsockname()[1]}"
