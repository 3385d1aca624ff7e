"""`skipline pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipline.cli.console import Bars, emit_json, out


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="pull", help="Fetch a trained network from the Hugging Face Hub.")(pull)


def pull(
    repository: Annotated[str, typer.Argument(help="Of the Hugging Face Hub.", metavar="USER/REPO")],
    out_folder: Annotated[Path | None, typer.Option("--out", help="Folder to make; default: ./REPO.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; default: the newest.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle in --out.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fetch a bundle and check it; only a sound one is put in place."""
    from skipline.bundle.hub import pull_bundle

    with Bars() as bars:
        folder = pull_bundle(repository, out_folder, revision=revision, overwrite=overwrite, progress=bars)
    if json_output:
        emit_json({"bundle": str(folder), "repository": repository})
        return
    out.print(f"bundle       {folder}")
