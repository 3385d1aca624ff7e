"""`skipline diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipline.cli.console import Bars, emit_json, log, out
from skipline.cli.names import printable

if TYPE_CHECKING:
    from skipline.diagnosis.findings import Diagnosis, Verdict

STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="diagnose",
        help="Say why a network does not train: findings with numbers, remedies, and with --verify their test.",
    )(diagnose)


def diagnose(
    target: Annotated[
        str, typer.Argument(help="A run or bundle folder, a catalogue name, FILE.py:FUNCTION or zoo:NAME.")
    ],
    source: Annotated[
        str | None, typer.Argument(help="Images, as for train; may be left out for a run.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Test the remedies: train patient, treated and sham.")
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Named recipe or TOML file; default: a run's own, else by image size.")
    ] = None,
    settings: Annotated[list[str], typer.Option("--set", help="Change a key: --set optimizer.lr=0.05")] = [],  # noqa: B006
    steps: Annotated[int, typer.Option(help="Of the trial training.")] = 60,
    seed: Annotated[
        int | None, typer.Option(help="Of split, weights and order; default: a run's own, else 0.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="With --verify: of each arm.")] = 3,
    verify_steps: Annotated[int, typer.Option(help="With --verify: of each training.")] = 400,
    processes: Annotated[
        int | None, typer.Option(help="With --verify: at once; default: one a core.")
    ] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where diagnosis.json and report.html go; an interrupted --verify resumes there."
        ),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where downloads are looked for and put.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Examine, print what was found, write diagnosis.json and report.html."""
    from skipline import api

    with Bars() as bars:

        def say(topic: str, message: str) -> None:
            bars.close()
            log(f"{topic:<12} {printable(message)}")

        found = api.diagnose(
            target,
            source,
            recipe=recipe,
            settings=settings,
            seed=seed,
            steps=steps,
            verify=verify,
            seeds=seeds,
            verify_steps=verify_steps,
            processes=processes,
            out=out_folder,
            data_root=data_root,
            progress=bars,
            say=say,
        )
    if json_output:
        emit_json(found.to_json())
    else:
        _print(found)


def _print(found: Diagnosis) -> None:
    """Errors first, each with its remedy and the test of it; then what is fine, and what could not be checked."""
    for finding in found.findings:
        where = f"  {printable(finding.where)}:" if finding.where else " "
        out.print(f"{finding.severity:<8}", style=STYLES[finding.severity], end="", markup=False)
        out.print(
            f"{finding.diagnosis}{where} {printable(finding.sentence)} [{finding.source}]", markup=False
        )
        out.print(f"{'':<8}remedy: {printable(finding.remedy)}", markup=False)
        for verdict in found.verdicts:
            if verdict.diagnosis == finding.diagnosis:
                out.print(f"{'':<8}tested: {_tested(verdict)}", markup=False)
    answered = {finding.diagnosis for finding in found.findings}
    for verdict in found.verdicts:
        if verdict.diagnosis not in answered:  # asked for by the network's structure, not by a finding
            out.print(f"{'tested':<8}{_tested(verdict)}", markup=False)
    others = "check" if len(found.fine) == 1 else "checks"
    other = "other " if found.findings else ""
    line = f"{'fine':<8}{len(found.fine)} {other}{others}."
    if found.not_run:
        reasons: dict[str, list[str]] = {}
        for check in found.not_run:
            reasons.setdefault(check.reason, []).append(check.check)
        line += "  Not run: " + "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    out.print(line, markup=False)


def _tested(verdict: Verdict) -> str:
    figures = (verdict.effect, *verdict.interval)
    digits = 0 if min(map(abs, figures)) >= 0.1 else 1  # [0, 11] would not say on which side of 0 it ends
    effect, low, high = (f"{100 * value:.{digits}f}" for value in figures)
    seeds = "1 seed" if verdict.seeds == 1 else f"{verdict.seeds} seeds"
    return (
        f"{verdict.remedy}: {'+' if verdict.effect >= 0 else ''}{effect} points [{low}, {high}] of "
        f"{verdict.measure}, {seeds}, sham {100 * verdict.sham:+.1f}: {verdict.outcome} ({verdict.seconds:.0f} s)"
    )
