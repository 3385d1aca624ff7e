"""What a study is: jobs for the cores, and a reading of their results into claims and panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from skipline.data import Dataset, Progress
from skipline.metrics import mean_interval
from skipline.report.panels import Panel
from skipline.training.jobs import Job
from skipline.training.packing import Sample

Budget = Literal["quick", "full"]
Outcome = Literal["holds", "does not hold", "not decided"]


@dataclass(frozen=True)
class Claim:
    """A published statement against what was measured here.

    Attributes:
        statement: one sentence that can be wrong.
        source: paper, section or lecture.
        published: the published figure in words, or "" where the source gives none.
        measured: the figure here in words, with unit, such as "training accuracy 41.2 points higher".
        interval: 95 % of the figure that decides, or None where there is one seed or nothing to vary.
        outcome: "holds", "does not hold" or "not decided" (the interval includes the limit, or too few seeds).
    """

    statement: str
    source: str
    published: str
    measured: str
    interval: tuple[float, float] | None
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "interval": None if self.interval is None else list(self.interval)}


@dataclass(frozen=True)
class Arm:
    """One network or condition of a study, over its seeds.

    Attributes:
        name: in tables and legends.
        description: what it is, in a few words.
        results: figure name to its value by seed, such as {"train top-1": [0.99, 1.0]}; fractions for accuracies.
        params: parameters, where it is a network.
        macs: multiply-adds of one image, likewise.
    """

    name: str
    description: str
    results: dict[str, list[float]]
    params: int | None = None
    macs: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Context:
    """What a study is run with.

    Attributes:
        dataset: the source, opened; None for studies that need no labelled images (`Study.needs_images`).
        source: as given, absolute where it is a path: what a job in another process opens again.
        data_root: where downloads are, or None.
        folder: the study's own; runs and pictures go below it.
        budget: "quick" or "full".
        seeds: of the repetitions.
        epochs: instead of the budget's own, or None.
        depths: instead of the budget's own, for studies over depth, or None.
    """

    dataset: Dataset | None
    source: str
    data_root: str | None
    folder: Path
    budget: Budget
    seeds: tuple[int, ...]
    epochs: int | None = None
    depths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Outcomes:
    """What a study makes of its jobs' results.

    Attributes:
        arms: one a network or condition.
        claims: the table of claims.
        panels: charts, pictures and tables, in the order of the page.
        notes: sentences on what limits the result (few seeds, short training, lossy data).
    """

    arms: Sequence[Arm]
    claims: Sequence[Claim]
    panels: Sequence[Panel]
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Study:
    """One study of the catalogue.

    Attributes:
        name: on the command line.
        title: of the page.
        question: what it answers, one sentence.
        sources: papers or lecture, as shown.
        default_source: what `skipline study NAME` takes without a source; "" where it must be named.
        seeds: default seeds by budget.
        jobs: from the context to the jobs, longest first.
        read: from the context and the jobs' results by key to claims and panels; may write pictures below
            `context.folder`.
        needs_images: whether a source of labelled images must be opened.
        takes_photos: whether its jobs open a source themselves, as photos without classes.
        sample: what the largest of the runs computes, so that it can be measured how they best share the cores; None
            takes one thread each without measuring, as the small networks of the quick studies always want it.
        open: from the source as given to its data, where they are no images; None opens images.
        announce: a sentence on how long it will take, measured before the jobs run; None where minutes are usual.
    """

    name: str
    title: str
    question: str
    sources: str
    seeds: dict[Budget, tuple[int, ...]]
    jobs: Callable[[Context], list[Job]]
    read: Callable[[Context, dict[str, dict[str, Any]]], Outcomes]
    default_source: str = "digits"
    needs_images: bool = True
    takes_photos: bool = False
    sample: Callable[[Context], Sample] | None = None
    announce: Callable[[Context], str] | None = None
    open: Callable[[str, Progress], Dataset] | None = None


def decided(differences: Sequence[float], above: float = 0.0) -> tuple[tuple[float, float] | None, Outcome]:
    """Whether a difference, one value a seed, lies above a limit.

    Args:
        differences: paired by seed.
        above: the limit.

    Returns:
        The 95 % interval of the mean (None for one seed) and: "holds" where it lies above the limit, "does not
        hold" where it lies below, else "not decided".
    """
    if len(differences) < 2:
        return None, "not decided"
    low, high = mean_interval(differences)
    return (low, high), "holds" if low > above else "does not hold" if high < above else "not decided"
