"""Running a study: its source, its jobs over the cores, its reading, study.json and the page."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipline.data import Dataset, Progress, open_source, silent
from skipline.errors import InputError
from skipline.machine import describe_machine
from skipline.storage import write_atomically
from skipline.studies.catalogue import study_named
from skipline.studies.folder import Request, StudyFolder
from skipline.studies.study import Arm, Budget, Claim, Context, Outcomes, Study
from skipline.training.jobs import run_jobs
from skipline.training.packing import Packing, choose_packing
from skipline.training.session import Say, quiet

BUDGETS: tuple[Budget, ...] = ("quick", "full")


@dataclass(frozen=True)
class StudyResult:
    """What a study left behind.

    Attributes:
        study: its name.
        folder: with study.json, jobs/ and, where networks were trained, runs/.
        report: the page.
        arms: its networks or conditions.
        claims: its table of claims.
        seconds: wall time of all sessions.
    """

    study: str
    folder: Path
    report: Path
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `skipline study --json` prints."""
        return {
            "study": self.study,
            "folder": str(self.folder),
            "report": str(self.report),
            "arms": [arm.to_json() for arm in self.arms],
            "claims": [claim.to_json() for claim in self.claims],
            "seconds": round(self.seconds, 3),
        }


def run_study(
    name: str,
    source: str | Path | None = None,
    *,
    budget: str = "quick",
    seeds: int | Sequence[int] | None = None,
    epochs: int | None = None,
    depths: Sequence[int] | None = None,
    out: str | Path | None = None,
    processes: int | None = None,
    data_root: str | Path | None = None,
    progress: Progress = silent,
    say: Say = quiet,
) -> StudyResult:
    """Run a study, or go on with one that was cut off: the same call on the same folder.

    Args:
        name: as `skipline study` lists them.
        source: of images, as `open_source` takes it; None takes the study's own.
        budget: "quick" (minutes on digits) or "full".
        seeds: a number, for 0, 1, ... (or the first ones of the study's own), or the seeds themselves; None takes
            the budget's.
        epochs: instead of the budget's.
        depths: instead of the budget's, for studies over depth.
        out: folder; None takes runs/study-NAME.
        processes: at once, one thread each; None measures in full studies and takes one a core in quick ones.
        data_root: where downloads are looked for and put.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Returns:
        Arms and claims, and where the page lies.

    Raises:
        UnknownNameError: no such study.
        InputError: a wrong argument, or the folder belongs to another study, source, budget or epochs.
    """
    study = study_named(name)
    chosen = _checked(study, budget, seeds, epochs, depths, processes)
    folder = Path(out) if out is not None else Path("runs") / f"study-{name}"
    given = str(source) if source is not None else study.default_source
    dataset = None
    if study.needs_images and not given:
        raise InputError(
            f"the study '{name}' needs a folder of sounds: skipline study {name} FOLDER, such as "
            "benchmarks/make_sounds.py makes"
        )
    if study.needs_images:
        if study.open is not None:
            dataset = study.open(given, progress)
        else:
            dataset = open_source(given, data_root=data_root, progress=progress)
        train, test, kind = dataset.train.sources, dataset.test.sources, dataset.kind
        say("source", f"{dataset.name}: {train:,} training and {test:,} test {kind.many}")
    elif source is not None and not study.takes_photos:
        raise InputError(f"the study '{name}' needs no images: leave '{source}' out")
    context = Context(
        dataset=dataset,
        source=_absolute(given) if study.needs_images or study.takes_photos else "",
        data_root=None if data_root is None else str(Path(data_root).resolve()),
        folder=folder.resolve(),  # jobs know it by this name, wherever the next call comes from
        budget=chosen.budget,
        seeds=chosen.seeds,
        epochs=epochs,
        depths=chosen.depths,
    )
    fingerprint = dataset.fingerprint if dataset else ""
    home = StudyFolder(folder, Request(name, context.source, fingerprint, chosen.budget, epochs))
    begun = time.monotonic()
    try:
        jobs = study.jobs(context)
        seeds_text = f"{len(context.seeds)} seed{'s' if len(context.seeds) != 1 else ''}"
        say("study", f"{len(jobs)} jobs, {seeds_text}, budget {budget}; in {folder}")
        if study.announce is not None:
            say("time", study.announce(context))
        packing = _packing(study, context, len(jobs), processes, progress)
        if packing is not None:
            say("packing", str(packing))
            processes = packing.processes
        results = run_jobs(
            jobs,
            folder / "jobs",
            processes=processes,
            threads=1 if packing is None else packing.threads,
            progress=progress,
            what=name,
        )
        outcomes = study.read(context, results)
    finally:
        home.add_seconds(time.monotonic() - begun)
    command = _command(name, given if context.source else None, chosen, epochs, folder, data_root)
    _write(study, context, outcomes, command, home.seconds)
    from skipline.report.study import write_study_report

    report = write_study_report(folder)
    return StudyResult(name, folder, report, tuple(outcomes.arms), tuple(outcomes.claims), home.seconds)


