"""Images a second of `skipline train` itself: on two hosts by torchrun, and with --nproc on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hosts_network import Host
from hosts_run import SOURCE, Started, torchrun

from skipline.bench.dataset_size import write_sources
from skipline.data import silent

IMAGES, EPOCHS = 2_000, 5  # 15 steps an epoch; the first epoch does not count
LONGEST = 300.0  # seconds of a run


def make_source(place: Path) -> Path:
    """An archive of random images of 32 x 32."""
    return write_sources(place, (IMAGES,), silent)[0]


def trained_on(hosts: Sequence[Host], source: Path, folder: Path) -> list[float]:
    """Rates of the epochs of a run on two hosts, a process of one thread on each.

    Args:
        hosts: joined.
        source: to train on.
        folder: for the run.
    """
    command = torchrun(hosts, [*_arguments(source, folder), "--threads", "1"], restarts=0)
    with ExitStack() as opened:
        started = []
        for host in hosts:
            log = opened.enter_context(folder.with_name(f"{folder.name}-{host.name[-1]}.log").open("wb"))
            started.append(Started(host, command, log=log, environment={"OMP_NUM_THREADS": "1"}))
            opened.callback(started[-1].stop)
        for one in started:
            if status := one.process.wait(LONGEST):
                raise SystemExit(f"hosts: skipline train ended with {status}: see {folder.parent}")
    return _rates(folder)


def trained_by(processes: int, source: Path, folder: Path) -> list[float]:
    """Rates of the epochs of a run of so many processes on this host, which share its cores."""
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "skipline", *_arguments(source, folder), "--nproc", str(processes)]
    subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True, timeout=LONGEST
    )
    return _rates(folder)


def _arguments(source: Path, folder: Path) -> list[str]:
    settings = ("--set", "precision=bf16", "--no-probes", "--seed", "0", "--epochs", str(EPOCHS))
    return ["train", str(source), "--model", "resnet20", "--recipe", "paper", *settings, "--out", str(folder)]


def _rates(folder: Path) -> list[float]:
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [event["images_per_second"] for event in events if event["kind"] == "epoch"][1:]


def told(rates: Sequence[float]) -> str:
    """The fastest and the slowest, for people."""
    return f"{max(rates):,.1f} (slowest {min(rates):,.1f})"
