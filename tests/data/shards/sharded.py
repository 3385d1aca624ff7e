"""Shards written by webdataset itself, and a server that they lie on."""

from __future__ import annotations

import functools
import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Shards = Callable[..., Path]


def encoded(number: int, kind: str = "PNG", side: int = 12) -> bytes:
    """An image file; equal numbers give equal files."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind)
    return target.getvalue()


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """A function that has webdataset's ShardWriter write a set: images 0, 1, ... of three classes in turn."""
    webdataset = pytest.importorskip("webdataset", reason="the extra shards is not installed")

    def write(
        root: str = "set",
        *,
        count: int = 60,
        first: int = 0,
        each: int = 25,
        pattern: str = "train-%06d.tar",
        sample: Callable[[int], dict[str, Any]] = lambda number: {"png": encoded(number), "cls": number % 3},
    ) -> Path:
        folder = tmp_path / root
        (folder / pattern).parent.mkdir(parents=True, exist_ok=True)
        with webdataset.ShardWriter(str(folder / pattern), maxcount=each, verbose=0) as sink:
            for number in range(first, first + count):
                sink.write({"__key__": f"{number:06d}", **sample(number)})
        return folder

    return write


class _Ranges(SimpleHTTPRequestHandler):
    """Serves files and, unlike its base, the ranges of bytes that are asked for."""

    ranges = True
    asked: list[tuple[str, str]]
    failures: list[int]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.asked.append((self.path, wanted))
        if self.failures and self.failures[0] > 0:
            self.failures[0] -= 1
            self.send_error(503)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        path = Path(self.translate_path(self.path))
        if found is None or not self.ranges or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        start, stop = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop}/{len(content)}")
        self.send_header("Content-Length", str(stop + 1 - start))
        self.send_header("ETag", '"of-this-content"')
        self.end_headers()
        self.wfile.write(content[start : stop + 1])

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


class Server:
    """A running server: its address, the requests so far, and how many of the next ones it shall fail."""

    def __init__(self, url: str, asked: list[tuple[str, str]], failures: list[int]) -> None:
        self.url, self.asked, self.failures = url, asked, failures


Serve = Callable[..., Any]


@pytest.fixture
def serve() -> Serve:
    """A context that serves a folder over HTTP, with or without ranges."""

    @contextmanager
    def serving(folder: Path, ranges: bool = True) -> Iterator[Server]:
        asked: list[tuple[str, str]] = []
        failures = [0]
        handler = type("Handler", (_Ranges,), {"ranges": ranges, "asked": asked, "failures": failures})
        with ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
        ) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield Server(f"http://127.0.0.1:{server.server_address[1]}", asked, failures)
            finally:
                server.shutdown()
                thread.join()

    return serving
