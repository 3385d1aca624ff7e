"""Servers inside the test's own process, and the things that are sent to them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from skipline.bundle import Bundle, load_bundle, save_bundle
from skipline.data import Preprocessing
from skipline.models import create
from skipline.serving import Limits, answerer
from skipline.serving.application import create_app
from skipline.serving.traffic import Traffic

CLASSES = ("cat", "dog", "owl")
PREPROCESSING = Preprocessing(channels=3, stored=20, side=16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved resnet20 for three classes; batch normalisation has seen images."""
    folder = tmp_path_factory.mktemp("served") / "bundle"
    network = create("resnet20", classes=3, channels=3, seed=1).train()
    with torch.no_grad():
        network(torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(2)))
    save_bundle(folder, network, CLASSES, PREPROCESSING, {}, {})
    return folder


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    """The bundle, read anew for each test."""
    return load_bundle(bundle_folder)


@pytest.fixture
def photo() -> Callable[..., bytes]:
    """A function that makes an encoded photo; equal seeds make equal photos."""

    def make(seed: int = 0, width: int = 40, height: int = 30, kind: str = "PNG") -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        return file.getvalue()

    return make


@pytest.fixture
def bomb() -> bytes:
    """A PNG of some dozen bytes that claims to have 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


class Held:
    """An answerer that waits until it is let go, and counts its passes.

    Attributes:
        passes: images of each forward pass so far.
        begun: set when a pass has begun.
        go: passes wait for it.
    """

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._answer = answer
        self.passes: list[int] = []
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(images))
        self.begun.set()
        assert self.go.wait(20)
        return self._answer(images)


@pytest.fixture
def held(bundle: Bundle) -> Iterator[Held]:
    """The bundle's answerer, held back."""
    made = Held(answerer(bundle))
    yield made
    made.go.set()


class Served:
    """A server in this process.

    Args:
        bundle: what answers.
        answer: None for the bundle's own.
        **options: of `create_app`.
    """

    def __init__(self, bundle: Bundle, answer: Any = None, **options: Any) -> None:
        limits = options.pop("limits", Limits())
        self.traffic = options.setdefault("traffic", Traffic())
        self.app = create_app(bundle, answer or answerer(bundle), limits, **options)

    def during(self, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        """Do some work with a client while the server lives."""

        async def run() -> Any:
            async with _lifespan(self.app):
                transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                    return await work(client)

        return asyncio.run(run())

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request."""
        return self.ask_all([(method, path, request)])[0]

    def ask_all(self, requests: Sequence[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """One request after another, to the same server."""

        async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
            return [await client.request(method, path, **request) for method, path, request in requests]

        answers: list[httpx.Response] = self.during(work)
        return answers


@contextlib.asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    """Start and end an application as a server does."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    living = asyncio.create_task(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        await to_app.put({"type": "lifespan.shutdown"})
        assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
        await living


@pytest.fixture
def served() -> type[Served]:
    """Makes servers."""
    return Served


def refused(response: httpx.Response) -> tuple[int, str, str]:
    """Status, error and expected of a refusal, which holds nothing else."""
    values = response.json()
    assert list(values) == ["error", "expected"]
    assert response.headers["content-type"] == "application/json"
    return response.status_code, values["error"], values["expected"]


@pytest.fixture
def refusal() -> Callable[[httpx.Response], tuple[int, str, str]]:
    """Reads a refusal."""
    return refused


@pytest.fixture
def encoded() -> Callable[[bytes], str]:
    """Base64 as text."""
    return lambda content: base64.b64encode(content).decode()
