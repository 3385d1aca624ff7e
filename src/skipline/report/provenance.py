"""The sections on where the figures come from: images, recipe, machine, and the command to repeat them."""

from __future__ import annotations

import json
import shlex

from skipline.data.kinds import ARRAYS, SERIES
from skipline.report.machine import machine_facts
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration
from skipline.report.page import Cell, bullets, definitions, details, section
from skipline.report.record import RunRecord

SHOWN_NOTES = 8
MOST_NOTES = 500


def source_section(run: RunRecord) -> Markup:
    """The images, or what else was classified: how many, and everything that was noticed about them."""
    source = run.start.source
    many = source.items.many
    channels, *sides = source.input
    unit = "values" if source.items in (SERIES, ARRAYS) else "pixels"
    size = f"{' x '.join(map(str, sides))} {unit}"
    facts = [
        ("Source", source.name),
        (f"Training {many}", f"{source.train:,}"),
        *([(f"Validation {many}", f"{source.validation:,}")] if source.validation is not None else []),
        (f"Test {many}", f"{source.test:,}"),
        *(
            [("Cut into windows", "{:,} of training, {:,} of test".format(*source.windows))]
            if source.windows
            else []
        ),
        ("Classes", f"{len(source.classes):,}"),
        ("Input", f"{size}, {channels} {'channel' if channels == 1 else 'channels'}"),
    ]
    blocks = [definitions(facts, class_="facts")]
    if source.problems:
        files = "1 file was" if source.problems == 1 else f"{source.problems:,} files were"
        blocks.append(tag("p", f"{files} left out because they could not be read as {many}.", class_="note"))
    notes = [*source.notes, *(run.evaluation.test.notes if run.evaluation else ()), *run.unreadable]
    if notes:
        blocks.append(tag("h3", "Notes"))
        blocks.append(bullets(notes[:SHOWN_NOTES]))
    if rest := notes[SHOWN_NOTES:MOST_NOTES]:
        more = len(notes) - SHOWN_NOTES
        left_out = [f"and {len(notes) - MOST_NOTES:,} more"] if len(notes) > MOST_NOTES else []
        blocks.append(details(f"{more:,} more notes", bullets([*rest, *left_out])))
    return section(f"The {many}", *blocks, name="source")


def recipe_section(run: RunRecord) -> Markup:
    """The resolved recipe, folded away."""
    if not run.recipe:
        return section("Recipe", tag("p", "The run folder holds no recipe.toml."), name="recipe")
    text = f"Recipe {run.start.recipe}, resolved: every setting of this run, as it stands in recipe.toml."
    return section(
        "Recipe",
        tag("p", text),
        details("Show recipe.toml", tag("pre", run.recipe, tabindex="0")),
        name="recipe",
    )


def machine_section(run: RunRecord) -> Markup:
    """What it ran on, with which versions, and from which seed and data."""
    start = run.start
    facts: list[tuple[str, Cell]] = [*machine_facts(start.machine)]
    facts += [
        ("Device", start.device),
        ("Precision", start.precision),
        *([("Threads", str(start.threads))] if start.threads is not None else []),
        *([("Processes", f"{start.processes:,}, which share every batch")] if start.processes > 1 else []),
        ("Seed", str(start.seed)),
        ("Batch size", f"{start.batch_size:,}"),
        ("Steps an epoch", f"{start.steps_per_epoch:,}"),
        ("Parameters", f"{start.params:,}"),
        ("Multiply-adds an image", f"{start.macs:,}"),
        ("Time", duration(run.seconds)),
    ]
    if run.end and run.end.peak_memory_bytes is not None:
        facts.append(("Peak memory", f"{run.end.peak_memory_bytes / 2**20:,.0f} MiB"))
    if run.resumes:
        facts.append(("Taken up again", "once" if run.resumes == 1 else f"{run.resumes} times"))
    facts.append(("Model options", tag("code", json.dumps(start.options, ensure_ascii=False))))
    facts.append((f"Fingerprint of the {start.source.items.many}", tag("code", start.source.fingerprint)))
    return section("Machine, versions, seed", definitions(facts, class_="facts"), name="machine")


def reproduce_section(run: RunRecord) -> Markup:
    """The command that runs it again."""
    text = (
        "In the folder of this run (the file recipe.toml is the one above). The same machine, versions and "
        "number of threads give the same weights; elsewhere rounding differs, and figures move a little."
    )
    command = tag("pre", command_line(run), class_="wrap", tabindex="0")
    return section("Run it again", tag("p", text), command, name="reproduce")


def command_line(run: RunRecord) -> str:
    """The command that reproduces a run, quoted for a POSIX shell.

    Args:
        run: where recipe.toml has its [run] table, source and switches are taken from it as they were given.

    Returns:
        One line.
    """
    start, plan = run.start, run.plan
    recipe = (
        ["--recipe", "recipe.toml"]
        if run.recipe
        else ["--recipe", start.recipe, "--epochs", str(start.epochs)]
    )
    words = ["skipline", "train", str(plan.get("source", start.source.name)), "--model", start.model, *recipe]
    words += ["--seed", str(start.seed)]
    if shortcut := start.options.get("shortcut"):
        words += ["--shortcut", str(shortcut)]
    if start.threads is not None:
        words += ["--threads", str(start.threads)]
    if start.processes > 1:
        words += ["--nproc", str(start.processes)]
    if plan.get("data_root"):
        words += ["--data-root", str(plan["data_root"])]
    words += ["--strict"] if plan.get("strict") else []
    words += ["--twin"] if run.twin or plan.get("twin") else []
    return shlex.join(words)
