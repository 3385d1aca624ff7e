from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from skipline.diagnosis import arms, sweep
from skipline.diagnosis.findings import Diagnosis, Finding
from skipline.diagnosis.patient import Patient, open_patient
from skipline.diagnosis.verdict import MATTERS, decide
from skipline.diagnosis.verify import Choice, chain_length, choose, verify
from skipline.errors import InputError, UnknownNameError

SETTINGS = ("batch_size=32", "schedule.kind=constant", "optimizer.lr=0.1", "augmentation.pad_crop=0")


def finding(diagnosis: str, *treatments: str, severity: str = "error") -> Finding:
    return Finding(diagnosis, severity, "", None, None, "", "", "", treatments)  # type: ignore[arg-type]


def diagnosis(*findings: Finding) -> Diagnosis:
    return Diagnosis("x", "digits", findings, (), (), (), {}, 1.0)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A user's file: a small network that ends in a softmax, and one whose ReLUs are dead."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from torch import nn\n"
        "def probable(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes), nn.Softmax(1))\n"
        "def dead(classes):\n"
        "    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes))\n"
        "    nn.init.constant_(network[1].bias, -50.0)\n"
        "    return network\n"
    )
    return path


@pytest.fixture
def patient(module: Path) -> Patient:
    return open_patient(f"{module}:probable", "digits", recipe="tiny", settings=SETTINGS)


def test_a_clear_gain_is_confirmed() -> None:
    decision = decide(patient=(0.40, 0.44, 0.36), treated=(0.98, 0.99, 0.97), sham=(0.42, 0.41, 0.38))
    assert decision.outcome == "confirmed"
    assert decision.effect == pytest.approx(0.58)
    # Differences 0.58, 0.55, 0.61: s = 0.03, and t(2; 0.975) = 4.3027.
    assert decision.interval == pytest.approx(
        (0.58 - 4.3027 * 0.03 / math.sqrt(3), 0.58 + 4.3027 * 0.03 / math.sqrt(3)), abs=1e-5
    )
    assert decision.sham == pytest.approx((0.02 - 0.03 + 0.02) / 3)


def test_a_loss_and_no_difference_are_refuted() -> None:
    assert decide((0.90, 0.91, 0.92), (0.80, 0.81, 0.82), (0.9, 0.9, 0.9)).outcome == "refuted"
    assert decide((0.990, 0.991, 0.992), (0.991, 0.991, 0.991), (0.99, 0.99, 0.99)).outcome == "refuted"


def test_a_gain_that_differs_much_between_seeds_is_inconclusive() -> None:
    decision = decide((0.1, 0.1, 0.1), (0.7, 0.3, 0.1), (0.1, 0.1, 0.1))
    assert decision.interval[0] < 0 < decision.interval[1]
    assert decision.outcome == "inconclusive"


def test_a_gain_that_chance_equals_is_not_confirmed() -> None:
    patient, treated = (0.50, 0.60, 0.70), (0.55, 0.65, 0.75)  # the same gain for every seed
    assert decide(patient, treated, sham=(0.51, 0.59, 0.71)).outcome == "confirmed"
    assert (
        decide(patient, treated, sham=(0.50, 0.53, 0.70)).outcome == "inconclusive"
    )  # one sham is 7 points off


def test_a_gain_too_small_to_matter_is_not_confirmed() -> None:
    small = tuple(0.9 + MATTERS * 0.8 for _ in range(3))
    assert decide((0.9, 0.9, 0.9), small, (0.9, 0.9, 0.9)).outcome == "refuted"


def test_every_finding_is_answered_by_the_first_treatment_that_applies(patient: Patient) -> None:
    chosen, missed = choose(
        patient,
        [
            finding("softmaxed outputs", "unfreeze", "no-softmax"),
            finding("rate too low", "higher-rate", severity="warning"),
            finding("stall", "higher-rate"),
            finding("small batch noise", "lower-rate", severity="note"),
        ],
    )
    assert chosen == [Choice("no-softmax", "softmaxed outputs"), Choice("higher-rate", "rate too low")]
    assert [(entry.check, entry.reason) for entry in missed] == [
        ("verification of unfreeze", "unfreeze does not apply: no parameter is frozen")
    ]


