"""How far the rules can be trusted: every case of both zoos is examined, and hits and false alarms are counted."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipline.data import Progress, silent
from skipline.diagnosis.examination import STEPS, examine
from skipline.diagnosis.patient import open_patient
from skipline.diagnosis.rules import RULES
from skipline.diagnosis.zoo import FAULTS, HEALTHY
from skipline.machine import describe_machine
from skipline.metrics import wilson_interval
from skipline.training.jobs import Job, run_jobs

SOURCE = "digits"
SECONDS = 600.0  # a trial is bounded by its steps, so that a busy machine gives the same table


@dataclass(frozen=True)
class Row:
    """One rule over both zoos.

    Attributes:
        rule: its name.
        cases: faults that it must find.
        hits: examinations of them, over all seeds, in which it spoke.
        tries: examinations of them.
        missed: cases that it missed, with the number of seeds.
        errors: examinations of healthy cases in which it called an error.
        warnings: likewise a warning.
        alarmed: the healthy cases concerned.
        healthy: examinations of healthy cases.
    """

    rule: str
    cases: tuple[str, ...]
    hits: int
    tries: int
    missed: tuple[str, ...]
    errors: int
    warnings: int
    alarmed: tuple[str, ...]
    healthy: int


@dataclass(frozen=True)
class Calibration:
    """The table, and what it was made with.

    Attributes:
        rows: one a rule.
        beside: findings on faults that are neither the fault's own nor known to go with it, by case.
        seeds: of weights, order and whatever the zoo draws.
        seconds: that all examinations took, summed over processes.
        machine: what they ran on.
    """

    rows: tuple[Row, ...]
    beside: dict[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    seconds: float
    machine: dict[str, object]


def calibrate(
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    processes: int | None = None,
    progress: Progress = silent,
) -> Calibration:
    """Examine both zoos.

    Args:
        folder: every finished examination is kept here, so that the same call goes on where an earlier one stopped.
            Empty it after a change of the rules.
        seeds: of each case.
        processes: at once; None takes one a core.
        progress: told about examinations.
    """
    jobs = [
        Job(f"{case.name}-seed{seed}", examine_case, {"name": case.name, "seed": seed})
        for seed in seeds
        for case in (*FAULTS, *HEALTHY)
    ]
    results = run_jobs(jobs, folder, processes=processes, progress=progress, what="examinations")
    return tabulate(results, tuple(seeds))


def examine_case(name: str, seed: int) -> dict[str, Any]:
    """One examination, as a job.

    Args:
        name: of the case.
        seed: of its weights, order and data.
    """
    patient = open_patient(f"zoo:{name}", SOURCE, seed=seed)
    found = examine(patient, steps=STEPS, seconds=SECONDS, seed=seed)
    return {
        "findings": [[finding.diagnosis, finding.severity, finding.sentence] for finding in found.findings],
        "not_run": [[check.check, check.reason] for check in found.not_run],
        "seconds": round(found.seconds, 1),
    }


def tabulate(results: dict[str, dict[str, Any]], seeds: tuple[int, ...]) -> Calibration:
    """Count.

    Args:
        results: of `examine_case`, by NAME-seedN.
        seeds: all of which must be there for every case.
    """

    def spoke(case: str, seed: int, rule: str) -> str | None:
        found = results[f"{case}-seed{seed}"]["findings"]
        return next((severity for diagnosis, severity, _ in found if diagnosis == rule), None)

    rows = []
    for rule in RULES:
        own = [case for case in FAULTS if case.diagnosis == rule.name]
        hits = {
            case.name: sum(spoke(case.name, seed, rule.name) is not None for seed in seeds) for case in own
        }
        alarms = [
            (case.name, severity)
            for case in HEALTHY
            for seed in seeds
            if (severity := spoke(case.name, seed, rule.name)) in ("error", "warning")
        ]
        rows.append(
            Row(
                rule=rule.name,
                cases=tuple(case.name for case in own),
                hits=sum(hits.values()),
                tries=len(own) * len(seeds),
                missed=tuple(
                    f"{name} ({len(seeds) - hit} of {len(seeds)})"
                    for name, hit in hits.items()
                    if hit < len(seeds)
                ),
                errors=sum(severity == "error" for _, severity in alarms),
                warnings=sum(severity == "warning" for _, severity in alarms),
                alarmed=tuple(dict.fromkeys(name for name, _ in alarms)),
                healthy=len(HEALTHY) * len(seeds),
            )
        )
    beside = {}
    for case in FAULTS:
        known = {case.diagnosis, *case.also}
        others = [
            f"{diagnosis} ({severity})"
            for seed in seeds
            for diagnosis, severity, _ in results[f"{case.name}-seed{seed}"]["findings"]
            if diagnosis not in known and severity != "note"
        ]
        if others:
            beside[case.name] = tuple(dict.fromkeys(others))
    seconds = sum(result["seconds"] for result in results.values())
    return Calibration(tuple(rows), beside, seeds, seconds, describe_machine())


def page(found: Calibration, command: str) -> str:
    """The tables of docs/diagnosis.md as Markdown.

    Args:
        found: the calibration.
        command: that makes it again.
    """
    machine = found.machine
    tries = sum(row.tries for row in found.rows)
    hits = sum(row.hits for row in found.rows)
    low, high = wilson_interval(hits, tries)
    errors = sum(row.errors for row in found.rows)
    healthy = found.rows[0].healthy
    lines = [
        f"Made by `{command}` on {machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, Python "
        f"{platform.python_version()}: {len(FAULTS)} faults and {len(HEALTHY)} healthy cases on scikit-learn's digits, "
        f"seeds {', '.join(map(str, found.seeds))}, {found.seconds / 60:.0f} minutes of computing in all.",
        "",
        f"The rule that a fault calls for spoke in {hits} of {tries} examinations ({hits / tries:.0%}, 95 % interval "
        f"{low:.0%} to {high:.0%}). In {healthy} examinations of healthy cases there "
        f"{'was 1 error' if errors == 1 else f'were {errors} errors'}.",
        "",
        "| Rule | Measured | It speaks at | Source | Found | Missed | Healthy: errors | Healthy: warnings |",
        "|---|---|---|---|---:|---|---:|---|",
    ]
    for rule, row in zip(RULES, found.rows, strict=True):
        share = f"{row.hits} of {row.tries}" if row.tries else "no case in the zoo"
        alarmed = f": {', '.join(row.alarmed)}" if row.alarmed else ""
        cells = (
            *(rule.name, rule.measure, rule.threshold, rule.source, share, ", ".join(row.missed) or "-"),
            *(f"{row.errors} of {row.healthy}", f"{row.warnings} of {row.healthy}{alarmed}"),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [
        "",
        "Findings on faults beside those that are known to go with the fault (`also` in its row of the zoo):",
        "",
    ]
    lines += [f"- {case}: {', '.join(others)}" for case, others in found.beside.items()] or ["- none"]
    return "\n".join(lines)
