"""`skipline predict`."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipline.cli.console import Bars, log, out
from skipline.cli.images import STDIN, collect
from skipline.cli.names import encodable, harmless, harmless_json, printable
from skipline.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from skipline.bundle import Bundle, FeatureBatch, Prediction
    from skipline.engines import Engine


FORMATS = ("table", "json", "csv")
SMALLEST_SHOWN = 0.0005  # in the table; below it a runner-up would read 0.0 %


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="predict", help="Name the class of images, sounds or values with a trained network.")(
        predict
    )


def predict(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    files: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders of images, or - for file names (or one image) on standard input; for a network "
            "trained on values .npz, .npy, .csv or .tsv files.",
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
    precision: Annotated[
        str, typer.Option(help="auto (whichever is faster and agrees with fp32), fp32 or bf16.")
    ] = "auto",
    features: Annotated[
        Path | None,
        typer.Option(help="Also write what the classifier is given, to a .npy or .parquet file (in fp32)."),
    ] = None,
) -> None:
    """Classify images; one that cannot be read gets a row with the reason, and the rest go on.

    With --features their embeddings are written as well, from the same pass through the network: a matrix with the file
    names in a .json beside it, or a table with the columns file and feature.

    The exit status is 0 if any image was classified, 1 if none could be read, 2 if there was nothing to read.
    """
    form = _chosen_format(form, json_output, out_file)
    if out_file is not None and not out_file.absolute().parent.is_dir():
        raise InputError(f"there is no folder '{out_file.parent}' for --out: create it, or choose another")
    if features is not None:
        from skipline.bundle import check_feature_file

        check_feature_file(features)
        if precision not in ("auto", "fp32"):
            raise InputError(
                f"features are computed in fp32: leave --precision {precision} or --features out"
            )
    from skipline.bundle import load_bundle

    bundle = load_bundle(target)
    images = collect(files, bundle.preprocessing.kind)
    written = None
    with Bars() as bars:
        if features is None:
            predictions = bundle.predict(
                images, top=top, batch_size=batch_size, precision=precision, told=_tell, progress=bars
            )
        else:
            predictions, written = _with_features(bundle, images, features, top, batch_size, bars)
    predictions = [p if p.file is not None else replace(p, file=STDIN) for p in predictions]
    _write(predictions, form, out_file, top, written)
    failed = sum(p.error is not None for p in predictions)
    if failed:
        log(f"{failed:,} of {bundle.preprocessing.kind.counted(len(predictions))} could not be read")
    if failed == len(predictions):
        raise typer.Exit(1)


def _tell(engine: Engine) -> None:
    """Only what was measured is worth a line."""
    if engine.speedup is not None:
        log(f"computed by {engine}")


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


def _with_features(
    bundle: Bundle, images: list[Path | bytes], file: Path, top: int, batch_size: int, bars: Bars
) -> tuple[list[Prediction], dict[str, Any]]:
    """Write the embeddings; the predictions of the same pass, and what is to be said of the file."""
    from skipline.bundle import feature_batches, write_features

    if top < 1:
        raise InputError(f"expected top of at least 1, arrived {top}")
    predictions: list[Prediction] = []

    def watched() -> Iterator[FeatureBatch]:
        for batch in feature_batches(bundle.network, bundle.preprocessing, images, batch_size, bars):
            predictions.extend(batch.predictions(bundle.classes, top))
            yield batch

    written = write_features(file, watched())
    if written.rows:
        names = "" if written.names == file else f", their file names to {written.names}"
        log(f"{written.rows:,} features of {written.dimensions:,} numbers written to {file}{names}")
    else:
        log(f"no features written to {file}: none of the images could be read")
    return predictions, {"file": str(file), "rows": written.rows, "dimensions": written.dimensions}


def _write(
    predictions: Sequence[Prediction],
    form: str,
    out_file: Path | None,
    top: int,
    features: dict[str, Any] | None,
) -> None:
    if form == "table" and out_file is None and out.is_terminal:
        out.print(_table(predictions), soft_wrap=False)
        return
    if form == "json":
        text = _json(predictions, features)
    else:
        text = _csv(predictions, top) if form == "csv" else _text(predictions)
    if out_file is None:
        sys.stdout.write(harmless(text) if out.is_terminal else text)
        sys.stdout.flush()
        return
    from skipline.storage import write_atomically

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    write_atomically(out_file, write)
    log(f"{len(predictions):,} predictions written to {out_file}")


def _json(predictions: Sequence[Prediction], features: dict[str, Any] | None) -> str:
    values: dict[str, Any] = {"predictions": [p.to_json() for p in predictions]}
    if features is not None:
        values["features"] = features
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
