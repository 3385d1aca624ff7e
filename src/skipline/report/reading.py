"""The files of a run folder, read into one `RunRecord`. Nothing else knows these files' format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skipline.errors import InputError, shown
from skipline.report.probe_record import Overhead, Probe
from skipline.report.record import End, Epoch, Evaluation, Finding, RunRecord, Start, Step
from skipline.storage import parse_json, parse_toml, read_bounded

LARGEST_FILE = 64 * 2**20  # bytes; the confusions of 3,000 classes fit
LARGEST_RECIPE = 256 * 2**10
LARGEST_LINE = 8 * 2**20  # bytes; a reading of the probes in a network of 1202 layers has 0.6 MB


def read_run(folder: Path) -> RunRecord:
    """Read a run folder, also one of a run that was interrupted or is still going on.

    Args:
        folder: holds events.jsonl and, as far as the run came, recipe.toml, evaluation.json, mistakes/,
            twin/.

    Returns:
        The record. Lines and files that cannot be read are left out and named in `unreadable`.

    Raises:
        InputError: the folder holds no events.jsonl with a readable "start" line.
    """
    events = folder / "events.jsonl"
    if not events.is_file():
        raise InputError(
            f"'{folder}' is not a run folder: expected a file events.jsonl in it, as training writes it."
        )
    log = _Log()
    try:
        for line, whole in _lines(events):
            # A last line without its newline was cut off by an interruption: no mistake worth telling.
            log.bad += not log.add(line) and whole and bool(line.strip())
    except OSError as error:
        raise InputError(f"'{events}' cannot be read: {error.strerror}") from error
    if log.start is None:
        raise InputError(
            f"'{events}' has no readable \"start\" line, so it does not tell which run this was."
        )
    unreadable = (
        [f"Lines of events.jsonl that could not be read and were left out: {log.bad}."] if log.bad else []
    )
    evaluation, twin = None, None
    try:
        evaluation = _evaluation(folder / "evaluation.json")
    except (OSError, ValueError) as error:  # ValidationError and JSONDecodeError are ValueErrors
        unreadable.append(f"evaluation.json could not be read: {shown(str(error).splitlines()[0])}")
    if (folder / "twin").is_dir():
        try:
            twin = read_run(folder / "twin")
        except InputError:
            unreadable.append("The folder twin/ holds no run that can be read.")
    recipe = _text(folder / "recipe.toml")
    return RunRecord(
        folder=folder,
        start=log.start,
        steps=tuple(log.steps[key] for key in sorted(log.steps)),
        epochs=tuple(log.epochs[key] for key in sorted(log.epochs)),
        findings=tuple(log.findings.values()),
        probes=tuple(log.probes[key] for key in sorted(log.probes)),
        overhead=log.overhead,
        probe_failure=log.probe_failure,
        end=log.end,
        resumes=log.resumes,
        evaluation=evaluation,
        recipe=recipe,
        plan=_plan(recipe),
        twin=twin,
        unreadable=tuple(unreadable),
    )


class _Log:
    """What the lines seen so far add up to."""

    def __init__(self) -> None:
        self.start: Start | None = None
        self.steps: dict[int, Step] = {}
        self.epochs: dict[int, Epoch] = {}
        self.findings: dict[tuple[str, str | None], Finding] = {}
        self.probes: dict[int, Probe] = {}
        self.overhead: Overhead | None = None
        self.probe_failure: str | None = None
        self.end: End | None = None
        self.resumes = 0
        self.bad = 0

    def add(self, text: str) -> bool:
        """Take in one line; False if it says nothing usable."""
        try:
            self._take(parse_json(text))
        except (ValueError, TypeError, KeyError, OverflowError):
            return False  # not JSON, not an object, or a key that is missing or wrong
        return True

    def _take(self, line: dict[str, Any]) -> None:
        kind = line["kind"]
        if kind == "start":
            self.start = Start.model_validate(line)
        elif kind == "step":
            step = Step.model_validate(line)
            self.steps[step.step] = step
        elif kind == "epoch":
            epoch = Epoch.model_validate(line)
            self.epochs[epoch.epoch] = epoch
        elif kind == "finding":
            finding = Finding.model_validate(line["finding"])
            self.findings.setdefault((finding.diagnosis, finding.where), finding)
        elif kind == "probe":
            probe = Probe.model_validate(line["reading"])
            self.probes[probe.step] = probe
        elif kind == "probe-overhead":
            cost = Overhead.model_validate(line)  # one a session
            self.overhead = cost if self.overhead is None else self.overhead + cost
        elif kind == "probe-failed":
            self.probe_failure = f"at step {int(line['step'])}: {str(line['reason'])[:1000]}"
        elif kind == "resume":
            self._go_back(int(line["step"]))
        elif kind == "end":
            self.end = End.model_validate(line)

    def _go_back(self, step: int) -> None:
        # What was recorded after the checkpoint is run again, and may be recorded at other steps than before.
        self.resumes += 1
        self.end = None
        self.steps = {key: value for key, value in self.steps.items() if value.step <= step}
        self.epochs = {key: value for key, value in self.epochs.items() if value.step <= step}
        self.probes = {key: value for key, value in self.probes.items() if key <= step}


def _evaluation(file: Path) -> Evaluation | None:
    # Not pydantic's own JSON parser: Python writes an undefined recall as NaN, which that one refuses.
    if not file.is_file():
        return None
    return Evaluation.model_validate(parse_json(read_bounded(file, LARGEST_FILE)))


def _lines(file: Path) -> Iterator[tuple[str, bool]]:
    """The lines of a file, and whether each has its end; what is longer than LARGEST_LINE comes as several."""
    with file.open("rb") as opened:
        while line := opened.readline(LARGEST_LINE):
            yield line.decode("utf-8", "replace"), line.endswith(b"\n") or len(line) == LARGEST_LINE


def _text(file: Path) -> str:
    try:
        return read_bounded(file, LARGEST_RECIPE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _plan(recipe: str) -> dict[str, Any]:
    try:
        run = parse_toml(recipe).get("run")
    except ValueError:
        return {}  # the text is shown as it stands; only the command line is poorer for it
    return run if isinstance(run, dict) else {}
