"""`skipline push`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from skipline.cli.console import Bars, emit_json, out


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="push", help="Upload a trained network to the Hugging Face Hub.")(push)


def push(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    repository: Annotated[str, typer.Argument(help="Made where it does not exist.", metavar="USER/REPO")],
    private: Annotated[
        bool, typer.Option("--private", help="A new repository is visible to you alone.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Upload weights, bundle.json and the model card; log in first with `hf auth login`."""
    from skipline.bundle.hub import push_bundle

    with Bars() as bars:
        pushed = push_bundle(target, repository, private=private, progress=bars)
    if json_output:
        emit_json(asdict(pushed))
        return
    out.print(f"pushed       {pushed.url}")
    out.print(f"commit       {pushed.commit}")
