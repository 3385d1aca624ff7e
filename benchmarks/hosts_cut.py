"""Training on two hosts while the cable between them is out for some time."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from hosts_network import Cable, cut, join, two_hosts
from hosts_run import Started, torchrun

from skipline.machine import describe_machine

LONGEST = 900.0  # seconds that the whole job may take
CABLE = Cable(bits=1e9)
SHORT = 15  # seconds of patience, less than the cut
EPOCHS, EVERY = 40, 50  # of digits, 11 steps each; steps between checkpoints
TRAINING = (
    "train",
    "digits",
    "--model",
    "resnet20",
    "--recipe",
    "paper",
    "--seed",
    "0",
    "--no-probes",
    "--threads",
    "1",
)


def cut_a_run(out: Path, *, seconds: float, after: float) -> dict[str, Any]:
    """Train without a cut, with one, and with one that is longer than `distributed.timeout`; tell what events say.

    Args:
        out: folder for the runs and what the hosts printed, and found.json with what is returned; made anew.
        seconds: that the cable is out.
        after: seconds from the first step to the cut.

    Returns:
        By run: the exit status of each host, seconds, step records, last step, repeated steps, the longest pause
        between two steps, and the steps at which it was gone on from a checkpoint.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    runs: dict[str, Any] = {}
    for name, pause, settings in (
        ("whole", 0.0, ()),
        ("cut", seconds, ()),
        ("cut-short-timeout", seconds, ("--set", f"distributed.timeout={SHORT}")),
    ):
        arguments = (*TRAINING, "--epochs", str(EPOCHS), "--set", f"checkpoint_every={EVERY}", *settings)
        runs[name] = _run(out.absolute() / name, pause, after, arguments)
        print(f"{name}: {json.dumps(runs[name])}", flush=True)
    machine = describe_machine()
    found = {
        "command": f"benchmarks/hosts.py cut --seconds {seconds:g} --after {after:g}",
        "measured": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "cable": str(CABLE),
        "seconds": seconds,
        "timeout": SHORT,
        "checkpoint_every": EVERY,
        "runs": runs,
    }
    (out / "found.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def _run(folder: Path, pause: float, after: float, arguments: tuple[str, ...]) -> dict[str, Any]:
    begun = time.monotonic()
    with ExitStack() as opened:
        hosts = opened.enter_context(two_hosts(CABLE))
        command = torchrun(hosts, [*arguments, "--out", str(folder)])
        started = []
        for host, letter in zip(hosts, "ab", strict=True):
            log = opened.enter_context(folder.with_name(f"{folder.name}-{letter}.log").open("wb"))
            started.append(Started(host, command, log=log, environment={"OMP_NUM_THREADS": "1"}))
            opened.callback(started[-1].stop)
        events = folder / "events.jsonl"
        while not _steps(events) and all(one.process.poll() is None for one in started):
            time.sleep(0.2)
            if time.monotonic() - begun > LONGEST:
                break
        if pause:
            time.sleep(after)
            steps = len(_steps(events))
            print(f"the cable is out at step record {steps}", flush=True)
            cut(hosts)
            time.sleep(pause)
            join(hosts)
            print("the cable is in again", flush=True)
        while any(one.process.poll() is None for one in started) and time.monotonic() - begun < LONGEST:
            time.sleep(0.5)
        statuses = [one.process.poll() for one in started]
    return {"statuses": statuses, "seconds": round(time.monotonic() - begun, 1), **_told(events)}


def _events(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def _steps(path: Path) -> list[dict[str, Any]]:
    return [event for event in _events(path) if event["kind"] == "step"]


def _told(path: Path) -> dict[str, Any]:
    steps = _steps(path)
    numbers = [event["step"] for event in steps]
    return {
        "records": len(numbers),
        "last": max(numbers, default=None),
        "repeated": len(numbers) - len(set(numbers)),
        "longest_pause": max((b["time"] - a["time"] for a, b in pairwise(steps)), default=None),
        "resumed_at": [event["step"] for event in _events(path) if event["kind"] == "resume"],
    }