def _packing(
    study: Study, context: Context, jobs: int, processes: int | None, progress: Progress
) -> Packing | None:
    """Measured where it may pay: a quick study's networks are small, and want one thread each without asking."""
    if processes is not None or study.sample is None or context.budget == "quick":
        return None
    return choose_packing(study.sample(context), jobs, progress=progress)


@dataclass(frozen=True)
class _Chosen:
    budget: Budget
    seeds: tuple[int, ...]
    depths: tuple[int, ...] | None


def _checked(
    study: Study,
    budget: str,
    seeds: int | Sequence[int] | None,
    epochs: int | None,
    depths: Sequence[int] | None,
    processes: int | None,
) -> _Chosen:
    known = next((known for known in BUDGETS if known == budget), None)
    if known is None:
        raise InputError(f"the budget must be one of {', '.join(BUDGETS)}, got '{budget}'")
    own = study.seeds[known]
    if isinstance(seeds, int):
        wanted = (
            own[:seeds]
            if seeds <= len(own)
            else (*own, *range(max(own) + 1, max(own) + 1 + seeds - len(own)))
        )
    else:
        wanted = own if seeds is None else tuple(seeds)
    if (
        not wanted
        or min(wanted) < 0
        or len(set(wanted)) < len(wanted)
        or (isinstance(seeds, int) and seeds < 1)
    ):
        raise InputError(f"expected at least one seed, each 0 or greater and only once, got {seeds}")
    for label, value in (("epochs", epochs), ("processes", processes)):
        if value is not None and value < 1:
            raise InputError(f"{label} must be at least 1, got {value}")
    return _Chosen(known, wanted, None if depths is None else tuple(sorted(set(depths))))


def _write(study: Study, context: Context, outcomes: Outcomes, command: str, seconds: float) -> None:
    values = {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "sources": study.sources,
        "command": command,
        "source": _source_json(context.dataset),
        "photos": Path(context.source).name if study.takes_photos else None,
        "budget": context.budget,
        "seeds": list(context.seeds),
        "machine": describe_machine(),
        "seconds": round(seconds, 3),
        "arms": [arm.to_json() for arm in outcomes.arms],
        "claims": [claim.to_json() for claim in outcomes.claims],
        "panels": [panel.model_dump(mode="json") for panel in outcomes.panels],
        "notes": list(outcomes.notes),
    }
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(context.folder / "study.json", lambda file: file.write(text.encode()))


def _source_json(dataset: Dataset | None) -> dict[str, Any] | None:
    if dataset is None:
        return None
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "kind": dataset.kind.one,
        "train": dataset.train.sources,
        "test": dataset.test.sources,
        "classes": list(dataset.classes),
    }


def _command(
    name: str,
    source: str | None,
    chosen: _Chosen,
    epochs: int | None,
    folder: Path,
    data_root: str | Path | None,
) -> str:
    """The command that runs this study again, or goes on with it."""
    words = ["skipline", "study", name, *([source] if source is not None else []), "--budget", chosen.budget]
    words += ["--seeds", ",".join(map(str, chosen.seeds)) + ("," if len(chosen.seeds) == 1 else "")]
    if epochs is not None:
        words += ["--epochs", str(epochs)]
    if chosen.depths is not None:
        words += ["--depths", ",".join(map(str, chosen.depths))]
    if data_root is not None:
        words += ["--data-root", str(data_root)]
    return shlex.join([*words, "--out", str(folder)])


def _absolute(source: str) -> str:
    """A path survives a change of the working folder; a name such as "digits" stays one."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source
