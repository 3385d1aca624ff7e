"""Kill a process of a training run at a random moment, many times; every run must end in the undisturbed one's bits.

    python benchmarks/kills.py --times 20 --seed 0 [--sharded]

Trains resnet20 on digits in two processes (`--nproc 2`), once undisturbed and then `--times` times with a SIGKILL: of
a random process, at a random moment between the start of the command and the end of the undisturbed run, when the
processes may be loading, training, measuring or writing. Prints a line a run and, in the end, how many ended well.
Needs /proc. Machine of docs/scale.md: AMD EPYC, 2 cores, AVX-512; 20 runs take about ten minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

EPOCHS = 30


def command(folder: Path, sharded: bool) -> list[str]:
    options = ["--set", "checkpoint_every=20", "--no-probes", "--nproc", "2", "--out", str(folder), "--json"]
    if sharded:
        options += ["--set", "distributed.sharded=true", "--set", "ema=none"]
    train = [sys.executable, "-m", "skipline", "train", "digits", "--model", "resnet20"]
    return [*train, "--epochs", str(EPOCHS), "--threads", "1", *options]


def workers(launcher: int) -> dict[int, int]:
    """Process numbers by rank."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == launcher:
                environment = (place / "environ").read_bytes().split(b"\0")
                ranks = [int(entry[5:]) for entry in environment if entry.startswith(b"RANK=")]
                found |= {rank: int(place.name) for rank in ranks}
    return found


def run(folder: Path, sharded: bool, victim: int, moment: float) -> tuple[int, bool, float]:
    """Exit status, whether a process was killed, and seconds; a negative moment kills nothing."""
    start = time.monotonic()
    process = subprocess.Popen(
        command(folder, sharded), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    killed = False
    while moment >= 0 and not killed and process.poll() is None:
        time.sleep(0.01)
        if time.monotonic() - start >= moment and victim in (found := workers(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(found[victim], signal.SIGKILL)
                killed = True
    try:
        status = process.wait(300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        status = -1
    return status, killed, time.monotonic() - start


def left(folder: Path) -> tuple[str, int, int]:
    """SHA-256 of the bundle's weights, images in the records of steps counted once, and restarts."""
    weights = hashlib.sha256((folder / "bundle" / "weights.safetensors").read_bytes()).hexdigest()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    steps = {event["step"] for event in events if event["kind"] == "step"}
    restarts = sum(event["kind"] == "resume" for event in events)
    return weights, len(steps), restarts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sharded", action="store_true")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    well = 0
    with tempfile.TemporaryDirectory() as name:
        _, _, seconds = run(Path(name) / "whole", options.sharded, 0, -1)
        weights, steps, _ = left(Path(name) / "whole")
        print(f"undisturbed: {steps} steps, {seconds:.1f} s", flush=True)
        for number in range(options.times):
            victim, moment = draw.randrange(2), draw.uniform(0, seconds)
            folder = Path(name) / f"run-{number}"
            status, killed, took = run(folder, options.sharded, victim, moment)
            ended = left(folder) if status == 0 else ("", 0, 0)
            same = status == 0 and ended[:2] == (weights, steps)
            well += same
            print(
                f"{number:2}  process {victim} {'killed' if killed else 'had ended'} at {moment:5.1f} s: status "
                f"{status}, {took:5.1f} s, resumed {ended[2]} x, {ended[1]} steps, "
                f"weights {'equal' if same else 'DIFFER'}",
                flush=True,
            )
    print(f"{well} of {options.times} ended in the same bits")
    sys.exit(well != options.times)


if __name__ == "__main__":
    main()
