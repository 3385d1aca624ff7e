"""`skipline study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from skipline.cli.console import Bars, emit_json, log, out
from skipline.cli.train import duration
from skipline.errors import InputError

if TYPE_CHECKING:
    from skipline.studies.run import StudyResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="study", help="Run a classic experiment on your images; without a name, list them.")(
        study
    )


def study(
    name: Annotated[str | None, typer.Argument(help="Which; leave it out to list all.")] = None,
    source: Annotated[
        str | None, typer.Argument(help="digits, cifar10, cifar100, a folder, a .tar or a .parquet")
    ] = None,
    budget: Annotated[str, typer.Option(help="quick (minutes on digits) or full.")] = "quick",
    seeds: Annotated[
        str | None, typer.Option(help="How many, or which: 0,1,2 (one seed 7 is '7,').", metavar="N|LIST")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the budget's.")] = None,
    depths: Annotated[
        str | None, typer.Option(help="Instead of the budget's: 20,56.", metavar="LIST")
    ] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder; default: runs/study-NAME. The same command goes on in it."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="At once, one thread each; default: one a core, in full studies measured."),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where downloads are looked for and put.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a study, or go on with it; print its claims and where the report lies."""
    if name is None:
        _list_studies(json_output)
        return
    wanted_seeds, wanted_depths = (
        parse_seeds(seeds),
        None if depths is None else parse_list("--depths", depths),
    )
    from skipline.studies.run import run_study

    with Bars() as bars:
        try:
            result = run_study(
                name,
                source,
                budget=budget,
                seeds=wanted_seeds,
                epochs=epochs,
                depths=wanted_depths,
                out=out_folder,
                processes=processes,
                data_root=data_root,
                progress=bars,
                say=lambda topic, message: log(f"{topic:<12} {message}"),
            )
        except KeyboardInterrupt:
            log("interrupted; what is finished is kept. Go on with the same command")
            raise typer.Exit(130) from None
    if json_output:
        emit_json(result.to_json())
    else:
        _print_result(result)


def parse_seeds(text: str | None) -> int | tuple[int, ...] | None:
    """A number of seeds ("3"), or the seeds themselves ("0,1,2", one alone as "7,").

    Raises:
        InputError: something else.
    """
    if text is None:
        return None
    return parse_list("--seeds", text) if "," in text else parse_list("--seeds", text)[0]


def parse_list(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas.

    Raises:
        InputError: something else.
    """
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"{option} takes whole numbers separated by commas, such as 20,56; got '{text}'")
    return tuple(map(int, parts))


def _list_studies(json_output: bool) -> None:
    from skipline.studies.catalogue import STUDIES

    if json_output:
        rows = [
            {"name": study.name, "title": study.title, "question": study.question, "sources": study.sources}
            for study in STUDIES.values()
        ]
        emit_json({"studies": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("study", no_wrap=True)
    table.add_column("question")
    for study in STUDIES.values():
        table.add_row(study.name, study.question)
    out.print(table, soft_wrap=False)
    out.print("\nskipline study NAME [SOURCE] --budget quick|full; the source is digits where you name none")


def _print_result(result: StudyResult) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("claim", "published", "measured"):
        table.add_column(heading, overflow="fold")
    table.add_column("95 %", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for claim in result.claims:
        table.add_row(
            claim.statement, claim.published or "-", claim.measured, _interval(claim.interval), claim.outcome
        )
    out.print(table, soft_wrap=False, markup=False)
    out.print(f"\nfolder       {result.folder}  ({duration(result.seconds)})")
    out.print(f"report       {result.report}")


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"
