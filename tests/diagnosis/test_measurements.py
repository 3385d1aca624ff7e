"""What the doctor measures beside the probes, on networks and images with known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skipline.data import Batch, ImageSet, Preprocessing
from skipline.diagnosis import trial
from skipline.diagnosis.anatomy import look_at
from skipline.diagnosis.calibration import page, tabulate
from skipline.diagnosis.fitting import attempt
from skipline.diagnosis.label_checks import neighbours, score
from skipline.diagnosis.patient import open_patient
from skipline.diagnosis.trial import overfit_one_batch, run_trial
from skipline.diagnosis.zoo import FAULTS, HEALTHY
from skipline.errors import InputError

PLAIN = Preprocessing(channels=1, stored=8, side=8, mean=(0.0,), std=(1.0,))


def stripes(count: int, seed: int = 0) -> ImageSet:
    """Two classes of noisy images: bright on the left, bright on the right."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    images = generator.integers(0, 60, (count, 8, 8, 1))
    for image, label in zip(images, labels, strict=True):
        image[:, label * 4 : label * 4 + 4] += 150
    return ImageSet(images.astype(np.uint8), labels.astype(np.int64), ("left", "right"), "train", "")


def test_neighbours_agree_where_labels_belong_to_images() -> None:
    found = neighbours(stripes(400))
    assert found is not None
    assert found.agreement == 1.0
    assert found.chance == pytest.approx(0.5, abs=0.02)


def test_neighbours_agree_by_chance_where_labels_were_drawn_anew() -> None:
    images = stripes(400)
    drawn = np.random.default_rng(5).permutation(images.labels)
    found = neighbours(ImageSet(images.images, drawn, images.classes, "train", ""))
    assert found is not None
    assert found.agreement == pytest.approx(found.chance, abs=0.06)
    assert neighbours(stripes(100)) is None  # too few to tell


