"""Shattered gradients: known correlations, what BN calibration leaves behind, and the published laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from skipline.studies.decisions import decided_ratio, slope, within
from skipline.studies.gradients import (
    KINDS,
    Dense,
    along,
    calibrate,
    correlation,
    input_gradients,
    typical_correlation,
)
from skipline.studies.shattered_reading import claims, factor_per_layer, panels, power_of_depth


def test_the_gradients_of_a_linear_network_are_the_same_everywhere() -> None:
    network = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4)).eval()
    inputs = torch.randn(8, 6)
    derivative = along(network, inputs, torch.randn(6))
    assert correlation(derivative[:-1], derivative[1:]) == pytest.approx(1.0, abs=1e-5)
    assert typical_correlation(derivative) == pytest.approx(1.0, abs=1e-5)


def test_image_gradients_of_a_linear_network_are_its_weights() -> None:
    linear = nn.Linear(2 * 3 * 3, 4)
    gradients = input_gradients(nn.Sequential(nn.Flatten(), linear), torch.randn(5, 2, 3, 3))
    assert gradients.shape == (5, 4 * 18)
    assert torch.allclose(gradients, linear.weight.detach().flatten().expand(5, -1))


def test_correlation_of_unrelated_and_opposite_gradients() -> None:
    assert correlation(torch.eye(4), torch.eye(4).roll(1, 0)) == 0.0
    assert correlation(torch.ones(3, 2), -torch.ones(3, 2)) == pytest.approx(-1.0)
    assert typical_correlation(torch.eye(4)) == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(correlation(torch.zeros(3, 2), torch.ones(3, 2)))


def test_along_is_the_derivative() -> None:
    network = Dense(3, 2, "residual BN", width=16).double()
    inputs = torch.randn(10, 3, dtype=torch.float64)
    calibrate(network, inputs)
    direction = torch.randn(3, dtype=torch.float64)
    with torch.no_grad():
        numeric = (network(inputs + 1e-7 * direction) - network(inputs - 1e-7 * direction)) / 2e-7
    assert torch.allclose(along(network, inputs, direction), numeric, atol=1e-5)


def test_calibration_takes_the_statistics_of_the_batch_and_ends_in_eval_mode() -> None:
    norm = nn.BatchNorm1d(2)
    inputs = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    calibrate(norm, inputs)
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [2.0, 20.0]
    assert norm.momentum == 0.1
    assert not norm.training


def test_at_initialisation_shortcuts_keep_gradients_alike_and_plain_ones_halve() -> None:
    found = {}
    inputs = torch.randn(128, 200)
    for kind in ("plain BN", "residual BN"):
        for depth in (1, 2, 4):
            network = Dense(200, depth, kind)  # type: ignore[arg-type]
            calibrate(network, inputs)
            found[kind, depth] = typical_correlation(along(network, inputs, torch.randn(200)))
    for depth in (1, 2, 4):
        assert found["plain BN", depth] == pytest.approx(0.5**depth, rel=0.35)
        assert found["residual BN", depth] > 1.2 * found["plain BN", depth]


def table_by_laws(noise: float, plain: float = 0.5, power: float = -0.5) -> dict[int, list[dict[str, Any]]]:
    """Three seeds whose correlations follow given laws, up to a factor near 1."""
    return {
        depth: [
            {
                kind: {
                    "typical": (plain**depth if kind.startswith("plain") else depth**power)
                    * (1 + noise * seed),
                    "lags": {
                        "1": 0.1 if kind.startswith("plain") else 0.5 + 0.1 * KINDS.index(kind) + 0.01 * seed
                    },
                    "curve": [0.0] * 256,
                }
                for kind in KINDS
            }
            for seed in range(3)
        ]
        for depth in (1, 2, 4, 8, 16)
    }


IMAGES = {
    8: [{kind: {"near": 0.5, "typical": 0.1} for kind in ("plain BN", "residual BN")}] * 3,
    56: [
        {"plain BN": {"near": 0.1, "typical": 0.2}, "residual BN": {"near": 0.4 + seed / 100, "typical": 0.1}}
        for seed in range(3)
    ],
}


def test_fits_give_back_the_laws() -> None:
    table = table_by_laws(0.01)
    assert factor_per_layer(table, "plain BN") == pytest.approx([0.5] * 3)
    assert power_of_depth(table, "residual BN") == pytest.approx([-0.5] * 3)


def test_claims_hold_for_the_published_laws_and_fail_for_others() -> None:
    published = claims(table_by_laws(0.01), IMAGES, "digits")
    assert [claim.outcome for claim in published] == ["holds"] * 5 + ["does not hold"]
    other = claims(table_by_laws(0.01, plain=0.9, power=-2.0), IMAGES, "digits")
    assert [claim.outcome for claim in other[:2]] == ["does not hold"] * 2


def test_panels_draw_what_is_not_positive_as_a_gap() -> None:
    table = table_by_laws(0.0)
    table[16][0]["plain BN"]["typical"] = -0.001
    laws = panels(table, IMAGES, "digits")[0]
    assert laws.kind == "lines"
    assert next(series for series in laws.series if series.name == "plain BN").y[-1] is None


def test_within() -> None:
    assert within([0.49, 0.5, 0.51], 0.4, 0.6)[1] == "holds"
    assert within([0.69, 0.7, 0.71], 0.4, 0.6)[1] == "does not hold"
    assert within([0.55, 0.6, 0.65], 0.4, 0.6)[1] == "not decided"
    assert within([0.5], 0.4, 0.6) == (None, "not decided")
    assert within([0.5, math.nan, 0.5], 0.4, 0.6)[1] == "not decided"


def test_slope() -> None:
    assert slope([0.0, 1.0, 2.0], [1.0, 3.0, 5.0]) == pytest.approx(2.0)
    assert math.isnan(slope([1.0, 1.0], [0.0, 1.0]))


def test_a_ratio_is_given_as_a_ratio() -> None:
    interval, outcome = decided_ratio([math.log(2.0)] * 3)
    assert interval == pytest.approx((2.0, 2.0))
    assert outcome == "holds"
    assert decided_ratio([math.log(0.5)] * 3)[1] == "does not hold"
    assert decided_ratio([0.3]) == (None, "not decided")
    assert decided_ratio([0.3, math.inf]) == (None, "not decided")
