"""The runs of a verification: every arm over a few rates and all seeds, each run kept as soon as it is done.

Successive halving saves the runs that cannot win: all rates meet the first seed, the better half the second, and from
the third seed on the one that is best on average so far. Every arm is treated alike, the sham as well, so that luck
in choosing shows in its effect too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipline.data import Progress, silent
from skipline.diagnosis.arms import train_arm
from skipline.diagnosis.patient import Patient
from skipline.training.jobs import Job, run_jobs

FACTORS = (0.1, 0.3, 1.0, 3.0)
"""Of the recipe's rate, or of the treated recipe's where the treatment is about the rate. More below than above:
networks without normalisation need less than the rates that recipes are made for."""

UNTREATED = ("patient", "sham")

Run = tuple[str, float, int]  # arm, factor, seed
Result = dict[str, Any]  # `arms.Trained` by name


@dataclass(frozen=True)
class ArmResult:
    """One arm at its best rate.

    Attributes:
        lr: that rate, the peak of the schedule.
        values: training accuracies 0-1, by seed.
        losses: training losses in nats, by seed; None where one did not stay finite.
        tried: accuracy with the first seed, by rate.
        seconds: that all runs of the arm took, those at other rates included.
    """

    lr: float
    values: tuple[float, ...]
    losses: tuple[float | None, ...]
    tried: dict[str, float]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for a `Verdict`."""
        return {
            "lr": self.lr,
            "values": list(self.values),
            "losses": list(self.losses),
            "tried": self.tried,
            "seconds": round(self.seconds, 1),
        }


def sweep(
    patient: Patient,
    treatments: Sequence[str],
    folder: Path,
    *,
    seeds: Sequence[int],
    steps: int,
    processes: int | None = None,
    progress: Progress = silent,
) -> dict[str, ArmResult]:
    """Run patient, sham and the treated arms.

    Args:
        patient: their common beginning.
        treatments: one more arm each; they must apply.
        folder: finished runs are kept in it, and read from it.
        seeds: at least 2.
        steps: of each run.
        processes: at once; None takes one a core.
        progress: told how many runs are done.

    Returns:
        Results by arm: "patient", "sham" and the treatments' names.
    """
    arms = (*UNTREATED, *treatments)
    content = content_of(patient)
    left: dict[str, tuple[float, ...]] = dict.fromkeys(arms, FACTORS)
    results: dict[Run, Result] = {}
    total = len(arms) * runs_of_an_arm(len(seeds))
    for place, seed in enumerate(seeds):
        runs = [(arm, factor, seed) for arm in arms for factor in left[arm]]
        jobs = {run: _job(patient, content, steps, run) for run in runs}
        kept = run_jobs(
            list(jobs.values()),
            folder,
            processes=processes,
            progress=_after(len(results), total, progress),
            what="runs of the verification",
        )
        results |= {run: kept[job.key] for run, job in jobs.items()}
        seen = seeds[: place + 1]
        for arm in arms:
            ranked = sorted(left[arm], key=lambda factor: _goodness(results, arm, factor, seen), reverse=True)
            left[arm] = tuple(ranked[: rates_left(place + 1)])
    return {arm: _collected(results, arm, left[arm][0], seeds) for arm in arms}


def runs_of_an_arm(seeds: int) -> int:
    """How many runs an arm takes with so many seeds."""
    return sum(rates_left(place) for place in range(seeds))


def rates_left(place: int) -> int:
    """How many rates the seed of a place, from 0, meets."""
    return max(1, len(FACTORS) >> place)


def content_of(patient: Patient) -> str:
    """SHA-256 (hex) of the images, the network as it is printed, its first weights and a factory's file.

    A kept run counts only while all of these are the same: a user who edits the network between two calls must not be
    told about the one before.
    """
    network = patient.network(0)
    digest = hashlib.sha256(f"{patient.dataset.fingerprint} {network}".encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    file = Path(str(patient.spec["target"]).rpartition(":")[0])
    if file.is_file():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _after(before: int, whole: int, progress: Progress) -> Progress:
    """Count on from earlier runs."""

    def report(what: str, done: int, total: int) -> None:
        progress(what, before + done, whole)

    return report


def _job(patient: Patient, content: str, steps: int, run: Run) -> Job:
    arm, factor, seed = run
    arguments = {
        "patient": patient.spec,
        "treatment": None if arm in UNTREATED else arm,
        "sham": arm == "sham",
        "factor": factor,
        "seed": seed,
        "steps": steps,
        "content": content,
    }
    return Job(f"{arm}-rate{factor:.2f}-seed{seed}", train_arm, arguments)


def _goodness(
    results: dict[Run, Result], arm: str, factor: float, seeds: Sequence[int]
) -> tuple[float, float]:
    """Mean accuracy, then the lower loss."""
    own = [results[arm, factor, seed] for seed in seeds]
    losses = [float("inf") if result["loss"] is None else result["loss"] for result in own]
    return sum(result["top1"] for result in own) / len(own), -sum(losses)


def _collected(results: dict[Run, Result], arm: str, best: float, seeds: Sequence[int]) -> ArmResult:
    own = [results[arm, best, seed] for seed in seeds]
    first = [results[arm, factor, seeds[0]] for factor in FACTORS]
    return ArmResult(
        lr=own[0]["lr"],
        values=tuple(result["top1"] for result in own),
        losses=tuple(result["loss"] for result in own),
        tried={f"{result['lr']:.3g}": result["top1"] for result in first},
        seconds=sum(result["seconds"] for run, result in results.items() if run[0] == arm),
    )
