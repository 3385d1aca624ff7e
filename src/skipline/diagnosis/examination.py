"""From a patient to a diagnosis: the trial and the other measurements, then every rule."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skipline.data import Progress, silent
from skipline.data.duplicates import find_duplicates
from skipline.diagnosis.anatomy import look_at
from skipline.diagnosis.evidence import Evidence, weighted
from skipline.diagnosis.findings import SEVERITIES, Diagnosis, Finding, NotRun
from skipline.diagnosis.label_checks import neighbours, score
from skipline.diagnosis.patient import Patient, first_images
from skipline.diagnosis.probes.outputs import losses_of
from skipline.diagnosis.probes.reading import Reading
from skipline.diagnosis.rules.rule import BY_HEART
from skipline.diagnosis.trial import READ_IMAGES, Trial, overfit_one_batch, run_trial
from skipline.machine import describe_machine, device
from skipline.training.schedule import rate_factor

STEPS = 60
SECONDS = 90.0
PATIENCE = 4  # a trial that stands still goes on up to this many times as long
RESTING = 32  # images a batch that BN gathers its statistics from at rest, or the recipe's fewer
COMPARED = 20_000  # images that duplicates are looked for among; more take minutes
SLOWER, FASTER = (0.1, 0.01), (10.0, 100.0)


def examine(
    patient: Patient,
    *,
    steps: int = STEPS,
    seconds: float = SECONDS,
    seed: int = 0,
    progress: Progress = silent,
) -> Diagnosis:
    """Examine a patient.

    Args:
        patient: left as it is.
        steps: of the trial.
        seconds: that the trial may take.
        seed: of the trial's weights and order.
        progress: told about long work.

    Returns:
        The diagnosis, without verdicts.
    """
    started = time.perf_counter()
    evidence = collect(patient, steps=steps, seconds=seconds, seed=seed, progress=progress)
    findings, fine, not_run = judge(evidence)
    readings = evidence.readings if evidence.final is None else (*evidence.readings, evidence.final)
    return Diagnosis(
        target=patient.target,
        source=patient.source,
        findings=findings,
        fine=fine,
        not_run=not_run,
        readings=readings,
        machine=dict(describe_machine()),
        seconds=time.perf_counter() - started,
    )


def judge(evidence: Evidence) -> tuple[tuple[Finding, ...], tuple[str, ...], tuple[NotRun, ...]]:
    """Ask every rule.

    Returns:
        Findings by severity, the names of rules that found nothing, and the rules that could not run.
    """
    from skipline.diagnosis.rules import RULES

    findings: list[Finding] = []
    fine, not_run = [], []
    for rule in RULES:
        answer = rule.check(evidence)
        if isinstance(answer, str):
            not_run.append(NotRun(rule.name, answer))
        elif answer:
            findings += answer
        else:
            fine.append(rule.name)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # stable: rules keep their order
    return tuple(findings), tuple(fine), tuple(not_run)


def collect(
    patient: Patient,
    *,
    steps: int = STEPS,
    seconds: float = SECONDS,
    seed: int = 0,
    progress: Progress = silent,
) -> Evidence:
    """Measure everything that the rules look at; the arguments are those of `examine`."""
    evidence = _of_the_data(patient, progress)
    if patient.mismatch is not None:
        return replace(evidence, mismatch=patient.mismatch)
    # Weights do not depend on the images' number here; 64 fresh ones are enough for means and deviations.
    images, _ = first_images(patient, READ_IMAGES)
    anatomy = look_at(patient.network(seed), images)
    evidence = replace(evidence, **{key: getattr(anatomy, key) for key in vars(anatomy)})
    trial = run_trial(patient, steps=steps, seconds=seconds, seed=seed, patience=PATIENCE, progress=progress)
    evidence = replace(
        evidence,
        **{
            key: getattr(trial, key)
            for key in (
                *("losses", "top1", "failed", "connected", "readings"),
                *("updates", "growth", "margins", "views"),
            )
        },
        norms_in_eval=tuple(
            norm.name for norm in (trial.readings[-1].norms if trial.readings else ()) if not norm.training
        ),
        unreached=_unreached(trial.readings),
    )
    if trial.losses and trial.failed is None:
        evidence = _after_the_trial(patient, trial, evidence, seconds)
    evidence = replace(evidence, other_rates=_other_rates(patient, evidence, steps, seconds, seed, progress))
    return _of_the_weights(patient, evidence)


def _of_the_data(patient: Patient, progress: Progress) -> Evidence:
    data = patient.dataset
    counts = data.train.class_counts()
    shares = counts[counts > 0] / counts.sum()
    # Enlarged images are smooth: strangers look alike in them.
    original = patient.original
    sets = [s for s in (original.train, original.validation, original.test) if s is not None]
    total = sum(len(s) for s in sets)
    missing, duplicates = {}, None
    if original.audio is not None:
        missing["duplicates"] = "the images are windows of sounds, which overlap and resemble each other"
    elif total <= COMPARED:
        duplicates = find_duplicates(sets, progress)
    else:
        missing["duplicates"] = (
            f"more than {COMPARED:,} images; `skipline data check` looks through all {total:,}"
        )
    recipe = patient.recipe
    length = 1000
    an_epoch = max(1, length // recipe.epochs)
    factors = [rate_factor(recipe.schedule, step, length, an_epoch) for step in range(length)]
    epochs, twin_top1 = _of_the_events(patient)
    return Evidence(
        classes=patient.classes,
        guess=max(1e-6, float(-(shares * np.log(shares)).sum())),
        counts={name: int(count) for name, count in zip(data.classes, counts, strict=True)},
        batch_size=min(recipe.batch_size, len(data.train)),
        lr=recipe.optimizer.lr,
        frozen_by_recipe=recipe.finetune.freeze_body,
        files=data.train.files,
        neighbours=neighbours(original.train),
        duplicates=duplicates,
        held_out=total - len(original.train),
        low_rate=sum(factor < 0.01 for factor in factors) / length,
        epochs=epochs,
        twin_top1=twin_top1,
        missing=missing,
    )


def _of_the_events(patient: Patient) -> tuple[tuple[dict[str, Any], ...], tuple[float, float] | None]:
    """The epochs of a run, and the final training accuracies of a plain network and its residual twin."""
    from skipline.diagnosis.targets import read_events

    if patient.events is None:
        return (), None
    epochs = tuple(event for event in patient.events if event.get("kind") == "epoch")
    folder = Path(patient.spec["target"])
    if folder.name != "twin" or not epochs:
        return epochs, None
    others = [event for event in read_events(folder.parent) if event.get("kind") == "epoch"]
    if not others:
        return epochs, None
    return epochs, (epochs[-1]["train"]["top1"], others[-1]["train"]["top1"])


def _after_the_trial(patient: Patient, trial: Trial, evidence: Evidence, seconds: float) -> Evidence:
    """Statistics of BN at rest, scores, gradient noise; and one batch by heart where nothing was learned."""
    from skipline.diagnosis.probes import take_reading

    network = trial.network
    rested = _with_settled_norms(patient, network)
    settled = None
    if rested is not network:
        images, labels = (tensor.to(device()) for tensor in first_images(patient, READ_IMAGES))
        settled = take_reading(rested, images, labels, step=len(trial.losses), eval_loss=True)
    held_out = patient.dataset.validation or patient.dataset.test
    evidence = replace(
        evidence,
        settled=settled,
        train_score=score(rested, patient.dataset.train, patient.preprocessing),
        held_out_score=score(rested, held_out, patient.preprocessing),
        noise_scale=_noise_scale(patient, network, _affordable(trial, seconds)),
    )
    if not evidence.learns:
        overfit = overfit_one_batch(
            patient, network, steps=2 * STEPS, seconds=seconds / 3, enough=BY_HEART * evidence.guess / 2
        )
        evidence = replace(evidence, overfit=overfit, in_time=overfit is not None)
    return evidence


def _with_settled_norms(patient: Patient, network: nn.Module) -> nn.Module:
    """A copy whose BN has seen 30 batches with the weights at rest; the network itself where it has no BN.

    Within a short trial the running statistics lag far behind weights that move fast: evaluated at once, a sound
    resnet20 gets 80 % of images right of which it knows 97 %.
    """
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return network
    rested = copy.deepcopy(network).train()
    batches = patient.batches(patient.seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for step in range(30):
            images = batches.batch(1, step % batches.steps_per_epoch).images
            rested(images[:RESTING].to(device()))
    return rested


def _affordable(trial: Trial, seconds: float) -> int:
    """Batches whose gradients take a tenth of the trial's time at most: 2, the least that say something, to 8."""
    a_step = trial.seconds / max(1, len(trial.losses))
    return int(min(8, max(2, seconds / 10 / max(a_step, 1e-6))))


