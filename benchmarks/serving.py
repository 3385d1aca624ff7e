"""A server under load: 10,000 requests, 5 % of them bad, against the throughput of prediction without a server.

    .venv/bin/python benchmarks/serving.py [--model resnet18 --side 128 --requests 10000 --clients 64 --json]

Everything is on this machine: the server (`skipline serve`, a process of its own on a free port of 127.0.0.1), the
clients (a process of their own; plain asyncio, as many connections as there are clients, each with one request at a
time) and nothing else. **Clients and server share the cores**, so what the clients take is missing to the server.

A good request uploads one JPEG of about 1.5 x side; its answer must name the class, and within 0.0001 the probability,
that `Bundle.predict` gives. Bad ones are a cut image, a PNG that claims 50,000 x 50,000 pixels, a form that ends in the
middle, broken JSON, a wrong content type and a wrong `top`; each must get its own status. A request is lost if no
complete answer comes. Before and after the load, `Bundle.predict` classifies the same JPEG files from memory, decoding
included and by the fastest engine in fp32, as in the server; the ratio is the server's good answers a second to the
mean of the two.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from PIL import Image

from skipline.bundle import load_bundle, save_bundle
from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from skipline.engines import choose_engine
from skipline.machine import describe_machine
from skipline.models import create

PHOTOS = 64  # different ones
BAD = 0.05
WARM_UP = 256  # requests before anything is measured
CLASSES = 10
FORM = "multipart/form-data; boundary=boundary"


def photo(seed: int, side: int) -> bytes:
    """A JPEG that is smooth in the large and rough in the small, as photos are."""
    generator = np.random.default_rng(seed)
    cells = Image.fromarray(generator.integers(0, 256, (8, 6, 3), dtype=np.uint8))
    pixels = np.asarray(cells.resize((2 * side, 3 * side // 2), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = pixels + generator.normal(0, 6, pixels.shape).astype(np.int16)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG whose header claims 50,000 x 50,000 pixels."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")
    whole = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


def form(content: bytes) -> bytes:
    head = b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    return head + content + b"\r\n--boundary--\r\n"


def request(body: bytes, kind: str = FORM, query: str = "top=1") -> bytes:
    lines = [f"POST /predict?{query} HTTP/1.1", "Host: here", f"Content-Type: {kind}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def bad_requests(good: bytes) -> list[tuple[int, bytes]]:
    """Status and request of each kind of mistake."""
    return [
        (422, request(form(good[: len(good) // 2]))),
        (413, request(form(bomb()))),
        (422, request(form(good)[:-40])),
        (422, request(b'{"images": [', "application/json")),
        (415, request(good, "image/jpeg")),
        (422, request(form(good), query="top=none")),
    ]


class Load:
    """What the clients send and what came back.

    Args:
        photos: JPEG files.
        expected: class and probability of each.
        count: requests in all.
    """

    def __init__(self, photos: list[bytes], expected: list[tuple[str, float]], count: int) -> None:
        self.good = [request(form(content)) for content in photos]
        self.bad = bad_requests(photos[0])
        self.expected = expected
        generator = np.random.default_rng(0)
        self.plan = [(bool(wrong), which) for which, wrong in enumerate(generator.random(count) < BAD)]
        self.seconds: dict[bool, list[float]] = {False: [], True: []}
        self.statuses: Counter[str] = Counter()
        self.mistakes: list[str] = []
        self.lost = 0

    def check(self, wrong: bool, which: int, status: int, body: bytes) -> None:
        """Compare an answer with what it has to be."""
        values = json.loads(body)
        if wrong:
            right = status == self.bad[which % len(self.bad)][0] and {"error", "expected"} == set(values)
        else:
            name, probability = self.expected[which % len(self.good)]
            answer = values.get("predictions", [{}])[0]
            close = abs(answer.get("probability", 2) - probability) < 1e-4
            right = status == 200 and answer.get("class") == name and close
        self.statuses[f"{'bad' if wrong else 'good'} {status}"] += 1
        if not right:
            self.mistakes.append(f"{status}: {body[:200]!r}")


async def client(port: int, load: Load, coming: list[tuple[bool, int]]) -> None:
    """One connection that asks, waits for the answer, and asks again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while coming:
        wrong, which = coming.pop()
        content = load.bad[which % len(load.bad)][1] if wrong else load.good[which % len(load.good)]
        began = time.perf_counter()
        try:
            writer.write(content)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            body = await reader.readexactly(int(length[1]))
        except (OSError, asyncio.IncompleteReadError, AssertionError):
            load.lost += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        load.seconds[wrong].append(time.perf_counter() - began)
        load.check(wrong, which, int(head[9:12]), body)
    writer.close()


def run_clients(port: int, folder: Path, count: int, clients: int) -> dict[str, object]:
    """All requests; what they took and what came back."""
    photos = [file.read_bytes() for file in sorted(folder.glob("*.jpg"))]
    load = Load(photos, json.loads((folder / "expected.json").read_text()), count)
    coming = load.plan[::-1]

    async def everyone() -> None:
        await asyncio.gather(*(client(port, load, coming) for _ in range(clients)))

    began, processor = time.perf_counter(), time.process_time()
    asyncio.run(everyone())
    seconds = time.perf_counter() - began
    good = np.array(load.seconds[False])
    bad = np.array(load.seconds[True] or [0.0])
    return {
        "requests": count,
        "lost": load.lost,
        "wrong": len(load.mistakes),
        "mistakes": load.mistakes[:3],
        "statuses": dict(sorted(load.statuses.items())),
        "seconds": seconds,
        "client_cpu_seconds": time.process_time() - processor,
        "images_per_second": len(good) / seconds,
        "p50": float(np.quantile(good, 0.5)),
        "p99": float(np.quantile(good, 0.99)),
        "bad_p50": float(np.quantile(bad, 0.5)),
        "bad_p99": float(np.quantile(bad, 0.99)),
    }


