"""`skipline serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipline.cli.console import log
from skipline.cli.names import printable

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="serve", help="Answer over HTTP with a trained network, and on a page for people.")(
        serve
    )


def serve(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(help="Processes; they share the cores.")] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a token that clients must show; else SKIPLINE_TOKEN, else none is asked for."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images in one forward pass at most.")] = 32,
    precision: Annotated[
        str, typer.Option(help="auto (whichever is faster and agrees with fp32), fp32 or bf16.")
    ] = "auto",
    gather: Annotated[float, typer.Option(help="Milliseconds that an image waits for others.")] = 5.0,
    max_body: Annotated[float, typer.Option(help="MiB of a request at most.")] = 32.0,
    max_pixels: Annotated[float, typer.Option(help="Million pixels of an image at most.")] = 50.0,
    max_files: Annotated[int, typer.Option(help="Images of a request at most.")] = 64,
    queue: Annotated[int, typer.Option(help="Images on their way at most, in each process.")] = 512,
    timeout: Annotated[float, typer.Option(help="Seconds for a request at most.")] = 30.0,
) -> None:
    """Serve until Ctrl-C or SIGTERM; requests that were accepted by then are answered.

    POST /predict, POST /explain, the Open Inference Protocol under /v2, /healthz, /readyz, /metrics, /docs, and a page
    for people at /.
    """
    from skipline.serving import Limits, Settings, read_token
    from skipline.serving import serve as run

    limits = Limits(
        body_bytes=int(max_body * 2**20),
        pixels=int(max_pixels * 1e6),
        files=max_files,
        queue=queue,
        seconds=timeout,
        batch=batch_size,
        gather_seconds=gather / 1000,
    )
    token = read_token(token_file)
    if token is None and host not in LOOPBACK:
        log(
            f"note: everyone who reaches {printable(host)} can use this server; for a token that clients must show, "
            "set SKIPLINE_TOKEN or give --token-file"
        )

    def announce(what: str) -> None:
        log(f"serving {printable(what)}  (Ctrl-C stops)")

    run(Settings(target, host, port, workers, limits, token, precision), announce)
    log("stopped")
