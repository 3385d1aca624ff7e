"""Would the remedy help? Verification by intervention, on the user's own model and data.

Three arms with the same images, order and number of steps: the patient, the treated patient, and a sham, the patient
again with weights of another seed and nothing else changed. Each arm tries the same factors of its rate, so that
none wins by a luckier rate (`skipline.diagnosis.sweep`).

Three seeds decide where an effect is large or absent. Where they leave it open, two more are run for these treatments:
they halve the interval. Looking twice raises the chance that an interval excludes 0 by luck from 2.5 % to at most
5 % on the side of a gain; that the effect must also exceed every sham's guards against that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skipline.data import Progress, silent
from skipline.diagnosis.arms import last_steps
from skipline.diagnosis.findings import Diagnosis, Finding, NotRun, Verdict
from skipline.diagnosis.patient import Patient
from skipline.diagnosis.sweep import ArmResult, sweep
from skipline.diagnosis.treatments import apply, apply_to_recipe, treatment
from skipline.diagnosis.treatments.flow import read_flow
from skipline.diagnosis.verdict import decide
from skipline.errors import InputError

DEEP = 20
"""Weighted layers in a chain without shortcuts beyond which shortcuts are tested whatever the rules say: He et al.
(1512.03385, section 4.2) see plain networks degrade from 20 layers on."""

LOOK = 32
"""Images that a treatment is shown to see whether it applies."""


@dataclass(frozen=True)
class Choice:
    """A treatment to be tested.

    Attributes:
        treatment: its name.
        diagnosis: the finding that it answers.
    """

    treatment: str
    diagnosis: str


def verify(
    patient: Patient,
    diagnosis: Diagnosis,
    *,
    folder: Path,
    seeds: Sequence[int] = (0, 1, 2),
    more_seeds: int = 2,
    steps: int = 400,
    processes: int | None = None,
    treatments: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Diagnosis:
    """Test the remedies of a diagnosis.

    Of every finding that is an error or a warning the first treatment is tested that applies to this patient; around a
    chain of more than `DEEP` weighted layers without shortcuts, shortcuts are tested as well. The figure compared is
    the training accuracy over the last tenth of the steps, before each step, in training mode; how outcomes follow
    from it stands at `skipline.diagnosis.verdict.decide`.

    Args:
        patient: the one that was examined.
        diagnosis: of the patient.
        folder: every finished run is kept here, so that the same call goes on where an earlier one was cut off.
        seeds: at least 2, different; 3 or more for an interval that means something.
        more_seeds: how many to add where the verdict would be "inconclusive".
        steps: optimiser steps of each run.
        processes: runs at once, one thread each; None takes one a core.
        treatments: names to test instead of those of the findings.
        progress: told how many runs are done.

    Returns:
        The diagnosis with verdicts. `not_run` names treatments that do not apply, or says that there was nothing to
        verify.

    Raises:
        UnknownNameError: no such treatment.
        InputError: too few seeds or steps.
    """
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise InputError(f"verification needs at least 2 different seeds, got {list(seeds)}")
    if steps < 10:
        raise InputError(f"verification needs at least 10 steps, got {steps}")
    clock = time.perf_counter()
    if patient.mismatch is not None:
        missed = [NotRun("verification", "the network cannot compute anything before its shapes agree")]
        return replace(diagnosis, not_run=(*diagnosis.not_run, *missed))
    chosen, missed = choose(patient, diagnosis.findings, treatments)
    if not chosen:
        why = "nothing to verify: no finding has a remedy that can be applied without you"
        missed = missed or [NotRun("verification", why)]
        return replace(diagnosis, not_run=(*diagnosis.not_run, *missed))

    def verdicts_of(choices: Sequence[Choice], seeds: Sequence[int]) -> dict[str, Verdict]:
        names = [choice.treatment for choice in choices]
        arms = sweep(patient, names, folder, seeds=seeds, steps=steps, processes=processes, progress=progress)
        return {choice.treatment: _verdict(choice, arms, steps) for choice in choices}

    verdicts = verdicts_of(chosen, seeds)
    left_open = [choice for choice in chosen if verdicts[choice.treatment].outcome == "inconclusive"]
    if left_open and more_seeds:
        further = range(max(seeds) + 1, max(seeds) + 1 + more_seeds)
        # The runs that were made are read, not made again.
        verdicts |= verdicts_of(left_open, (*seeds, *further))
    return replace(
        diagnosis,
        verdicts=tuple(verdicts.values()),
        not_run=(*diagnosis.not_run, *missed),
        seconds=diagnosis.seconds + time.perf_counter() - clock,
    )


def choose(
    patient: Patient, findings: Sequence[Finding], wanted: Sequence[str] | None = None
) -> tuple[list[Choice], list[NotRun]]:
    """The treatments to test, each once, and those that do not apply, with the reason.

    Args:
        patient: they must apply to it.
        findings: of a diagnosis, most severe first.
        wanted: names to take instead of those of the findings; each answers the first finding that names it.

    Raises:
        UnknownNameError: of a wanted name.
    """
    for name in wanted or ():
        treatment(name)
    network = patient.network(0)
    images = patient.batches(0).batch(0, 0).images[:LOOK]
    chosen: dict[str, Choice] = {}
    missed: dict[str, NotRun] = {}

    def offer(names: Sequence[str], diagnosis: str) -> None:
        for name in names:
            if name in chosen:
                return
            try:
                apply(name, network, images)
                apply_to_recipe(name, patient.recipe)
            except InputError as error:
                missed.setdefault(name, NotRun(f"verification of {name}", str(error)))
                continue
            chosen[name] = Choice(name, diagnosis)
            return

    if wanted is not None:
        for name in wanted:
            offer(
                [name],
                next((found.diagnosis for found in findings if name in found.treatments), "no finding"),
            )
        return list(chosen.values()), list(missed.values())
    for found in findings:
        if found.severity != "note":
            offer(found.treatments, found.diagnosis)
    if "shortcuts" not in chosen and chain_length(patient) > DEEP:
        offer(["shortcuts"], "degradation")
    return list(chosen.values()), list(missed.values())


def chain_length(patient: Patient) -> int:
    """Weighted layers of the patient that stand in one row, each fed by nothing but the one before.

    0 where there are shortcuts, or where nobody can tell.
    """
    try:
        flow = read_flow(patient.network(0), patient.batches(0).batch(0, 0).images[:LOOK])
    except InputError:
        return 0
    return 0 if flow.sums else flow.longest_chain()


def _verdict(choice: Choice, arms: Mapping[str, ArmResult], steps: int) -> Verdict:
    mine = {"patient": arms["patient"], "treated": arms[choice.treatment], "sham": arms["sham"]}
    decision = decide(mine["patient"].values, mine["treated"].values, mine["sham"].values)
    return Verdict(
        remedy=choice.treatment,
        diagnosis=choice.diagnosis,
        measure=f"training accuracy over the last {last_steps(steps)} of {steps} steps",
        effect=decision.effect,
        interval=decision.interval,
        sham=decision.sham,
        sham_interval=decision.sham_interval,
        outcome=decision.outcome,
        seeds=len(mine["patient"].values),
        steps=steps,
        seconds=round(sum(arm.seconds for arm in mine.values()), 1),
        arms={name: arm.to_json() for name, arm in mine.items()},
    )
