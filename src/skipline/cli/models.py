"""`skipline models`."""

from __future__ import annotations

from typing import Annotated

import typer

from skipline.cli.console import emit_json, out
from skipline.cli.summary import magnitude, new_table, shape


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="models", help="List the networks by name, with parameters and MACs.")(models)


def models(
    family: Annotated[str | None, typer.Option(help="Only one family, such as cifar-resnet.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the networks with the parameters and multiply-adds (MACs) of one prediction."""
    from skipline.models import catalogue

    rows = catalogue.ROWS if family is None else catalogue.family(family)
    if json_output:
        keys = ("name", "family", "params", "macs", "input", "classes")
        emit_json({"models": [{key: getattr(row, key) for key in keys} for row in rows]})
        return
    table = new_table(("name", "family"), ("parameters", "MACs", "input", "classes"))
    for row in rows:
        counts = (f"{row.params:,}", magnitude(row.macs), shape(row.input), f"{row.classes:,}")
        table.add_row(row.name, row.family, *counts)
    out.print(table, "")
    out.print("MACs: multiply-adds of one image or series of this shape; FLOPs = 2 x MACs.")
    out.print("Other shapes and classes: skipline summary NAME --input C,H,W --classes K")
