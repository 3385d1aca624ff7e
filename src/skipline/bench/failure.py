"""What a failure costs: a training run on two processes of which one is killed, beside the same run left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from skipline.bench.comparison import Row
from skipline.bench.peer_process import own_path
from skipline.data import Progress, silent
from skipline.errors import PeerError

PROCESSES, VICTIM = 2, 1
EVERY = 50  # steps between two checkpoints
KILLED_AT = 180  # step
EPOCHS = 30  # of digits: 330 steps
LONGEST = 300.0  # seconds of a run
LOOK = 0.05  # seconds between two looks at the run's events


@dataclass(frozen=True)
class Loss:
    """What one kill cost.

    Attributes:
        seconds_to_next_step: from the kill to the first step that is taken after it.
        seconds_lost: from the kill to the first step that had not been taken before.
        steps_repeated: taken once more, from the last checkpoint on.
    """

    seconds_to_next_step: float
    seconds_lost: float
    steps_repeated: int


def failure_rows(*, turns: int, progress: Progress = silent) -> tuple[Row, ...]:
    """resnet20 on digits, 2 processes, a checkpoint every 50 steps; one process gets SIGKILL at step 180.

    Times are of the whole command, starting and finishing included; the notes hold medians of a `Loss`.

    Args:
        turns: pairs of runs.
        progress: told about runs.

    Raises:
        PeerError: a run failed, or there is no /proc to find a process in.
    """
    if not Path("/proc/self/environ").exists():
        raise PeerError("there is no /proc here to find the process in that is to be killed")
    runs, losses = [], []
    what = f"training resnet20 on digits, {PROCESSES} processes, one killed"
    for turn in range(turns):
        progress(what, turn, turns)
        with tempfile.TemporaryDirectory(prefix="skipline-bench-") as place:
            killed, loss = _run(Path(place, "killed"), kill=True)
            whole, _ = _run(Path(place, "whole"), kill=False)
        assert loss is not None
        runs.append((killed, whole))
        losses.append(loss)
    progress(what, turns, turns)
    ratios = [ours / peer for ours, peer in runs]
    notes = {
        "seconds_to_next_step": median(loss.seconds_to_next_step for loss in losses),
        "seconds_lost": median(loss.seconds_lost for loss in losses),
        "steps_repeated": median(loss.steps_repeated for loss in losses),
        "checkpoint_every": EVERY,
        "killed": f"process {VICTIM} at step {KILLED_AT}",
    }
    return (
        Row(
            what,
            "s",
            median(killed for killed, _ in runs),
            median(whole for _, whole in runs),
            "the same run, nothing killed",
            median(ratios),
            (min(ratios), max(ratios)),
            tuple(runs),
            notes,
        ),
    )


def loss_of(events: Sequence[Mapping[str, Any]], killed: float) -> Loss:
    """Read from a run's events what a kill cost.

    Args:
        events: of the run, in the order they were written.
        killed: time of day in seconds.

    Raises:
        PeerError: the run did not go on after the kill.
    """
    resume = next((event for event in events if event["kind"] == "resume" and event["time"] > killed), None)
    steps = [event for event in events if event["kind"] == "step"]
    if resume is None:
        raise PeerError("the run did not go on from a checkpoint after the kill")
    # What the others still finished before they were stopped was taken before as well.
    last = max((event["step"] for event in steps if event["time"] <= resume["time"]), default=0)
    after = [event for event in steps if event["time"] > resume["time"]]
    new = next((event["time"] for event in after if event["step"] > last), None)
    if new is None:
        raise PeerError(f"the run got no further than step {last} after the kill")
    return Loss(after[0]["time"] - killed, new - killed, last - resume["step"])


def _run(folder: Path, *, kill: bool) -> tuple[float, Loss | None]:
    """Seconds of a run, and what the kill cost."""
    command = [sys.executable, "-m", "skipline", "train", "digits", "--model", "resnet20", "--recipe", "tiny"]
    command += ["--epochs", str(EPOCHS), "--seed", "0", "--set", f"checkpoint_every={EVERY}", "--no-probes"]
    command += ["--nproc", str(PROCESSES), "--out", str(folder)]
    start = time.monotonic()
    killed = 0.0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": own_path()},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if kill:
                while _last_step(folder) < KILLED_AT and process.poll() is None and _in_time(start):
                    time.sleep(LOOK)
                killed = time.time()
                os.kill(_process_of(process.pid, VICTIM), signal.SIGKILL)
            status = process.wait(max(1.0, start + LONGEST - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise PeerError(f"the run took more than {LONGEST:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        seconds = time.monotonic() - start
        if status:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").split("\n")
            raise PeerError(f"the run ended with status {status}: {' '.join(lines[-4:]).strip()[:300]}")
    return seconds, loss_of(_events(folder), killed) if kill else None


def _in_time(start: float) -> bool:
    return time.monotonic() - start < LONGEST


def _events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "events.jsonl"
    if not path.exists():
        return []
    return [
        json.loads(line)
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line[-1:] == "\n"
    ]


def _last_step(folder: Path) -> int:
    return max((event["step"] for event in _events(folder) if event["kind"] == "step"), default=0)


def _process_of(launcher: int, rank: int) -> int:
    """The number of the process that a launcher has started as so many-th."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):  # it has ended
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == launcher and f"RANK={rank}".encode() in (place / "environ").read_bytes().split(
                    b"\0"
                ):
                    return int(place.name)
    raise PeerError(f"process {rank} of the run was not found")