def clients_process(port: int, folder: Path, count: int, clients: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--as-clients", str(port), str(folder)]
    command += ["--requests", str(count), "--clients", str(clients)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(result.stdout))


def offline(folder: Path, photos: list[bytes], seconds: float) -> float:
    """Images a second of `Bundle.predict`, decoding included, for about so long."""
    bundle = load_bundle(folder)
    engine = choose_engine(bundle.network, noise(bundle.preprocessing), precision="fp32")
    bundle.predict(photos, engine=engine)
    began, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        bundle.predict(photos * 4, engine=engine)
        done += 4 * len(photos)
    return done / passed


def noise(preprocessing: Preprocessing) -> torch.Tensor:
    """A batch as large as those of `Bundle.predict`."""
    return torch.randn(64, preprocessing.channels, preprocessing.side, preprocessing.side)


def memory(process: int) -> int:
    """Resident bytes of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return 1024 * int(found[1])


def measure(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    pre = Preprocessing(3, given.side * 8 // 7, given.side, IMAGENET_MEAN, IMAGENET_STD)
    bundle_folder = folder / "bundle"
    network = create(given.model, classes=CLASSES, seed=0).train()
    with torch.no_grad():
        network(torch.randn(8, 3, given.side, given.side, generator=torch.Generator().manual_seed(1)))
    save_bundle(bundle_folder, network, [f"class {k}" for k in range(CLASSES)], pre, {}, {})
    photos = [photo(seed, given.side) for seed in range(PHOTOS)]
    for number, content in enumerate(photos):
        (folder / f"{number:03d}.jpg").write_bytes(content)
    expected = [
        (p.class_name, p.probability) for p in load_bundle(bundle_folder).predict(photos, precision="fp32")
    ]
    (folder / "expected.json").write_text(json.dumps(expected))

    before = offline(bundle_folder, photos, given.offline_seconds)
    command = [
        sys.executable,
        "-m",
        "skipline",
        "serve",
        str(bundle_folder),
        "--port",
        "0",
        "--precision",
        "fp32",
    ]
    command += ["--workers", str(given.workers), "--batch-size", str(given.batch_size)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        announced = re.search(r"http://127\.0\.0\.1:(\d+)", server.stderr.readline())
        assert announced is not None, server.stderr.read()
        port = int(announced[1])
        clients_process(port, folder, WARM_UP, given.clients)
        resident = [memory(server.pid)]
        result = clients_process(port, folder, given.requests, given.clients)
        resident.append(memory(server.pid))
        server.send_signal(signal.SIGTERM)
        status = server.wait(60)
    finally:
        server.kill()
    after = offline(bundle_folder, photos, given.offline_seconds)
    return {
        "machine": describe_machine(),
        "model": given.model,
        "side": given.side,
        "clients": given.clients,
        "workers": given.workers,
        **result,
        "offline_images_per_second": [before, after],
        "ratio": float(str(result["images_per_second"])) / mean([before, after]),
        "resident_bytes": resident,
        "exit_status": status,
    }


def show(result: dict[str, object]) -> None:
    def number(name: str) -> float:
        return float(str(result[name]))

    machine = result["machine"]
    assert isinstance(machine, dict)
    print(f"{machine['cpu']}, {machine['cores']} cores shared with the clients, torch {machine['torch']}")
    print(
        f"{result['model']} at {result['side']} x {result['side']}, {result['workers']} worker(s), "
        f"{result['clients']} clients"
    )
    print(
        f"requests   {result['requests']:,}, lost {result['lost']}, wrong {result['wrong']}; {result['statuses']}"
    )
    offline_rates = result["offline_images_per_second"]
    assert isinstance(offline_rates, list)
    print(
        f"rate       {number('images_per_second'):.1f} images/s, offline "
        f"{offline_rates[0]:.1f} before and {offline_rates[1]:.1f} after: {100 * number('ratio'):.1f} %"
    )
    print(f"good       p50 {1000 * number('p50'):.0f} ms, p99 {1000 * number('p99'):.0f} ms")
    print(f"bad        p50 {1000 * number('bad_p50'):.1f} ms, p99 {1000 * number('bad_p99'):.0f} ms")
    print(f"clients    {number('client_cpu_seconds'):.1f} s of processor time in {number('seconds'):.1f} s")
    resident = result["resident_bytes"]
    assert isinstance(resident, list)
    print(f"memory     {resident[0] / 2**20:.0f} MiB before, {resident[1] / 2**20:.0f} MiB after")
    print(f"stop       exit status {result['exit_status']}")
    mistakes = result["mistakes"]
    assert isinstance(mistakes, list)
    for mistake in mistakes:
        print(f"wrong      {mistake}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--offline-seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--as-clients", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_clients:
        port, folder = given.as_clients
        print(json.dumps(run_clients(int(port), Path(folder), given.requests, given.clients)))
        return
    with tempfile.TemporaryDirectory(prefix="skipline-serving-") as folder:
        result = measure(Path(folder), given)
    if given.json:
        print(json.dumps(result))
    else:
        show(result)
    if result["lost"] or result["wrong"] or result["exit_status"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
