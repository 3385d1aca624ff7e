"""Rows against peers that run in processes and an environment of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skipline.bench.comparison import TURN, Row, Side, in_turn
from skipline.bench.peer_process import PeerProcess, own_path
from skipline.data import Progress, silent
from skipline.errors import InputError, PeerError

# Where the package `peers` lies, and nothing that others would import.
FOLDER = Path(__file__).absolute().parent
ENVIRONMENT = Path(".venv-peers")
NONE_FOUND = (
    "plain PyTorch is the only peer: no .venv-peers in this folder. `make bench` makes it in a checkout; elsewhere "
    "give --peers the Python of an environment that has the packages of benchmarks/peers.txt"
)


@dataclass(frozen=True)
class Peer:
    """Who is measured.

    Attributes:
        name: for people, until it introduces itself.
        module: that is run.
        own: run by this Python, rather than by that of the peers' environment.
    """

    name: str
    module: str
    own: bool = False


PLAIN_LOOP = Peer("the plain loop", "skipline.bench.plain_loop", own=True)
TRAINING = (
    Peer("timm", "peers.timm_training"),
    Peer("Lightning", "peers.lightning_training"),
    Peer("Keras", "peers.keras_training"),
)
PREDICTION = (
    Peer("ONNX Runtime", "peers.onnxruntime_prediction"),
    Peer("OpenVINO", "peers.openvino_prediction"),
)


@dataclass(frozen=True)
class Task:
    """What a peer is to measure.

    Attributes:
        network: a name that `peers.networks` knows too.
        batch: images.
        side: of the images in pixels.
        classes: K.
        parameters: of our network; a peer whose network has another number refuses.
        threads: of both sides.
    """

    network: str
    batch: int
    side: int
    classes: int
    parameters: int
    threads: int


def find_peers(given: Path | None) -> Path | None:
    """The Python of the peers' environment: the one given, else that of .venv-peers in the working folder, or None.

    Raises:
        InputError: what was given is no file.
    """
    place = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    if given is None:
        found = ENVIRONMENT.joinpath(*place)
        return found.absolute() if found.is_file() else None
    if not given.expanduser().is_file():
        raise InputError(
            f"--peers takes the Python of an environment with the peers, such as "
            f"{ENVIRONMENT.joinpath(*place)}; '{given}' is no file"
        )
    return given.expanduser().absolute()  # not resolved: an environment's Python is often a link


def rows_against(
    peers: Sequence[Peer],
    python: Path | None,
    task: Task,
    what: str,
    ours: Side,
    *,
    turns: int,
    notes: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> tuple[list[Row], list[str]]:
    """Measure against one peer after the other, A B A B with each.

    Args:
        peers: whom to start.
        python: of their environment; None for no peers.
        task: for the peers.
        what: for people.
        ours: skipline's side.
        turns: pairs that count.
        notes: kept with every row.
        progress: told about turns.

    Returns:
        The rows, and a sentence for every peer that could not be measured to the end.
    """
    rows: list[Row] = []
    missing: list[str] = []
    measured = [peer for peer in peers if peer.own or python is not None]
    for number, peer in enumerate(measured):
        progress(f"peers of {task.network}", number, len(measured))
        command = [sys.executable if peer.own else str(python), "-m", peer.module, *_options(task)]
        try:
            with PeerProcess(peer.name, command, _environment(task.threads, peer.own)) as process:
                about = dict(process.introduction)
                name = str(about.pop("name", peer.name))
                row = in_turn(
                    what,
                    ours,
                    process.turn,
                    name,
                    turns=turns,
                    notes={**(notes or {}), "peer": about},
                    progress=progress,
                )
        except PeerError as error:
            missing.append(f"{what}: not against {error}")
        else:
            rows.append(row)
    progress(f"peers of {task.network}", len(measured), len(measured))
    return rows, missing


def _options(task: Task) -> list[str]:
    values = {**asdict(task), "seconds": TURN}
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def _environment(threads: int, own: bool) -> dict[str, str]:
    return {
        "PYTHONPATH": own_path() if own else str(FOLDER),
        "OMP_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",  # warnings would hide the reason of a crash
    }
