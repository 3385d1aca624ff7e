"""Whether a server can be reached, found out in seconds."""

from __future__ import annotations

import socket
import urllib.request
from urllib.parse import urlparse

CONNECT_SECONDS = 4.0


def knock(url: str) -> None:
    """Connect to a server and hang up: a closed network is noticed sooner than by a downloader with its own patience.

    Args:
        url: of anything on it.

    Raises:
        OSError: nobody answers.
    """
    address = urlparse(url)
    if address.scheme in urllib.request.getproxies():
        return  # the proxy knows the way; this machine may not
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname or "", port), timeout=CONNECT_SECONDS).close()
