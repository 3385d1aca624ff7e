"""Examine a network, test remedies, and write what was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from skipline.api.folders import free_folder, short_name
from skipline.data import Progress, silent
from skipline.diagnosis.findings import Diagnosis
from skipline.errors import InputError
from skipline.storage import write_atomically
from skipline.training import Recipe
from skipline.training.session import Say, quiet


def diagnose(
    target: str | Path,
    source: str | Path | None = None,
    *,
    recipe: str | Path | Recipe | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    steps: int | None = None,
    verify: bool = False,
    seeds: int = 3,
    verify_steps: int = 400,
    processes: int | None = None,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    progress: Progress = silent,
    say: Say = quiet,
) -> Diagnosis:
    """Examine a network that does not train as it should, and write diagnosis.json and report.html.

    Args:
        target: a run or bundle folder, a catalogue name, "FILE.py:NAME" (a function that builds the network), or
            "zoo:NAME".
        source: images as for `train`; None takes those of a run.
        recipe: a name, a TOML file or a `Recipe`; None takes a run's own, else chooses by the size of the images
            (your own network learns from images above 12 x 12 with Adam at 1e-3, which suits almost any).
        settings: `key=value` texts that change single keys of the recipe.
        seed: of split, weights and order; None takes a run's own, else 0.
        steps: of the trial training; None takes 60.
        verify: test the remedies by intervention, too.
        seeds: of each arm of the verification.
        verify_steps: of each run of the verification.
        processes: at once; None takes one a core.
        out: where to write; None takes the next free runs/diagnosis-NAME-N. An interrupted verification goes on in the
            same folder.
        data_root: where downloads are looked for.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Returns:
        Findings, checks that found nothing, checks that could not run, and verdicts.

    Raises:
        InputError: a target or source that cannot be used.
    """
    from skipline.diagnosis.examination import STEPS, examine
    from skipline.diagnosis.patient import open_patient
    from skipline.report.diagnosis import write_diagnosis_report

    if steps is not None and steps < 1:
        raise InputError(f"--steps must be at least 1, got {steps}")
    if seeds < 2:
        raise InputError(f"--seeds must be at least 2 to tell an effect from chance, got {seeds}")
    patient = open_patient(
        target, source, recipe=recipe, settings=settings, seed=seed, data_root=data_root, progress=progress
    )
    optimizer = patient.recipe.optimizer
    say(
        "patient",
        f"{patient.target} on {patient.source}, recipe {patient.recipe.name}, {optimizer.kind} {optimizer.lr:g}",
    )
    for note in patient.notes:
        say("", note)
    folder = Path(out) if out is not None else free_folder(f"diagnosis-{short_name(str(target))}")
    folder.mkdir(parents=True, exist_ok=True)
    found = examine(patient, steps=steps or STEPS, seed=patient.seed, progress=progress)
    _write_diagnosis(folder, found)
    if verify:
        from skipline.diagnosis.verify import verify as test_remedies

        found = test_remedies(
            patient,
            found,
            folder=folder / "verification",
            seeds=tuple(range(seeds)),
            steps=verify_steps,
            processes=processes,
            progress=progress,
        )
        _write_diagnosis(folder, found)
    say("report", str(write_diagnosis_report(folder)))
    return found


def _write_diagnosis(folder: Path, found: Diagnosis) -> None:
    text = json.dumps(found.to_json(), ensure_ascii=False, indent=1)
    write_atomically(
        folder / "diagnosis.json", lambda file: file.write(text.encode("utf-8", "backslashreplace"))
    )
