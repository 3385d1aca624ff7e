"""The report of a study: its question, its claims with their outcomes, and what they rest on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from skipline.metrics import mean_interval
from skipline.report.drawing import draw_all
from skipline.report.machine import machine_facts
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact, number, percent
from skipline.report.page import (
    Cell,
    bullets,
    definitions,
    details,
    document,
    paragraphs,
    section,
    stacked_table,
    table,
    write_page,
)
from skipline.report.study_record import ArmRecord, ClaimRecord, StudyRecord, read_study

SIGNS = {
    "holds": ("good", "\N{CHECK MARK}"),
    "does not hold": ("bad", "\N{MULTIPLICATION X}"),
    "not decided": ("open", "?"),
}


def write_study_report(folder: Path) -> Path:
    """Write report.html of a study from study.json and the pictures in its folder.

    Args:
        folder: the study's own.

    Returns:
        The page: one file of at most 6 MB that opens without network.

    Raises:
        InputError: the folder holds no readable study.json.
        StorageError: the disk is full or not writable; an earlier report is intact.
    """
    return write_page(folder / "report.html", study_page(read_study(folder), folder))


def study_page(study: StudyRecord, folder: Path) -> str:
    """The report of a study as HTML; pictures are read from the folder."""
    panels = draw_all(study.panels, folder, "panel", "study.json")
    blocks = [
        _header(study),
        _claims(study),
        _arms(study),
        section("What was measured", *panels, name="panels") if panels else None,
        _conditions(study),
        _reproduce(study),
    ]
    return document(study.title, *(block for block in blocks if block is not None))


def _header(study: StudyRecord) -> Markup:
    holding = sum(claim.outcome == "holds" for claim in study.claims)
    figures: list[tuple[str, Cell]] = []
    if study.claims:
        count = len(study.claims)
        figures.append(("claims hold here" if count > 1 else "claim holds here", f"{holding} of {count}"))
    figures.append(("seeds" if len(study.seeds) != 1 else "seed", f"{len(study.seeds)}"))
    figures.append(("computing time", exact(study.seconds, duration(study.seconds))))
    return tag(
        "header",
        tag("p", f"Study {study.study}, budget {study.budget}", class_="kicker"),
        tag("h1", study.title),
        tag("p", study.question, class_="lead"),
        tag("p", _course(study)),
        definitions(figures, class_="figures"),
    )


def _course(study: StudyRecord) -> str:
    arms = f"{len(study.arms)} {'arm' if len(study.arms) == 1 else 'arms'}" if study.arms else "Measured"
    seeds = f"seed {study.seeds[0]}" if len(study.seeds) == 1 else f"seeds {', '.join(map(str, study.seeds))}"
    if study.photos is not None:
        return f"{arms}, {seeds}, on the photos of {study.photos}; a seed also decides which of them are held out."
    if study.source is None:
        return f"{arms}, {seeds}; no images are needed."
    source = study.source
    classes = f" of {len(source.classes):,} classes" if source.classes else ""
    return (
        f"{arms}, {seeds}, on {source.name}: {source.train:,} training and {source.test:,} test "
        f"{source.items.many}{classes}."
    )


def _claims(study: StudyRecord) -> Markup | None:
    notes = [tag("h3", "What limits this"), bullets(study.notes)] if study.notes else []
    if not study.claims:
        return section("What limits this", bullets(study.notes), name="claims") if study.notes else None
    text = (
        "Each published statement against the figures of this study. The 95 % interval over seeds decides: a "
        "claim holds, or does not, where the whole interval lies on one side of its limit; otherwise, or with "
        "too few seeds, it is not decided."
    )
    headings = ["Outcome", "Claim", "Published", "Measured here", "95 % interval"]
    rows = [
        [outcome(claim.outcome), _statement(claim), claim.published, claim.measured, _bounds(claim)]
        for claim in study.claims
    ]
    claims = stacked_table("Claims and what was measured", headings, rows)
    return section("Claims", tag("p", text), claims, *notes, name="claims")


def outcome(word: str) -> Markup:
    """The outcome of a claim: a sign, the word, and the colour that goes with it."""
    kind, sign = SIGNS[word]
    return tag("span", tag("span", f"{sign} ", aria_hidden="true"), word, class_=f"outcome {kind}")


def _statement(claim: ClaimRecord) -> Markup:
    return tag("span", claim.statement, tag("span", claim.source, class_="source"))


def _bounds(claim: ClaimRecord) -> Cell:
    if claim.interval is None:
        return ""
    low, high = claim.interval
    if _in_points(claim):
        return tag("span", f"[{100 * low:.1f}, {100 * high:.1f}] points", class_="tight")
    return tag("span", f"[{number(low)}, {number(high)}]", class_="tight")


def _in_points(claim: ClaimRecord) -> bool:
    """Whether the interval holds fractions while the words give percentage points: its middle tells."""
    assert claim.interval is not None
    middle = 50 * abs(sum(claim.interval))
    told = re.findall(r"(\d+(?:\.\d+)?) (?:percentage )?points", claim.measured)
    return any(abs(middle - float(points)) <= 0.06 for points in told)


def _arms(study: StudyRecord) -> Markup | None:
    if not study.arms:
        return None
    names = list(dict.fromkeys(name for arm in study.arms for name in arm.results))
    sized = any(arm.params is not None for arm in study.arms)
    counted = any(arm.macs is not None for arm in study.arms)
    headings = ["Arm", "What it is", *names]
    headings += ["Parameters"] if sized else []
    headings += ["Multiply-adds"] if counted else []
    rows: list[list[Cell]] = []
    for arm in study.arms:
        row: list[Cell] = [arm.name, arm.description, *(_result(arm, name) for name in names)]
        row += ([_count(arm.params)] if sized else []) + ([_count(arm.macs)] if counted else [])
        rows.append(row)
    several = max((len(values) for arm in study.arms for values in arm.results.values()), default=0) > 1
    text = "Mean over seeds" + (
        "; brackets hold the 95 % interval of the mean (Student's t), which can reach beyond what is possible "
        "where seeds are few."
        if several
        else ": one value each, so there is no interval."
    )
    blocks = [tag("p", text), table("Results by arm", headings, rows, texts=2)]
    if several:
        blocks.append(details("Every seed's figures", _by_seed(study, names)))
    return section("Arms", *blocks, name="arms")


def _by_seed(study: StudyRecord, names: Sequence[str]) -> Markup:
    most = max(len(values) for arm in study.arms for values in arm.results.values())
    seeds = [
        f"seed {study.seeds[i]}" if most == len(study.seeds) else f"value {i + 1}"
        for i in range(min(most, 20))
    ]
    rows: list[list[Cell]] = [
        [arm.name, name, *(_shown(name, _at(arm.results[name], i)) for i in range(len(seeds)))]
        for arm in study.arms
        for name in names
        if name in arm.results
    ]
    return table("Figures by seed", ["Arm", "Figure", *seeds], rows, texts=2)


def _at(values: Sequence[float | None], i: int) -> float | None:
    return values[i] if i < len(values) else None


def _result(arm: ArmRecord, name: str) -> Cell:
    values = [value for value in arm.results.get(name, ()) if value is not None]
    if not values:
        return number(None) if name in arm.results else ""
    mean = exact(fmean(values), _shown(name, fmean(values)))
    if len(values) < 2:
        return mean
    low, high = mean_interval(values)
    if not (math.isfinite(low) and math.isfinite(high)):
        return mean
    share = _is_share(name)
    bounds = f"[{100 * low:.1f}, {100 * high:.1f}]" if share else f"[{number(low)}, {number(high)}]"
    return tag("span", mean, f" {bounds}")


def _is_share(name: str) -> bool:
    return "top-1" in name or "top-5" in name or "accuracy" in name


def _shown(name: str, value: float | None) -> str:
    return percent(value) if _is_share(name) else number(value)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _conditions(study: StudyRecord) -> Markup:
    facts: list[tuple[str, Cell]] = [
        ("Budget", study.budget),
        ("Seeds", ", ".join(map(str, study.seeds))),
        ("Time of all jobs", duration(study.seconds)),
    ]
    if study.source is not None:
        source, many = study.source, study.source.items.many
        facts = [
            (many.title(), source.name),
            (f"Training {many}", f"{source.train:,}"),
            (f"Test {many}", f"{source.test:,}"),
            *facts,
        ]
    facts += machine_facts(study.machine)
    if study.source is not None and study.source.fingerprint:
        facts.append((f"Fingerprint of the {study.source.items.many}", tag("code", study.source.fingerprint)))
    after = [tag("p", f"After {study.sources}.")] if study.sources else []
    return section("What was run", *after, definitions(facts, class_="facts"), name="conditions")


def _reproduce(study: StudyRecord) -> Markup:
    text = (
        "The same command on the same folder goes on where it stopped, and computes nothing twice. Elsewhere "
        "rounding differs, and figures move a little.",
    )
    command = tag("pre", study.command, class_="wrap", tabindex="0")
    return section("Run it again", paragraphs(text), command, name="reproduce")