def _noise_scale(patient: Patient, network: nn.Module, batches: int) -> float | None:
    """Gradient noise in images: the batch size at which noise and gradient are of one size (1812.06162, B_simple)."""
    source = patient.batches(patient.seed)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    count = min(batches, source.steps_per_epoch)
    if count < 2:
        return None
    total: list[torch.Tensor] = []
    squares = 0.0
    with torch.random.fork_rng(devices=[]):
        for step in range(count):
            batch = source.batch(2, step)
            loss, _ = losses_of(network(batch.images.to(device())), batch.targets.to(device()))
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            found = [gradient for gradient in gradients if gradient is not None]
            squares += sum(float(gradient.double().square().sum()) for gradient in found)
            total = [a + b for a, b in zip(total, found, strict=True)] if total else found
    mean_square = sum(float((gradient / count).double().square().sum()) for gradient in total)
    variance = (squares / count - mean_square) * count / (count - 1)  # of one batch's gradient
    signal = mean_square - variance / count  # unbiased: the mean of few batches is noisy, too
    if signal <= 0:
        return math.inf
    return variance * source.batch_size / signal


def _other_rates(
    patient: Patient, evidence: Evidence, steps: int, seconds: float, seed: int, progress: Progress
) -> dict[float, float]:
    """The trial again at other rates, where something hints at the rate: an experiment instead of a threshold."""
    from skipline.diagnosis.rules.rates import hints_at_high_rate, hints_at_low_rate

    if not evidence.connected or (not evidence.losses and evidence.failed is None):
        return {}
    factors = SLOWER if hints_at_high_rate(evidence) else FASTER if hints_at_low_rate(evidence) else ()
    return {
        factor: run_trial(
            patient, steps=steps, seconds=seconds / 3, rate=factor, seed=seed, probe=False, progress=progress
        ).final_loss
        for factor in factors
    }


