"""Every rule on both sides of its threshold, on evidence made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from skipline.data.duplicates import Duplicates, Pair
from skipline.diagnosis.evidence import Evidence
from skipline.diagnosis.examination import judge
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.fitting import Mismatch
from skipline.diagnosis.label_checks import Neighbours, Score
from skipline.diagnosis.probes.reading import BlockReading, LayerReading, NormReading, Reading
from skipline.diagnosis.rules import RULES
from skipline.diagnosis.rules.gradients import fall_over_depth
from skipline.diagnosis.watch import held_out_tells

GUESS = math.log(10)


def layers(count: int = 9, fall: float = 1.0, faint: float = 1e-1, **others: Any) -> tuple[LayerReading, ...]:
    """A chain whose gradients fall by a factor from the last layer to the first."""
    factors = [fall ** (place / (count - 1) - 1) for place in range(count)]
    return tuple(
        LayerReading(
            **{
                "name": f"conv{place + 1}",
                "kind": "Conv2d",
                "depth": place,
                "weight_norm": 1.0,
                "grad_norm": faint * factor,
                "grad_weight_ratio": faint * factor,
                "activation_grad_norm": factor,
                "mean": 0.0,
                "std": 1.0,
                **others,
            }
        )
        for place, factor in enumerate(factors)
    )


def reading(step: int = 0, loss: float = GUESS, **values: Any) -> Reading:
    return Reading(**{"step": step, "images": 64, "loss": loss, "top1": 0.1, "layers": layers(), **values})


STUCK = (GUESS,) * 60
FALLING = tuple(GUESS * (1 - place / 70) for place in range(60))


def sound(**changes: Any) -> Evidence:
    """A network that learns, with nothing to find."""
    return replace(
        Evidence(
            losses=FALLING,
            readings=(reading(), reading(30, 1.5), reading(60, 0.5)),
            updates={"conv1": 1e-3},
            weight_scales={f"conv{place}": 1.0 for place in range(9)},
            input_mean=(0.0,),
            input_std=(1.0,),
            outputs_low=-1.0,
            outputs_high=1.0,
            counts={"cat": 100, "dog": 90},
            noise_scale=100.0,
            layers=9,
        ),
        **changes,
    )


def answer(name: str, evidence: Evidence) -> tuple[Finding, ...] | str:
    return next(rule for rule in RULES if rule.name == name).check(evidence)


def only(name: str, evidence: Evidence) -> Finding:
    findings = answer(name, evidence)
    assert not isinstance(findings, str), findings
    assert len(findings) == 1, findings
    assert findings[0].diagnosis == name
    return findings[0]


def test_a_sound_network_has_no_finding() -> None:
    findings, fine, not_run = judge(sound())
    assert findings == ()
    assert {check.check for check in not_run} >= {"BN pathology", "impeded shortcut", "duplicates"}
    assert len(fine) + len(not_run) == len(RULES)


def test_names_of_rules_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("factor", [1.0, 100.0, 0.01, 1e12])
def test_fall_over_depth_is_the_factor_between_the_ends_of_a_geometric_row(factor: float) -> None:
    values = [factor ** (place / 7) for place in range(8)]
    assert fall_over_depth(values) == pytest.approx(factor, rel=1e-6)


def test_fall_over_depth_survives_gradients_that_underflowed() -> None:
    assert fall_over_depth([0.0, 0.0, 0.0, 1.0]) > 1e20


def test_vanishing_needs_fall_and_faintness_and_is_an_error_only_where_nothing_is_learned() -> None:
    fallen = reading(layers=layers(fall=1000.0, faint=1e-2))
    stuck = sound(losses=STUCK, readings=(fallen, replace(fallen, step=60)))
    finding = only("vanishing gradient", stuck)
    assert finding.severity == "error"
    assert finding.value == pytest.approx(1000, rel=1e-3)
    assert finding.where == "conv1 ... conv3"
    assert "falls 1,000 x from conv9 to conv1 at step 0" in finding.sentence
    assert "shortcuts" in finding.treatments

    assert only("vanishing gradient", replace(stuck, losses=FALLING)).severity == "warning"
    gentle = reading(layers=layers(fall=20.0, faint=1e-3))
    assert answer("vanishing gradient", sound(losses=STUCK, readings=(gentle,))) == ()
    loud = reading(layers=layers(fall=1000.0, faint=10.0))
    assert answer("vanishing gradient", sound(losses=STUCK, readings=(loud,))) == ()


def test_vanishing_that_passes_is_no_finding_in_a_network_that_learns() -> None:
    fallen = reading(layers=layers(fall=1000.0, faint=1e-2))
    assert answer("vanishing gradient", sound(readings=(fallen, reading(60)))) == ()


def test_vanishing_at_the_start_alone_is_no_finding_and_branches_at_zero_pass_no_gradient_yet() -> None:
    fallen = reading(layers=layers(fall=1000.0, faint=1e-2))
    assert answer("vanishing gradient", sound(losses=STUCK, readings=(fallen, reading(60)))) == ()
    asleep = layers(6, grad_weight_ratio=0.0, activation_grad_norm=0.0)
    branch = BlockReading("block", 0.0, 0.0, 0.1, 0.0, True)
    zero_gamma = reading(layers=(*asleep, *layers(5)), blocks=(branch,))
    assert answer("vanishing gradient", sound(losses=STUCK, readings=(zero_gamma,))) == ()


def test_what_can_be_learned_by_heart_is_no_error() -> None:
    fallen = reading(layers=layers(fall=1000.0, faint=1e-2))
    evidence = sound(losses=STUCK, readings=(fallen, replace(fallen, step=60)))
    assert only("vanishing gradient", replace(evidence, overfit=0.2)).severity == "warning"
    assert only("vanishing gradient", replace(evidence, overfit=1.9)).severity == "error"


def test_vanishing_needs_some_depth() -> None:
    shallow = sound(readings=(reading(layers=layers(3)),))
    assert answer("vanishing gradient", shallow) == "the network has 3 layers with a gradient, fewer than 4"


def test_exploding_at_step_0_alone_is_what_batch_normalisation_does() -> None:
    grown = reading(layers=layers(fall=1e-5, faint=1e-3))
    assert answer("exploding gradient", sound(readings=(grown, reading(60)))) == ()
    finding = only("exploding gradient", sound(losses=STUCK, readings=(grown, replace(grown, step=60))))
    assert finding.severity == "error"
    assert finding.value == pytest.approx(1e5, rel=1e-3)


def test_exploding_by_norm_and_by_what_is_not_finite() -> None:
    def over(first: float, last: float) -> Evidence:
        return sound(
            readings=(reading(layers=layers(grad_norm=first)), reading(60, layers=layers(grad_norm=last)))
        )

    assert answer("exploding gradient", over(300.0, 300.0)) == ()
    assert answer("exploding gradient", over(400.0, 1.0)) == ()
    assert only("exploding gradient", over(400.0, 50.0)).value == pytest.approx(1200)  # sqrt(9) * 400
    alone = over(400.0, 1.0)
    alone = replace(alone, readings=alone.readings[:1])
    assert answer("exploding gradient", alone) == ()
    assert only("exploding gradient", replace(alone, failed=2)).severity == "error"
    broken = only("exploding gradient", sound(readings=(reading(layers=layers(finite=False)),)))
    assert (broken.severity, broken.source) == ("error", "not finite")


@pytest.mark.parametrize(("share", "speaks"), [(0.45, False), (0.55, True)])
def test_dead_relu(share: float, speaks: bool) -> None:
    relu = LayerReading("relu1", "ReLU", 1, dead=share, zeros=share)
    found = answer("dead ReLU", sound(readings=(reading(layers=(*layers(), relu)),)))
    assert bool(found) == speaks
    assert answer("dead ReLU", sound()) == "the network has no ReLU"


@pytest.mark.parametrize(("scale", "speaks"), [(0.1, True), (0.41, False), (3.0, False), (10.0, True)])
def test_weights_far_from_he(scale: float, speaks: bool) -> None:
    scales = {f"conv{place}": scale for place in range(9)}
    assert bool(answer("bad initialisation", sound(weight_scales=scales))) == speaks


@pytest.mark.parametrize(("fade", "speaks"), [(50.0, False), (1000.0, True)])
def test_activations_that_fade(fade: float, speaks: bool) -> None:
    early, late = layers(3), layers(6, std=1 / fade)
    found = answer("bad initialisation", sound(readings=(reading(layers=(*early, *late)),)))
    assert bool(found) == speaks


@pytest.mark.parametrize(("first", "speaks"), [(2.5 * GUESS, False), (4 * GUESS, True)])
def test_first_loss(first: float, speaks: bool) -> None:
    assert bool(answer("bad initialisation", sound(losses=(first, *FALLING)))) == speaks


def test_not_learning() -> None:
    assert answer("not learning", sound()) == ()
    finding = only("not learning", sound(losses=STUCK, overfit=2.2))
    assert finding.severity == "error"
    assert "after 60 steps the loss is 2.30, guessing gives 2.30" in finding.sentence
    assert only("not learning", sound(losses=STUCK, overfit=0.1)).severity == "warning"
    hurried = only("not learning", sound(losses=STUCK, in_time=False))
    assert hurried.severity == "warning"
    assert "no time to see whether 16 images alone can be learned" in hurried.sentence
    detached = only("not learning", sound(losses=(), connected=False))
    assert detached.sentence == "the loss depends on no weight that takes part in training"


def test_an_accuracy_clearly_above_chance_outweighs_a_loss_that_auxiliary_heads_raise() -> None:
    stuck = sound(losses=(4.0,) * 60, counts={str(place): 100 for place in range(10)})
    assert answer("not learning", replace(stuck, top1=(0.3,) * 60)) == ()
    assert only("not learning", replace(stuck, top1=(0.11,) * 60)).value == 4.0
    assert (
        only("not learning", replace(stuck, top1=(0.3,) * 60, batch_size=2)).value == 4.0
    )  # chance may do that


def test_a_run_that_learned_outweighs_a_trial_that_stood_still() -> None:
    epochs = ({"epoch": 1, "train": {"loss": 0.4, "top1": 0.9}, "test": None},)
    assert answer("not learning", sound(losses=STUCK, epochs=epochs)) == ()


@pytest.mark.parametrize(
    ("low", "high", "sums", "severity"),
    [
        (-1.0, 1.0, False, None),
        (0.0, 1.0, True, "error"),
        (0.1, 0.9, False, "warning"),
        (0.0, 7.0, False, "warning"),
    ],
)
def test_outputs_that_are_no_logits(low: float, high: float, sums: bool, severity: str | None) -> None:
    found = answer("softmaxed outputs", sound(outputs_low=low, outputs_high=high, outputs_sum_to_one=sums))
    assert not isinstance(found, str)
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_frozen_layers() -> None:
    finding = only("frozen layer", sound(frozen=("stage1.0", "stage1.1")))
    assert finding.where == "stage1.0, stage1.1"
    assert "2 of 9 layers with weights have requires_grad = False" in finding.sentence
    assert "get no gradient" in only("frozen layer", sound(unreached=("aux",))).sentence
    assert answer("frozen layer", sound(losses=STUCK, unreached=("aux",))) == ()
    assert answer("frozen layer", sound(frozen=("stem",), frozen_by_recipe=True)) == (
        "the recipe freezes the body on purpose"
    )


def with_norms(loss: float, eval_loss: float, ratio: float = 1.0) -> Evidence:
    norms = (NormReading("bn1", 0.1, ratio, True), NormReading("bn2", 0.1, ratio, True))
    return sound(settled=reading(60, loss, eval_loss=eval_loss, norms=norms))


def test_batch_normalisation_at_rest() -> None:
    assert answer("BN pathology", sound()) == "the network has no batch normalisation"
    assert answer("BN pathology", with_norms(0.5, 0.7)) == ()
    assert only("BN pathology", with_norms(0.5, 1.0)).severity == "warning"
    assert only("BN pathology", with_norms(0.5, 2.2)).severity == "error"
    assert answer("BN pathology", with_norms(0.01, 0.05)) == ()  # five times, but of nothing
    assert only("BN pathology", with_norms(0.5, 0.5, ratio=50.0)).where == "bn1, bn2"


def test_batch_normalisation_in_evaluation_mode_and_on_few_images() -> None:
    fine = with_norms(0.5, 0.5)
    assert "while the network trains" in only("BN pathology", replace(fine, norms_in_eval=("bn1",))).sentence
    assert only("BN pathology", replace(fine, batch_size=4)).value == 4
    assert answer("BN pathology", replace(fine, batch_size=16)) == ()


def test_rate_is_judged_by_trials_at_other_rates() -> None:
    stuck = sound(losses=STUCK, updates={"conv1": 0.3})
    high = only("rate too high", replace(stuck, other_rates={0.1: 2.1, 0.01: 0.8}))
    assert high.severity == "error"
    assert high.threshold == pytest.approx(0.001)
    assert high.remedy == "a lower rate: --set optimizer.lr=0.001"
    assert answer("rate too high", replace(stuck, other_rates={0.1: 2.2, 0.01: 1.9})) == ()
    assert only("rate too low", replace(stuck, other_rates={10.0: 1.0, 100.0: 2.4})).threshold == 1.0
    assert answer("rate too low", replace(stuck, other_rates={0.1: 0.8})) == ()


def test_a_loss_that_is_not_finite_is_cured_by_a_lower_rate() -> None:
    failed = sound(losses=(2.0, math.nan), failed=2, other_rates={0.1: 1.0})
    assert "ends at a loss of no finite loss" in only("rate too high", failed).sentence
    assert only("not learning", failed).severity == "error"


def test_stall_by_curve_and_by_schedule() -> None:
    assert answer("stall", sound()) == ()
    assert only("stall", sound(losses=STUCK)).severity == "note"
    low = tuple(0.3 for _ in range(60))
    assert answer("stall", sound(losses=low)) == ()
    assert only("stall", sound(low_rate=0.9)).where == "schedule"
    assert answer("stall", sound(low_rate=0.3)) == ()


@pytest.mark.parametrize(
    ("batch", "scale", "speaks"), [(2, 20.0, True), (2, 6.0, False), (128, 2000.0, False)]
)
def test_small_batch_noise(batch: int, scale: float, speaks: bool) -> None:
    assert bool(answer("small batch noise", sound(batch_size=batch, noise_scale=scale))) == speaks


def test_degradation_by_twin_and_by_depth() -> None:
    assert answer("degradation", sound()) == ()
    finding = only("degradation", sound(twin_top1=(0.6, 0.9)))
    assert finding.severity == "error"
    assert finding.treatments == ("shortcuts",)
    assert answer("degradation", sound(twin_top1=(0.9, 0.91))) == ()
    deep = reading(layers=layers(40))
    assert only("degradation", sound(readings=(deep,))).severity == "note"
    assert only("degradation", sound(readings=(deep,), losses=STUCK)).severity == "warning"
    assert answer("degradation", sound(readings=(deep,), losses=STUCK, joins=3)) == ()
    block = BlockReading("block", 0.5, 0.0, 0.1, 1.0, True)
    assert answer("degradation", sound(readings=(replace(deep, blocks=(block,)),))) == ()


def blocks(count: int = 4, **values: Any) -> tuple[BlockReading, ...]:
    usual = {"rho": 0.5, "fidelity": 0.0, "negative": 0.1, "response": 1.0, "trainable": True, "lesion": 0.1}
    return tuple(BlockReading(**{"name": f"block{place}", **usual, **values}) for place in range(count))


@pytest.mark.parametrize(("fidelity", "speaks"), [(0.0, False), (0.1, False), (0.5, True), (None, False)])
def test_impeded_shortcut(fidelity: float | None, speaks: bool) -> None:
    evidence = sound(readings=(reading(blocks=blocks(fidelity=fidelity)),))
    assert bool(answer("impeded shortcut", evidence)) == speaks


def test_branch_collapse_spares_branches_that_wake_up_or_that_count() -> None:
    def over(first: float, last: float, lesion: float = 0.0) -> tuple[Finding, ...] | str:
        readings = (
            reading(blocks=blocks(rho=first, lesion=None)),
            reading(60, 0.5, blocks=blocks(rho=last, lesion=lesion)),
        )
        return answer("branch collapse", sound(readings=readings))

    assert over(0.5, 0.4) == ()
    assert over(0.0, 5e-4) == ()  # zero gamma, growing
    assert over(1e-6, 1e-5) == ()  # layer scale, growing
    assert over(1e-4, 1e-4, lesion=0.2) == ()
    (finding,) = over(0.0, 0.0)
    assert not isinstance(finding, str)
    assert finding.severity == "error"
    (finding,) = over(0.5, 1e-4)
    assert not isinstance(finding, str)
    assert finding.severity == "warning"


def score(top1: float, loss: float = 1.0, half: float = 0.0, tenth: float = 0.0, images: int = 1000) -> Score:
    return Score(images, top1, loss, half, tenth)


def test_overfitting_by_trial_and_by_run() -> None:
    held_out = score(0.7, 1.2)
    fitted = sound(train_score=score(1.0, 0.01), held_out_score=held_out)
    assert "held-out images have a loss of 1.20 and 70.0% right" in only("overfitting", fitted).sentence
    assert answer("overfitting", replace(fitted, held_out_score=score(0.97, 0.1))) == ()
    assert answer("overfitting", replace(fitted, train_score=score(0.8, 0.5))) == (
        "no run to look at, and the trial does not fit its images yet"
    )
    epoch = {"epoch": 9, "train": {"loss": 0.1, "top1": 0.99}, "test": {"loss": 1.1, "top1": 0.7}}
    assert "at epoch 9" in only("overfitting", sound(epochs=(epoch,))).sentence


def test_label_noise_is_as_common_among_the_certain() -> None:
    margins = {0: -1.0, 1: 2.0}
    noisy = sound(train_score=score(0.8, half=0.16, tenth=0.15), margins=margins, files=("a.png", "b.png"))
    assert only("label noise", noisy).where == "a.png"
    hard = replace(noisy, train_score=score(0.7, half=0.16, tenth=0.03))
    assert answer("label noise", hard) == ()
    assert answer("label noise", replace(noisy, train_score=score(0.9, half=0.01, tenth=0.01))) == ()
    assert str(answer("label noise", replace(noisy, train_score=score(0.4)))).startswith("the trial gets 40%")


def test_labels_unrelated_to_images() -> None:
    def unrelated(agreement: float, held_out: float) -> tuple[Finding, ...] | str:
        near = Neighbours(agreement, 0.1, 1400)
        return answer("label noise", sound(neighbours=near, held_out_score=score(held_out)))

    found = unrelated(0.101, 0.1)
    assert not isinstance(found, str)
    assert found[0].severity == "error"
    assert not unrelated(0.3, 0.1) or isinstance(unrelated(0.3, 0.1), str)
    assert isinstance(unrelated(0.101, 0.4), str)  # held-out images are known, so labels mean something


def found_duplicates(exact: int, near: int) -> Duplicates:
    pair = Pair("a.png", "b.png", True, ("train", "test"), ("cat", "cat"))
    return Duplicates({}, exact, {}, near, 0, 0, True, (pair,) if exact + near else ())


def test_duplicates() -> None:
    assert answer("duplicates", sound()) == "not searched"
    assert answer("duplicates", sound(duplicates=found_duplicates(0, 0), held_out=500)) == ()
    assert only("duplicates", sound(duplicates=found_duplicates(1, 0), held_out=500)).severity == "warning"
    many = only("duplicates", sound(duplicates=found_duplicates(5, 5), held_out=500))
    assert (many.severity, many.where, many.value) == ("error", "b.png = a.png", 10)


@pytest.mark.parametrize(("smallest", "speaks"), [(11, False), (9, True)])
def test_class_imbalance(smallest: int, speaks: bool) -> None:
    assert bool(answer("class imbalance", sound(counts={"cat": 100, "dog": smallest}))) == speaks


@pytest.mark.parametrize(
    ("mean", "std", "speaks"),
    [(0.0, 1.0, False), (0.4, 0.6, False), (0.3, 0.3, True), (0.7, 1.0, True), (33.0, 80.0, True)],
)
def test_input_scaling(mean: float, std: float, speaks: bool) -> None:
    assert bool(answer("bad input scaling", sound(input_mean=(mean,), input_std=(std,)))) == speaks


def test_input_scaling_is_an_error_only_where_nothing_is_learned() -> None:
    pixels = sound(input_mean=(78.0,), input_std=(96.0,))
    assert only("bad input scaling", pixels).severity == "warning"
    assert only("bad input scaling", replace(pixels, losses=STUCK)).severity == "error"


def test_shape_mismatch_names_both_shapes_and_stops_what_needs_a_forward_pass() -> None:
    evidence = Evidence(
        counts={"cat": 9, "dog": 9}, mismatch=Mismatch("stage2.0", (4, 32, 4, 4), (4, 16, 8, 8))
    )
    findings, _, not_run = judge(evidence)
    assert [finding.diagnosis for finding in findings] == ["shape mismatch"]
    assert findings[0].sentence == (
        "the forward pass adds (N, 32, 4, 4) and (N, 16, 8, 8): the branch has more channels and another stride"
    )
    reasons = {check.check: check.reason for check in not_run}
    assert reasons["vanishing gradient"] == "the forward pass fails (see shape mismatch)"


def test_findings_come_by_severity() -> None:
    findings, _, _ = judge(sound(losses=STUCK, counts={"cat": 1000, "dog": 1}))
    assert [finding.severity for finding in findings] == ["error", "warning", "note"]


def test_held_out_losses_of_a_sound_run_on_its_way_are_no_overfitting() -> None:
    def curve(*losses: float | None) -> list[dict[str, Any]]:
        tests = [None if loss is None else {"loss": loss, "top1": 0.5} for loss in losses]
        return [{"epoch": i + 1, "train": {}, "test": test} for i, test in enumerate(tests)]

    assert not held_out_tells([], 4)
    assert not held_out_tells(curve(5.17), 4), "a moving average that lags in the first half"
    assert not held_out_tells(curve(5.17, 0.4, 0.3), 4), "it falls"
    assert not held_out_tells(curve(5.17, 0.4, None), 4), "this epoch was not measured"
    assert held_out_tells(curve(0.5, 0.4, 0.6), 4), "it rises in the second half"
    assert held_out_tells(curve(None, None, None, 0.6), 4), "the end of the run"
