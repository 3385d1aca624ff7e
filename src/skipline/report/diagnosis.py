"""The report of a diagnosis: what was found, which remedies were tested, and the figures behind it."""

from __future__ import annotations

from pathlib import Path

from skipline.report.diagnosis_record import DiagnosisRecord, read_diagnosis
from skipline.report.drawing import draw_all
from skipline.report.layers import layer_panels
from skipline.report.machine import machine_facts
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact, number
from skipline.report.page import Cell, bullets, definitions, document, section, write_page
from skipline.report.record import Finding
from skipline.report.verdicts import verdicts_section

SEVERITIES = ("error", "warning", "note")


def write_diagnosis_report(folder: Path) -> Path:
    """Write report.html of a diagnosis from diagnosis.json.

    Args:
        folder: holds diagnosis.json.

    Returns:
        The page: one file of at most 6 MB that opens without network.

    Raises:
        InputError: the folder holds no readable diagnosis.json.
        StorageError: the disk is full or not writable; an earlier report is intact.
    """
    return write_page(folder / "report.html", diagnosis_page(read_diagnosis(folder), folder))


def diagnosis_page(found: DiagnosisRecord, folder: Path) -> str:
    """The report of a diagnosis as HTML."""
    panels = draw_all(layer_panels(found.readings), folder, "inside", "diagnosis.json")
    blocks = [
        _header(found),
        _findings(found),
        verdicts_section(found.verdicts),
        _checks(found),
        section("What happened inside", _inside(found), *panels, name="inside") if panels else None,
        section(
            "Machine",
            definitions(machine_facts(found.machine) or [("Machine", "not recorded")], class_="facts"),
            name="machine",
        ),
    ]
    return document(
        f"Diagnosis of {found.target} on {found.source}", *(block for block in blocks if block is not None)
    )


def _header(found: DiagnosisRecord) -> Markup:
    counts = {kind: sum(finding.severity == kind for finding in found.findings) for kind in SEVERITIES}
    figures: list[tuple[str, Cell]] = [
        (kind if counts[kind] == 1 else f"{kind}s", f"{counts[kind]}") for kind in SEVERITIES
    ]
    figures += [
        ("checks found nothing", f"{len(found.fine)}"),
        ("checks could not run", f"{len(found.not_run)}"),
        ("time", exact(found.seconds, duration(found.seconds))),
    ]
    return tag(
        "header",
        tag("p", "Diagnosis", class_="kicker"),
        tag("h1", f"{found.target} on {found.source}"),
        tag("p", _lead(found), class_="lead"),
        definitions(figures, class_="figures"),
    )


def _lead(found: DiagnosisRecord) -> str:
    if not found.findings:
        return f"Nothing was found: all {len(found.fine):,} checks that ran are fine."
    worst = min(found.findings, key=lambda finding: SEVERITIES.index(finding.severity))
    confirmed = [verdict.remedy for verdict in found.verdicts if verdict.outcome == "confirmed"]
    tested = f" Confirmed by test: {', '.join(confirmed)}." if confirmed else ""
    return f"{_begun(worst.diagnosis)}: {worst.sentence or worst.remedy}.{tested}"


def _findings(found: DiagnosisRecord) -> Markup | None:
    if not found.findings:
        return None
    ordered = sorted(found.findings, key=lambda finding: SEVERITIES.index(finding.severity))
    return section("Findings", *(_finding(finding) for finding in ordered), name="findings")


def _finding(finding: Finding) -> Markup:
    heading = tag(
        "h3",
        tag("span", finding.severity, class_=f"severity {finding.severity}"),
        f" {finding.diagnosis}",
    )
    facts: list[tuple[str, Cell]] = []
    if finding.where:
        facts.append(("Where", finding.where))
    if finding.value is not None:
        facts.append(("Measured", _figure(finding.value)))
    if finding.threshold is not None:
        facts.append(("Threshold", _figure(finding.threshold)))
    if finding.source:
        facts.append(("Source of the threshold", finding.source))
    sentence = [tag("p", f"{_begun(finding.sentence)}.")] if finding.sentence else []
    remedy = tag("p", tag("strong", "Remedy: "), finding.remedy)
    return tag(
        "article",
        heading,
        *sentence,
        remedy,
        definitions(facts, class_="facts") if facts else Markup(),
        class_=f"finding {finding.severity}",
    )


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _figure(value: float | str) -> Cell:
    return value if isinstance(value, str) else exact(value, number(value))


def _checks(found: DiagnosisRecord) -> Markup | None:
    blocks: list[Markup] = []
    if found.fine:
        blocks += [tag("h3", "Fine"), tag("p", f"These ran and found nothing: {', '.join(found.fine)}.")]
    if found.not_run:
        reasons = [f"{check.check}: {check.reason}" for check in found.not_run]
        blocks += [tag("h3", "Not run"), bullets(reasons)]
    return section("The other checks", *blocks, name="checks") if blocks else None


def _inside(found: DiagnosisRecord) -> Markup:
    first, last = found.readings[0], found.readings[-1]
    when = (
        f"at step {first.step:,}"
        if first is last
        else f"{len(found.readings):,} times, from step {first.step:,} to step {last.step:,}"
    )
    text = f"The probes looked into the network {when}, on one batch of {last.images:,} images."
    losses = (
        f" The loss of that batch was {number(first.loss)} at step {first.step:,} and {number(last.loss)} at step "
        f"{last.step:,}."
        if first is not last
        else f" The loss of that batch was {number(first.loss)}."
    )
    return tag("p", text + losses)