class Knows(nn.Module):
    """Tells left from right, and is surer of brighter images."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halves = torch.stack([x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3))], 1)
        return halves * self.scale * 5


def test_score_counts_mistakes_by_certainty_and_puts_the_mode_back() -> None:
    images = stripes(300)
    network = Knows().train()
    right = score(network, images, PLAIN)
    assert (right.images, right.top1, right.sure_half, right.sure_tenth) == (300, 1.0, 0.0, 0.0)
    assert network.training
    flipped = images.labels.copy()
    flipped[::5] = 1 - flipped[::5]
    noisy = score(network, ImageSet(images.images, flipped, images.classes, "train", ""), PLAIN)
    assert noisy.top1 == pytest.approx(0.8)
    assert noisy.sure_half == pytest.approx(0.2, abs=0.09)  # noise does not spare the certain ones


def test_anatomy_of_a_network_with_he_weights_in_the_scale_of_he() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.ReLU(inplace=True), nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(1024, 5)
    )
    for layer in (network[0], network[2], network[4]):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    for parameter in network[2].parameters():
        parameter.requires_grad_(False)
    found = look_at(network, torch.randn(64, 3, 8, 8) * 2 + 1)
    assert list(found.weight_scales) == ["0", "2", "4"]
    assert all(scale == pytest.approx(1, abs=0.1) for scale in found.weight_scales.values())
    assert found.input_mean == pytest.approx((1, 1, 1), abs=0.15)
    assert found.input_std == pytest.approx((2, 2, 2), abs=0.15)
    assert (found.frozen, found.layers, found.outputs, found.outputs_sum_to_one) == (("2",), 3, 5, False)


def test_anatomy_sees_what_the_first_layer_sees_and_what_comes_out() -> None:
    class Rescaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x * 255).mean((2, 3))
            return torch.cat([y, y], 1).softmax(1)

    found = look_at(Rescaled(), torch.rand(64, 1, 8, 8))
    assert found.input_mean[0] == pytest.approx(127.5, abs=5)
    assert found.outputs_sum_to_one
    assert found.joins == 1


def test_an_attempt_tells_the_number_of_outputs_or_what_went_wrong() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    assert attempt(network, 1, 8).outputs == 7
    failed = attempt(network, 3, 8)
    assert failed.outputs is None
    assert failed.error.startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(InputError, match="expect logits"):
        attempt(nn.Conv2d(1, 10, 3), 1, 8)


def test_a_trial_is_repeatable_and_leaves_the_generator_alone() -> None:
    patient = open_patient("zoo:small-cnn", "digits", settings=["batch_size=64"])
    state = torch.get_rng_state()
    first = run_trial(patient, steps=6, seconds=math.inf)
    again = run_trial(patient, steps=6, seconds=math.inf, probe=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.losses == again.losses  # readings change nothing
    assert [reading.step for reading in first.readings] == [0, 1, 3, 6]
    assert set(first.updates) == {reading.name for reading in first.readings[0].layers if reading.weight_norm}
    assert first.failed is None
    assert first.final_loss == pytest.approx(float(np.median(first.losses)))


def test_a_network_that_nothing_can_be_learned_in_ends_the_trial_at_once() -> None:
    patient = open_patient("zoo:small-cnn", "digits")
    network = patient.network()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    object.__setattr__(patient._target, "build", lambda *sizes: network)
    assert not run_trial(patient, steps=6, seconds=math.inf).connected


def test_a_trial_that_would_take_too_long_sees_fewer_images_instead_of_fewer_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patient = open_patient("zoo:small-cnn", "digits", settings=["batch_size=64"])
    sizes = []

    def counted(
        network: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, *rest: Any, **named: Any
    ) -> bool:
        sizes.append(len(batch.labels))
        return one_step(network, optimizer, batch, *rest, **named)

    one_step = trial._step
    monkeypatch.setattr(trial, "_step", counted)
    run_trial(patient, steps=6, seconds=math.inf, probe=False)
    assert sizes == [64] * 6
    sizes.clear()
    run_trial(patient, steps=6, seconds=1e-3, probe=False)
    assert sizes == [64, 64, 16, 16, 16, 16]


def test_sixteen_images_are_learned_by_heart_or_not_or_there_was_no_time() -> None:
    patient = open_patient("zoo:small-cnn", "digits")
    learned = overfit_one_batch(patient, patient.network(), steps=200, seconds=math.inf, enough=0.3)
    assert learned is not None
    assert learned < 0.3  # it stops there instead of using up its steps
    assert overfit_one_batch(patient, patient.network(), steps=200, seconds=0, enough=0.3) is None
    stuck = open_patient("zoo:zero-weights", "digits")
    left = overfit_one_batch(stuck, stuck.network(), steps=60, seconds=math.inf, enough=0.3)
    assert left is not None
    assert left > 1.5


def test_the_table_counts_hits_misses_and_false_alarms() -> None:
    results = {
        f"{case.name}-seed{seed}": {
            "findings": [[case.diagnosis, "warning", ""]] if case.diagnosis else [],
            "not_run": [],
            "seconds": 1.0,
        }
        for case in (*FAULTS, *HEALTHY)
        for seed in (0, 1)
    }
    missed = next(case for case in FAULTS if case.diagnosis == "stall")
    results[f"{missed.name}-seed1"]["findings"] = [["bad input scaling", "error", ""]]
    results[f"{HEALTHY[0].name}-seed0"]["findings"] = [["dead ReLU", "error", ""], ["stall", "note", ""]]
    found = tabulate(results, (0, 1))
    rows = {row.rule: row for row in found.rows}
    assert (rows["stall"].hits, rows["stall"].tries) == (1, 2)
    assert rows["stall"].missed == (f"{missed.name} (1 of 2)",)
    assert (rows["dead ReLU"].errors, rows["dead ReLU"].alarmed) == (1, (HEALTHY[0].name,))
    assert rows["stall"].warnings == 0
    assert found.beside == {missed.name: ("bad input scaling (error)",)}
    text = page(found, "python docs/calibrate.py")
    assert f"spoke in {2 * len(FAULTS) - 1} of {2 * len(FAULTS)} examinations" in text
    assert "there was 1 error." in text
