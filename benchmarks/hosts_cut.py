"""Training on two hosts while the cable between them is out for some time."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hosts_network import Cable, cut, join, two_hosts
from hosts_run import Started, torchrun

LONGEST = 900.0  # seconds that the whole job may take
CABLE = Cable(bits=1e9)
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


def cut_a_run(
    out: Path, *, seconds: float, after: float, epochs: int = 40, arguments: tuple[str, ...] = TRAINING
) -> dict[str, Any]:
    """Train with and without a cut, and compare what the events of the two runs say.

    Args:
        out: folder for both runs and what the hosts printed; made anew.
        seconds: that the cable is out.
        after: seconds from the first step to the cut.
        epochs: of each run.
        arguments: of skipline, without folder and epochs.

    Returns:
        By run: status of each host, seconds, steps, images, and the largest gap between two steps.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    found = {}
    for name, pause in (("whole", 0.0), ("cut", seconds)):
        found[name] = _run(out.absolute() / name, pause, after, (*arguments, "--epochs", str(epochs)))
        print(f"{name}: {json.dumps(found[name])}", flush=True)
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


def _steps(events: Path) -> list[dict[str, Any]]:
    if not events.exists():
        return []
    lines = events.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [record for record in records if record["kind"] == "step"]


def _told(events: Path) -> dict[str, Any]:
    steps = _steps(events)
    numbers = [record["step"] for record in steps]
    return {
        "records": len(steps),
        "last": max(numbers, default=None),
        "repeated": len(numbers) - len(set(numbers)),
    }


if __name__ == "__main__":
    cut_a_run(Path("runs/cut"), seconds=30.0, after=20.0)
