"""`skipline predict`."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipline.cli.console import Bars, log, out
from skipline.cli.names import encodable, harmless, harmless_json, printable
from skipline.errors import InputError, SourceError, UnknownNameError

if TYPE_CHECKING:
    from skipline.bundle import Prediction


FORMATS = ("table", "json", "csv")
STDIN = "-"
SMALLEST_SHOWN = 0.0005  # in the table; below it a runner-up would read 0.0 %
# First bytes of JPEG, PNG, GIF, WebP and TIFF files; no list of file names begins so.
IMAGE_HEADS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="predict", help="Name the class of images with a trained network.")(predict)


def predict(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    files: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders of images, or - for file names (or one image) on standard input.",
            metavar="FILES|FOLDER|-",
        ),
    ],
    top: Annotated[int, typer.Option(help="How many of the most probable classes to name.")] = 3,
    form: Annotated[str | None, typer.Option("--format", help="table, json or csv.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write to a file; .csv and .json choose the format.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images in one forward pass.")] = 64,
) -> None:
    """Classify images; one that cannot be read gets a row with the reason, and the rest go on.

    The exit status is 0 if any image was classified, 1 if none could be read, 2 if there was nothing to read.
    """
    form = _chosen_format(form, json_output, out_file)
    if out_file is not None and not out_file.absolute().parent.is_dir():
        raise InputError(f"there is no folder '{out_file.parent}' for --out: create it, or choose another")
    images = _collect(files)
    from skipline.bundle import load_bundle

    bundle = load_bundle(target)
    with Bars() as bars:
        predictions = bundle.predict(images, top=top, batch_size=batch_size, progress=bars)
    predictions = [p if p.file is not None else replace(p, file=STDIN) for p in predictions]
    _write(predictions, form, out_file, top)
    failed = sum(p.error is not None for p in predictions)
    if failed:
        log(f"{failed:,} of {len(predictions):,} images could not be read")
    if failed == len(predictions):
        raise typer.Exit(1)


def _chosen_format(form: str | None, json_output: bool, out_file: Path | None) -> str:
    if json_output:
        if form not in (None, "json"):
            raise InputError(f"expected --json or --format {form}, not both")
        return "json"
    by_suffix = out_file.suffix.lower().lstrip(".") if out_file is not None else ""
    chosen = form or (by_suffix if by_suffix in FORMATS else "table")
    if chosen not in FORMATS:
        raise UnknownNameError("format", chosen, FORMATS)
    return chosen


def _collect(arguments: Sequence[str]) -> list[Path | bytes]:
    """Every image that was named, in order; folders and standard input replaced by what they hold."""
    from skipline.data import image_files

    images: list[Path | bytes] = []
    found = False
    for argument in arguments:
        if argument == STDIN:
            given = _from_stdin()
        elif Path(argument).is_dir():
            given = list(image_files([Path(argument)]))
            if not given:
                log(f"no images in the folder {printable(argument)}")
        else:
            given = [Path(argument)]
        found = found or any(isinstance(image, bytes) or image.exists() for image in given)
        images.extend(given)
    if not found:
        named = ", ".join(f"'{printable(argument)}'" for argument in arguments[:3])
        more = f" and {len(arguments) - 3} more" if len(arguments) > 3 else ""
        raise SourceError(
            f"found no images at {named}{more}. Expected image files, a folder of them, or - for names"
        )
    return images


def _from_stdin() -> list[Path | bytes]:
    """File names, one a line or separated by NUL as `find -print0` does; or one image."""
    content = sys.stdin.buffer.read()
    if content.startswith(IMAGE_HEADS):
        return [content]
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def _write(predictions: Sequence[Prediction], form: str, out_file: Path | None, top: int) -> None:
    if form == "table" and out_file is None and out.is_terminal:
        out.print(_table(predictions), soft_wrap=False)
        return
    text = _csv(predictions, top) if form == "csv" else {"json": _json, "table": _text}[form](predictions)
    if out_file is None:
        sys.stdout.write(harmless(text) if out.is_terminal else text)
        sys.stdout.flush()
        return
    from skipline.storage import write_atomically

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    write_atomically(out_file, write)
    log(f"{len(predictions):,} predictions written to {out_file}")


def _json(predictions: Sequence[Prediction]) -> str:
    values = {"predictions": [p.to_json() for p in predictions]}
    return harmless_json(json.dumps(values, ensure_ascii=False, allow_nan=False)) + "\n"


def _csv(predictions: Sequence[Prediction], top: int) -> str:
    """Columns file, class, probability and error, then class_2, probability_2 and so on up to `top`."""
    others = [f"{what}_{rank}" for rank in range(2, top + 1) for what in ("class", "probability")]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "class", "probability", "error", *others])
    for p in predictions:
        rest = [value for name, probability in p.top[1:] for value in (name, f"{probability:.6f}")]
        probability = "" if p.probability is None else f"{p.probability:.6f}"
        row = [p.file, p.class_name or "", probability, p.error or "", *rest]
        writer.writerow(row + [""] * (4 + len(others) - len(row)))
    return encodable(buffer.getvalue())


def _table(predictions: Sequence[Prediction]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    if any(len(p.top) > 1 or p.error for p in predictions):
        table.add_column("next", overflow="fold")
    for p in predictions:
        file = Text(printable(p.file or ""))
        if p.error is not None:
            table.add_row(file, Text("error", style="red"), "", Text(printable(p.error), style="red"))
            continue
        likely = [(name, share) for name, share in p.top[1:] if share >= SMALLEST_SHOWN]
        following = ", ".join(f"{printable(name)} {_percent(share)}" for name, share in likely)
        table.add_row(
            file, Text(printable(p.class_name or "")), _percent(p.probability or 0.0), Text(following)
        )
    return table


def _text(predictions: Sequence[Prediction]) -> str:
    """The table for a pipe or a file: one line an image, however long."""
    buffer = io.StringIO()
    Console(file=buffer, width=10_000, no_color=True).print(_table(predictions))
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())


def _percent(share: float) -> str:
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"
