"""Several worker processes behind one socket: started, replaced where one dies, stopped together."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from types import FrameType

from skipline.bundle import load_bundle
from skipline.errors import RunError
from skipline.serving.measurements import SHARED_FOLDER, forget_process
from skipline.serving.running import Settings
from skipline.serving.traffic import Traffic
from skipline.serving.worker import GRACE, work

LOOK_EVERY = 0.2  # seconds between two looks at the workers
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger("skipline.serving")


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    ready: Event


def supervise(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve in several processes until SIGTERM or Ctrl-C.

    Args:
        settings: what to serve, and how; the number of processes among them.
        listener: a socket that listens; closed here once the processes have been told to stop.
        ready: called once all of them take requests.

    Raises:
        RunError: a process ended before it took requests; others would fare no better.
    """
    with _shared_measurements(), _stop_signals() as stop:
        workers = [_start(settings, listener) for _ in range(settings.workers)]
        try:
            announced = False
            while not stop.is_set():
                if not announced and all(worker.ready.is_set() for worker in workers):
                    announced = True
                    ready()
                wait([worker.process.sentinel for worker in workers], LOOK_EVERY)
                if not stop.is_set():
                    workers = [_replaced(worker, settings, listener) for worker in workers]
        finally:
            for worker in workers:
                worker.process.terminate()
            listener.close()  # else connections that no worker takes would wait for ever
            for worker in workers:
                worker.process.join(settings.limits.seconds + 2 * GRACE)
                worker.process.kill()


def _start(settings: Settings, listener: socket.socket) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_serve, args=(settings, listener, ready), name="skipline-worker")
    # While it loads torch, a Ctrl-C would end it with a traceback; it is inherited that the signal is ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    return _Worker(process, ready)


def _replaced(worker: _Worker, settings: Settings, listener: socket.socket) -> _Worker:
    """The worker, or a new one where it has died."""
    status = worker.process.exitcode
    if status is None:
        return worker
    if not worker.ready.is_set():
        raise RunError(
            f"a worker process ended with status {status} before it took requests; its reason stands above. "
            "Try --workers 1"
        )
    assert worker.process.pid is not None
    forget_process(worker.process.pid)
    _log.error("worker process %d ended with status %d; another one is started", worker.process.pid, status)
    return _start(settings, listener)


def _serve(settings: Settings, listener: socket.socket, ready: Event) -> None:
    """What a worker process does."""
    traffic = Traffic()

    def follow() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        traffic.stop()  # killed before it could say so

    threading.Thread(target=follow, daemon=True).start()
    work(settings, load_bundle(settings.target), listener, ready.set, traffic)


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _shared_measurements() -> Iterator[None]:
    """A folder in which worker processes add up their figures; they find it in their environment."""
    with tempfile.TemporaryDirectory(prefix="skipline-metrics-") as folder:
        before = os.environ.get(SHARED_FOLDER)
        os.environ[SHARED_FOLDER] = folder
        try:
            yield
        finally:
            os.environ.pop(SHARED_FOLDER)
            if before is not None:
                os.environ[SHARED_FOLDER] = before
