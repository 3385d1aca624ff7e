"""Servers on this machine in place of the hub's and PyTorch's, and small files of weights."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from skipline.models import create

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class StandIn(http.server.ThreadingHTTPServer):
    """Serves what `files` holds: at its path, or as a hub at /OWNER/NAME/resolve/REVISION/FILE.

    Attributes:
        files: content by path ("/models/x.pth") or by repository and file ("timm/resnet18.x/config.json").
        asked: method and path of every request.
        codes: whether a missing file is explained in the hub's own header, or by a bare 404.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.codes = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.server.asked.append((self.command, self.path))
        repository, resolved, rest = self.path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        name = repository.removeprefix("/")
        content = self.server.files.get(f"{name}/{file}" if resolved else self.path)
        if resolved and revision not in ("main", COMMIT):
            return self._missing("RevisionNotFound")
        if content is None:
            known = any(path.startswith(f"{name}/") for path in self.server.files)
            return self._missing("EntryNotFound" if known else "RepoNotFound")
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None

    def _missing(self, code: str) -> None:
        self.send_response(404)
        if self.server.codes:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in as the hub, with a cache of its own; the library has read its environment long ago."""
    constants = pytest.importorskip("huggingface_hub.constants")
    use_hub(constants, stand_in.url, tmp_path / "hf", monkeypatch)
    return stand_in


@pytest.fixture
def closed_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub that nobody answers for."""
    constants = pytest.importorskip("huggingface_hub.constants")
    url = "http://127.0.0.1:9"
    use_hub(constants, url, tmp_path / "hf", monkeypatch)
    return url


def use_hub(constants: object, url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="session")
def resnet18() -> dict[str, torch.Tensor]:
    """ResNet-18 for 1000 classes, as torchvision and timm would save it."""
    return create("resnet18", seed=18).state_dict()


@pytest.fixture(scope="session")
def timm_file(resnet18: dict[str, torch.Tensor]) -> bytes:
    return save(resnet18)


@pytest.fixture(scope="session")
def torchvision_file(resnet18: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(resnet18, buffer)
    return buffer.getvalue()


@pytest.fixture
def timm_config() -> dict[str, object]:
    """The values of timm/resnet18.a1_in1k as its config.json has them, with a scale that no default has."""
    return {
        "architecture": "resnet18",
        "num_classes": 1000,
        "num_features": 512,
        "pretrained_cfg": {
            "tag": "a1_in1k",
            "custom_load": False,
            "input_size": [3, 224, 224],
            "test_input_size": [3, 288, 288],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": 0.95,
            "test_crop_pct": 1.0,
            "crop_mode": "center",
            "mean": [0.5, 0.4, 0.3],
            "std": [0.3, 0.2, 0.1],
            "num_classes": 1000,
            "pool_size": [7, 7],
            "first_conv": "conv1",
            "classifier": "fc",
        },
    }


@pytest.fixture
def timm_hub(hub: StandIn, timm_file: bytes, timm_config: dict[str, object]) -> StandIn:
    """A hub with timm/resnet18.ours."""
    hub.files["timm/resnet18.ours/model.safetensors"] = timm_file
    hub.files["timm/resnet18.ours/config.json"] = json.dumps(timm_config).encode()
    return hub