def _of_the_weights(patient: Patient, evidence: Evidence) -> Evidence:
    """What the trained weights show, where there are some."""
    from skipline.diagnosis.probes import take_reading

    trained = patient.trained_network() if patient.trained else None
    if trained is None:
        return evidence
    trained = copy.deepcopy(trained).to(device())
    for parameter in trained.parameters():
        parameter.requires_grad_(True)
    images, labels = (tensor.to(device()) for tensor in first_images(patient, READ_IMAGES))
    final = take_reading(trained.train(), images, labels, eval_loss=True, lesions=True)
    held_out = patient.dataset.validation or patient.dataset.test
    return replace(
        evidence,
        trained=True,
        final=final,
        train_score=score(trained, patient.dataset.train, patient.preprocessing),
        held_out_score=score(trained, held_out, patient.preprocessing),
    )


def _unreached(readings: tuple[Reading, ...]) -> tuple[str, ...]:
    """Layers whose weights take part in training, but get a gradient of exactly 0 in every reading."""
    if not readings:
        return ()
    grads: dict[str, list[float]] = {}
    for reading in readings:
        for layer in weighted(reading):
            if layer.grad_norm is not None:
                grads.setdefault(layer.name, []).append(layer.grad_norm)
    silent_ones = tuple(name for name, values in grads.items() if not any(values))
    return silent_ones if len(silent_ones) < len(grads) else ()
