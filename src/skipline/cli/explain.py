"""`skipline explain`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipline.cli.console import Bars, emit_json, log, out
from skipline.cli.images import collect
from skipline.cli.names import printable

if TYPE_CHECKING:
    from skipline.explanation import Answer, Explanation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="explain",
        help="Show where in your images a trained network looks, and what its blocks contribute.",
    )(explain)


def explain(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders of images, or - for file names (or one image) on standard input.",
            metavar="IMAGES|FOLDER|-",
        ),
    ],
    method: Annotated[str, typer.Option(help="gradcam, gradcam++ or occlusion.")] = "gradcam",
    class_name: Annotated[
        str | None, typer.Option("--class", help="The class to explain; default: the predicted one.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Where Grad-CAM takes its maps from; default: the last stage.")
    ] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where maps and report.html go; default: the next runs/explanation-NAME-N."
        ),
    ] = None,
    no_blocks: Annotated[
        bool, typer.Option("--no-blocks", help="Do not remove each residual block in turn: quicker.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the randomised networks that maps are compared with.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a picture of each map and a page; an image that cannot be read is named, and the rest go on.

    The exit status is 0 if any image was explained, 1 if none could be, 2 if there was nothing to read.
    """
    from skipline import api
    from skipline.bundle import load_bundle

    bundle = load_bundle(target)
    kind = bundle.preprocessing.kind
    given = collect(images, kind)
    with Bars() as bars:
        found = api.explain(
            target,
            given,
            method=method,
            class_name=class_name,
            layer=layer,
            blocks=not no_blocks,
            seed=seed,
            out=out_folder,
            progress=bars,
        )
    if json_output:
        emit_json(found.to_json(found.folder))
    else:
        _print(found)
    failed = len(found.items) - len(found.answered)
    if failed:
        log(f"{failed:,} of {kind.counted(len(found.items))} could not be explained")
    if not found.answered:
        raise typer.Exit(1)


def _print(found: Explanation) -> None:
    if out.is_terminal:
        out.print(_table(found), soft_wrap=False)
    else:  # one line an image, however long
        buffer = io.StringIO()
        Console(file=buffer, width=10_000, no_color=True).print(_table(found))
        sys.stdout.write("".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines()))
    if found.folder is None:
        return
    for note, style in ((found.warning(), "yellow"), (found.without_blocks(), None)):
        if note is not None:
            out.print(printable(note), style=style, markup=False)
    layer = found.layer
    where = f", layer {layer.name}, {layer.size} cells" if layer is not None else ""
    out.print(f"method       {found.method.title}{where}", markup=False)
    out.print(f"maps         {printable(str(found.folder / 'maps'))}", markup=False)
    out.print(f"report       {printable(str(found.page))}", markup=False)


def _table(found: Explanation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("map", overflow="fold")
    if found.blocks:
        table.add_column("needs most", overflow="fold")
    for item in found.items:
        file = Text(printable(item.file))
        if item.answer is None:
            table.add_row(
                file, Text("error", style="red"), "", Text(printable(item.error or ""), style="red")
            )
            continue
        answer = item.answer
        cells = [Text(printable(answer.class_name)), Text(_percent(answer.probability)), _map(answer)]
        table.add_row(file, *cells, *([Text(printable(_needs(answer)))] if found.blocks else []))
    return table


def _map(answer: Answer) -> Text:
    if answer.peak == 0:
        return Text("empty: nothing speaks for the class")
    if answer.sanity is None:
        return Text("not compared")
    correlation = answer.sanity.correlation
    if answer.sanity.changed:
        return Text(f"changes with the weights ({correlation})")
    return Text(f"unchanged by random weights ({correlation})", style="yellow")


def _needs(answer: Answer) -> str:
    from skipline.explanation.explanation import most_needed

    needed = most_needed(answer, 1)
    if not needed:
        return "no single block"
    without = needed[0]
    then = "" if without.top1 == answer.predicted else f", then {printable(without.top1)}"
    return f"{without.block} (without it {_percent(without.probability)}{then})"


def _percent(share: float) -> str:
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"