def test_treatments_that_were_asked_for_are_tested_instead(patient: Patient) -> None:
    chosen, missed = choose(patient, [finding("stall", "higher-rate")], wanted=["lower-rate"])
    assert chosen == [Choice("lower-rate", "no finding")]
    assert not missed
    with pytest.raises(UnknownNameError, match="Did you mean lower-rate"):
        choose(patient, [], wanted=["lower-rat"])


@pytest.mark.parametrize(("name", "length"), [("plain20", 20), ("plain32", 32), ("resnet20", 0)])
def test_a_long_chain_without_shortcuts_is_given_some(name: str, length: int) -> None:
    patient = open_patient(name, "digits")
    assert chain_length(patient) == length
    expected = [Choice("shortcuts", "degradation")] if length > 20 else []
    assert choose(patient, [])[0] == expected


def test_a_healthy_network_gets_no_verdict_and_is_told_so(tmp_path: Path) -> None:
    examined = diagnosis()
    result = verify(open_patient("resnet20", "digits"), examined, folder=tmp_path)
    assert result.verdicts == ()
    assert [entry.reason for entry in result.not_run] == [
        "nothing to verify: no finding has a remedy that can be applied without you"
    ]
    assert not list(tmp_path.glob("*.json"))


def test_too_few_seeds_or_steps_are_refused(patient: Patient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 2 different seeds, got"):
        verify(patient, diagnosis(), folder=tmp_path, seeds=(1, 1))
    with pytest.raises(InputError, match="at least 10 steps, got 5"):
        verify(patient, diagnosis(), folder=tmp_path, steps=5)


def test_reviving_relus_is_confirmed_and_a_second_call_runs_nothing(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = open_patient(f"{module}:dead", "digits", recipe="tiny", settings=SETTINGS)
    examined = diagnosis(finding("dead ReLU", "relu-bias"))
    told: list[tuple[int, int]] = []
    result = verify(
        patient,
        examined,
        folder=tmp_path / "v",
        steps=40,
        processes=1,
        progress=lambda what, done, total: told.append((done, total)),
    )
    (verdict,) = result.verdicts
    assert (verdict.remedy, verdict.diagnosis, verdict.outcome) == ("relu-bias", "dead ReLU", "confirmed")
    assert verdict.effect > 0.3  # from guessing to nearly all
    assert (verdict.seeds, verdict.steps) == (3, 40)
    assert 0 < verdict.interval[0] < verdict.effect < verdict.interval[1]
    assert verdict.effect > abs(verdict.sham)
    assert set(verdict.arms) == {"patient", "treated", "sham"}
    treated = verdict.arms["treated"]
    assert len(treated["values"]) == 3
    assert treated["lr"] in [pytest.approx(lr) for lr in (0.01, 0.03, 0.1, 0.3)]
    assert treated["tried"].keys() == verdict.arms["patient"]["tried"].keys()
    assert verdict.seconds > 0
    assert told[-1] == (21, 21)  # three arms of 4 + 2 + 1 runs
    assert len(list((tmp_path / "v").glob("*.json"))) == 21

    def forbidden(**arguments: Any) -> dict[str, Any]:
        raise AssertionError(arguments)

    forbidden.__module__, forbidden.__qualname__ = arms.train_arm.__module__, arms.train_arm.__qualname__
    monkeypatch.setattr(sweep, "train_arm", forbidden)
    again = verify(patient, examined, folder=tmp_path / "v", steps=40, processes=1)
    assert again.verdicts == result.verdicts


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[str]]:
    """Replaces training by arithmetic; interrupts at a given run."""

    def install(interrupt_at: int | None) -> list[str]:
        ran: list[str] = []

        def fake(**arguments: Any) -> dict[str, Any]:
            if len(ran) == interrupt_at:
                raise KeyboardInterrupt
            ran.append(
                f"{arguments['treatment']} {arguments['sham']} {arguments['factor']:.2f} {arguments['seed']}"
            )
            gain = 0.4 if arguments["treatment"] else 0.0
            top1 = 0.5 + gain - 0.1 * abs(math.log(arguments["factor"])) + 0.01 * arguments["seed"]
            return {"top1": top1, "loss": 1.0, "lr": arguments["factor"], "steps": 10, "seconds": 2.0}

        fake.__module__, fake.__qualname__ = arms.train_arm.__module__, arms.train_arm.__qualname__
        monkeypatch.setattr(sweep, "train_arm", fake)
        return ran

    return install


def test_an_interrupted_verification_goes_on_where_it_was(
    patient: Patient, tmp_path: Path, counted: Callable[[int | None], list[str]]
) -> None:
    examined = diagnosis(finding("softmaxed outputs", "no-softmax"))
    first = counted(7)
    with pytest.raises(KeyboardInterrupt):
        verify(patient, examined, folder=tmp_path, steps=10, processes=1)
    second = counted(None)
    result = verify(patient, examined, folder=tmp_path, steps=10, processes=1)
    assert len(first) == 7
    assert len(first) + len(second) == 21
    assert not set(first) & set(second)
    (verdict,) = result.verdicts
    assert verdict.outcome == "confirmed"
    assert verdict.effect == pytest.approx(0.4)
    assert verdict.arms["treated"]["lr"] == 1.0
    assert verdict.seconds == pytest.approx(42.0)


def test_where_three_seeds_leave_it_open_two_more_are_run(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains = {0: 0.60, 1: 0.05, 2: 0.55, 3: 0.60, 4: 0.50}  # t(2) leaves 0 in, t(4) does not
    ran: list[int] = []

    def fake(**arguments: Any) -> dict[str, Any]:
        ran.append(arguments["seed"])
        top1 = 0.1 + (gains[arguments["seed"]] if arguments["treatment"] else 0.0)
        return {"top1": top1, "loss": 1.0, "lr": arguments["factor"], "steps": 10, "seconds": 1.0}

    fake.__module__, fake.__qualname__ = arms.train_arm.__module__, arms.train_arm.__qualname__
    monkeypatch.setattr(sweep, "train_arm", fake)
    examined = diagnosis(finding("softmaxed outputs", "no-softmax"))
    options: dict[str, Any] = {"folder": tmp_path, "steps": 10, "processes": 1}
    (short,) = verify(patient, examined, more_seeds=0, **options).verdicts
    assert (short.outcome, short.seeds, len(ran)) == ("inconclusive", 3, 21)
    (verdict,) = verify(patient, examined, **options).verdicts
    assert (verdict.outcome, verdict.seeds, len(ran)) == ("confirmed", 5, 27)
    assert verdict.effect == pytest.approx(0.46)


def test_an_edited_network_is_run_again(
    patient: Patient, module: Path, tmp_path: Path, counted: Callable[[int | None], list[str]]
) -> None:
    examined = diagnosis(finding("softmaxed outputs", "no-softmax"))
    counted(None)
    verify(patient, examined, folder=tmp_path / "v", steps=10, processes=1)
    module.write_text(module.read_text().replace("nn.ReLU()", "nn.Tanh()"))
    edited = open_patient(f"{module}:probable", "digits", recipe="tiny", settings=SETTINGS)
    again = counted(None)
    verify(edited, examined, folder=tmp_path / "v", steps=10, processes=1)
    assert len(again) == 21


def test_all_arms_share_order_and_steps_and_a_sham_has_other_weights(patient: Patient) -> None:
    network, other = patient.network(3), patient.network(3 + arms.OTHER_SEED)
    assert not torch.equal(network[1].weight, other[1].weight)  # type: ignore[index, union-attr]
    one, same, sham = (arms.train_patient(patient, None, sham, 1.0, 3, 12) for sham in (False, False, True))
    assert replace(one, seconds=0) == replace(same, seconds=0)
    assert sham.loss != one.loss
    assert sham.steps == one.steps == 12


def test_a_run_that_diverges_counts_as_guessing(patient: Patient) -> None:
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.layer(x.flatten(1)) * float("inf")
            return logits

    trained = arms.train(Explodes(), patient.batches(0), patient.recipe, 12)
    assert trained.loss is None
    assert trained.steps == 0


def test_frozen_layers_stay_frozen_in_every_arm_but_the_treated(patient: Patient) -> None:
    network = patient.network(0)
    network[1].requires_grad_(False)  # type: ignore[index, operator]
    before = network[1].weight.clone()  # type: ignore[index, union-attr, operator]
    arms.train(network, patient.batches(0), patient.recipe, 10)
    assert torch.equal(network[1].weight, before)  # type: ignore[index, union-attr]
