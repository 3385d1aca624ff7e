"""Real processes on a free port: answers, stopping, several workers."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from skipline.bundle import Bundle

sys.path.insert(
    0, str(Path(__file__).parent)
)  # pytest's importlib mode leaves helpers beside tests unfindable

from servers import Running, running

Photo = Callable[..., bytes]
STOPPING = {
    "error": "the server is stopping: requests that it had accepted are answered, new ones are not",
    "expected": "the request at another server, or here once it has been started again",
}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stopped by other means there")


@pytest.fixture
def server(bundle_folder: Path) -> Iterator[Running]:
    """One process."""
    with running(bundle_folder) as started:
        yield started


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("never came true")


def head(length: int) -> bytes:
    lines = [
        *("POST /predict HTTP/1.1", "Host: here", "Content-Type: multipart/form-data; boundary=x"),
        *(f"Content-Length: {length}", "", ""),
    ]
    return "\r\n".join(lines).encode()


def form(content: bytes) -> bytes:
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return start + content + b"\r\n--x--\r\n"


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_stop_answers_what_was_accepted_and_refuses_the_rest(
    server: Running, bundle: Bundle, photo: Photo
) -> None:
    with (
        httpx.Client(base_url=server.address, timeout=60) as client,
        socket.create_connection(("127.0.0.1", server.port), 60) as slow,
    ):
        assert client.get("/readyz").json() == {"status": "ready"}
        body = form(photo(0))
        slow.sendall(head(len(body)) + body[:100])
        until(lambda: "skipline_queue_images 1.0" in client.get("/metrics").text)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/healthz").status_code == 200
        refused = client.post("/predict", files={"file": ("b.png", photo(1))})
        assert (refused.status_code, refused.json()) == (503, STOPPING)
        slow.sendall(body[100:])
        answer = read_all(slow)
    (expected,) = bundle.predict(photo(0))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f'"class":"{expected.class_name}"'.encode() in answer
    assert server.end() == 0
    assert server.lines[-1] == "stopped\n"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 5)


def test_ctrl_c_is_a_clean_stop(server: Running) -> None:
    server.process.send_signal(signal.SIGINT)
    assert server.end() == 0
    assert server.lines == [f"serving resnet20 at {server.address}  (Ctrl-C stops)\n", "stopped\n"]


def test_it_listens_on_this_machine_alone_and_logs_no_clients_mistakes(
    server: Running, photo: Photo, bomb: bytes
) -> None:
    assert server.address.startswith("http://127.0.0.1:")
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(head(1000) + form(photo(0))[:100])  # and leaves
    with httpx.Client(base_url=server.address, timeout=60) as client:
        large = client.post("/predict", content=bytes(2**26), headers={"Content-Type": "multipart/form-data"})
        assert large.status_code == 413
        assert large.json()["error"] == "the body has 67,108,864 bytes"
        form_type = {"Content-Type": "multipart/form-data; boundary=x"}
        assert client.post("/predict", content=b"--y", headers=form_type).status_code == 422
        assert client.post("/predict", files={"file": ("bomb.png", bomb)}).status_code == 413
        upgrade = client.get("/v2", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
        assert upgrade.status_code == 200
        until(lambda: "skipline_queue_images 0.0" in client.get("/metrics").text)
    assert len(server.lines) == 1


def test_a_client_that_leaves_costs_no_forward_pass(bundle_folder: Path, photo: Photo) -> None:
    with running(bundle_folder, "--gather", "600000", "--timeout", "600") as server:
        with httpx.Client(base_url=server.address, timeout=60) as client:
            body = form(photo(0))
            with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
                connection.sendall(head(len(body)) + body)
                until(lambda: "skipline_queue_images 1.0" in client.get("/metrics").text)
            until(lambda: "skipline_queue_images 0.0" in client.get("/metrics").text)
            assert "skipline_forward_seconds_count 0.0" in client.get("/metrics").text
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0


def test_several_workers_answer_as_one(bundle_folder: Path, bundle: Bundle, photo: Photo) -> None:
    contents = [photo(seed) for seed in range(24)]
    expected = [p.class_name for p in bundle.predict(contents)]

    def ask(content: bytes) -> Any:
        return httpx.post(f"{server.address}/predict", files={"file": ("a.png", content)}, timeout=60).json()

    with running(bundle_folder, "--workers", "2") as server:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, contents))
        assert [answer["predictions"][0]["class"] for answer in answers] == expected
        metrics = httpx.get(f"{server.address}/metrics", timeout=60).text
        assert 'skipline_requests_total{route="/predict",status="200"} 24.0' in metrics
        assert "skipline_queue_images 0.0" in metrics
        children = worker_processes(server.process.pid)
        assert len(children) == 2
        os.kill(children[0], signal.SIGKILL)
        until(lambda: len(set(worker_processes(server.process.pid)) - {children[0]}) == 2)
        assert ask(contents[0])["predictions"][0]["class"] == expected[0]
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0
        assert f"worker process {children[0]} ended with status -9; another one is started\n" in server.lines
        assert server.lines[-1] == "stopped\n"
        assert not any(Path(f"/proc/{child}").exists() for child in children)


def worker_processes(parent: int) -> list[int]:
    """Processes of a server that serve, without Python's own helper."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            ppid = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except (OSError, IndexError, ValueError):
            continue
        if ppid == parent and b"spawn_main" in command:
            found.append(int(folder.name))
    return found


def test_a_token_of_the_environment_is_asked_for(bundle_folder: Path) -> None:
    token = "s3cret-0123456789abcdef"
    with running(bundle_folder, environment={"SKIPLINE_TOKEN": token}) as server:
        closed = httpx.get(f"{server.address}/v2", timeout=60)
        opened = httpx.get(f"{server.address}/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert (closed.status_code, opened.status_code) == (401, 200)
        assert token not in "".join(server.lines)
