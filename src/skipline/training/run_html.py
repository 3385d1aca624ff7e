"""Runs as a notebook shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipline import display

if TYPE_CHECKING:
    from skipline.training.observer import Measurement
    from skipline.training.run import RunResult


def run_html(
    title: str,
    runs: Sequence[tuple[str, RunResult]],
    report: Path | None,
    findings: Sequence[dict[str, Any]] = (),
) -> str:
    """Figures of one or two runs, what was found, and where things lie.

    Args:
        title: of the block.
        runs: each with what it is called.
        report: the page, where there is one.
        findings: as `Finding.to_json` has them.
    """
    headings = ("", "training top-1", "test top-1", "test loss", "epochs", "seconds", "images/s")
    rows = [
        (
            name,
            _percent(run.train),
            _percent(run.test),
            "" if run.test is None or run.test.loss is None else f"{run.test.loss:.4f}",
            f"{run.epochs}",
            f"{run.seconds:,.1f}",
            f"{run.images_per_second:,.0f}",
        )
        for name, run in runs
    ]
    remarks = [
        display.remark(
            str(finding.get("severity", "note")),
            str(finding.get("diagnosis", "")),
            str(finding.get("sentence") or ""),
            f"remedy: {finding['remedy']}" if finding.get("remedy") else "",
        )
        for finding in findings
    ]
    first = runs[0][1]
    places = [("folder", str(first.folder)), ("bundle", str(first.bundle))]
    places += [("report", str(report))] if report is not None else []
    return display.block(
        title, display.grid(headings, rows), *remarks, display.facts(places), detail=first.status
    )


def _percent(measured: Measurement | None) -> str:
    return "" if measured is None else f"{100 * measured.top1:.2f} %"
