"""One process of a server."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import torch
import uvicorn

from skipline.bundle import Bundle
from skipline.bundle.inference import fitting_batch
from skipline.machine import available_cores
from skipline.serving.answering import answerer, fastest, served
from skipline.serving.application import create_app
from skipline.serving.running import BACKLOG, Settings
from skipline.serving.traffic import Traffic

KEEP_ALIVE = (
    65  # seconds; common clients give connections up after 5 to 60, and the server should not be first
)
GRACE = 5.0  # seconds beyond the time of a request, after which a stop no longer waits


def work(
    settings: Settings,
    bundle: Bundle,
    listener: socket.socket,
    ready: Callable[[], None],
    traffic: Traffic | None = None,
) -> None:
    """Serve in this process until told to stop.

    Args:
        settings: what to serve, and how.
        bundle: what answers.
        listener: a socket that listens.
        ready: called once requests are taken.
        traffic: by which others may stop the server; None for signals alone.
    """
    torch.set_num_threads(max(1, available_cores() // settings.workers))
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # its warnings are the client's mistakes
    traffic = traffic or Traffic()
    batch = min(settings.limits.batch, fitting_batch(served(bundle).side))
    answer = answerer(bundle, fastest(bundle, batch, settings.precision))
    app = create_app(bundle, answer, settings.limits, settings.token, traffic)
    _Server(_configuration(settings, app), traffic, ready).run([listener])


def _configuration(settings: Settings, app: Callable[..., object]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",  # bounds what it keeps of a request's head, which httptools does not
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who asks
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.limits.seconds + GRACE),
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which on a signal first refuses and answers, and only then closes.

    Args:
        config: its own.
        traffic: knows what is being answered.
        ready: called once requests are taken.
    """

    def __init__(self, config: uvicorn.Config, traffic: Traffic, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._traffic = traffic
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._traffic.stopping and sig == signal.SIGINT:  # Ctrl-C again: at once
            self.should_exit = self.force_exit = True
        self._traffic.stop()

    async def on_tick(self, counter: int) -> bool:
        if self._traffic.over(self.config.timeout_graceful_shutdown or 0):
            self.should_exit = True
        return await super().on_tick(counter)
