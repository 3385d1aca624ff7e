"""The report of one run: what its folder says, as one page."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from skipline.report.inside import inside_section
from skipline.report.learning import curves_section, findings_section, twin_section
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact, interval, percent
from skipline.report.page import Cell, definitions, document, write_page
from skipline.report.provenance import machine_section, recipe_section, reproduce_section, source_section
from skipline.report.reading import read_run
from skipline.report.record import RunRecord, Source
from skipline.report.results import results_sections


def write_report(run_folder: Path) -> Path:
    """Write report.html of a run from the files in its folder.

    Args:
        run_folder: holds events.jsonl and, as far as the run came, recipe.toml, evaluation.json, mistakes/
            and the plain twin's run in twin/. The run may have been interrupted, or may still be going on.

    Returns:
        The page: one file of at most 6 MB that opens without network.

    Raises:
        InputError: the folder is not one of a run.
        StorageError: the disk is full or not writable; an earlier report is intact.
    """
    return write_page(run_folder / "report.html", run_page(read_run(run_folder)))


def run_page(run: RunRecord) -> str:
    """The report of a run as HTML."""
    blocks = [
        _header(run),
        twin_section(run),
        findings_section(run),
        curves_section(run),
        inside_section(run),
        *(results_sections(run.folder, run.evaluation, run.start.source.items) if run.evaluation else []),
        source_section(run),
        recipe_section(run),
        machine_section(run),
        reproduce_section(run),
    ]
    return document(_title(run), *(block for block in blocks if block is not None))


def _title(run: RunRecord) -> str:
    return f"{run.start.model} on {run.start.source.name}"


def _header(run: RunRecord) -> Markup:
    began = datetime.fromtimestamp(run.start.time, timezone.utc)
    kicker = tag(
        "p",
        "Training run, ",
        tag("time", f"{began.day} {began:%B %Y, %H:%M} UTC", datetime=began.isoformat(timespec="seconds")),
        class_="kicker",
    )
    return tag(
        "header",
        kicker,
        tag("h1", _title(run)),
        tag("p", _course(run), class_="lead"),
        _warning(run),
        definitions(_headline(run), class_="figures"),
    )


def _course(run: RunRecord) -> str:
    start, source = run.start, run.start.source
    done = run.epochs[-1].epoch if run.epochs else 0
    epochs = "1 epoch" if done == 1 else f"{done} epochs"
    early = ", stopped early by the recipe" if run.status == "done" and done < start.epochs else ""
    validation = f", {source.validation:,} for validation" if source.validation is not None else ""
    return (
        f"{start.params:,} parameters, trained with the recipe {start.recipe} for {epochs}{early} on "
        f"{_learned_from(source)} of {len(source.classes):,} classes; {source.test:,} held out for the "
        f"test{validation}."
    )


def _learned_from(source: Source) -> str:
    found = source.items.counted(source.train)
    return found if source.windows is None else f"{source.windows[0]:,} windows of {found}"


def _warning(run: RunRecord) -> Markup:
    done = run.epochs[-1].epoch if run.epochs else 0
    how = {
        "interrupted": "This run was interrupted",
        "failed": "This run failed",
        "unfinished": "This run has no recorded end (it is still going on, or was cut off)",
    }.get(run.status)
    if how is None:
        return Markup()
    state = " All figures here are of that state." if done else ""
    return tag(
        "p", f"{how}: {done} of {run.start.epochs} epochs are finished.{state}", class_="note", role="note"
    )


def _headline(run: RunRecord) -> list[tuple[str, Cell]]:
    figures: list[tuple[str, Cell]] = []
    if run.evaluation:
        test, many = run.evaluation.test, run.start.source.items.many
        figures.append((f"top-1 accuracy on the test {many}", exact(test.top1, percent(test.top1))))
        if bounds := interval(test.top1_interval):
            figures.append(("95 % interval, in per cent", bounds))
        if run.evaluation.tta:
            with_tta = run.evaluation.tta.top1
            figures.append(("with test-time augmentation", exact(with_tta, percent(with_tta))))
        figures.append((f"test {many}", f"{test.n:,}"))
    else:
        measured = [epoch for epoch in run.epochs if epoch.test and epoch.test.top1 is not None]
        if measured and (score := measured[-1].test):
            text = f"{measured[-1].measured_on} accuracy after epoch {measured[-1].epoch}"
            figures.append((text, exact(score.top1, percent(score.top1))))
        else:
            figures.append(("test accuracy", "not measured"))
    figures.append(("training time", exact(run.seconds, duration(run.seconds))))
    if run.images_per_second is not None:
        figures.append(
            ("training images a second", exact(run.images_per_second, f"{run.images_per_second:,.0f}"))
        )
    return figures
