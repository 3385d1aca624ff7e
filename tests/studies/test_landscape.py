"""Loss landscapes: filter normalisation, the centre, rows that are kept, and convexity of known surfaces."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipline.studies.landscape import scan_rows
from skipline.studies.landscape_reading import claims, panels
from skipline.studies.surface import (
    axis,
    capped,
    filter_normalised,
    loss_of,
    moved,
    negative_curvature,
    rise,
    row,
)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(12, 1, 4, 4), torch.arange(12) % 3


def test_every_filter_of_a_direction_has_the_norm_of_its_weights() -> None:
    net = network()
    direction = filter_normalised(net, seed=0)
    for index in (0, 4):
        weight = net[index].weight.detach()  # type: ignore[index]
        drawn = direction[f"{index}.weight"]
        assert torch.allclose(drawn.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1), rtol=1e-5)
        cosine = F.cosine_similarity(drawn.flatten(1), weight.flatten(1)).abs().max()
        assert cosine < 0.95  # a direction of its own, not the weights again
    for name in ("0.bias", "1.weight", "1.bias", "4.bias"):
        assert not direction[name].any()


def test_directions_depend_on_the_seed_alone() -> None:
    net = network()
    first, again, other = (filter_normalised(net, seed) for seed in (1, 1, 2))
    assert torch.equal(first["0.weight"], again["0.weight"])
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_the_centre_of_the_surface_is_the_loss_of_the_network(tmp_path: Path) -> None:
    net, (images, labels) = network(), pictures()
    net(images)  # running statistics that are not those of a fresh layer
    net.eval()
    with torch.no_grad():
        expected = F.cross_entropy(net(images), labels).item()
    surface, _ = scan_rows(net, images, labels, seed=0, points=5, file=tmp_path / "surface.json")
    assert surface[2][2] == expected
    assert len({value for line in surface for value in line}) == 25


def test_a_point_is_the_loss_at_the_moved_weights() -> None:
    net, (images, labels) = network().eval(), pictures()
    first, second = filter_normalised(net, 0), filter_normalised(net, 1)
    by_hand = network().eval()
    by_hand.load_state_dict(net.state_dict())
    with torch.no_grad():
        for name, parameter in by_hand.named_parameters():
            parameter += 0.5 * first[name] - 1.0 * second[name]
        expected = F.cross_entropy(by_hand(images), labels).item()
    assert row(net, images, labels, (first, second), [0.0, 0.5], -1.0)[1] == pytest.approx(expected, rel=1e-5)


def test_the_network_is_put_back_bit_for_bit_even_after_an_error() -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def stop_in_between() -> None:
        with moved(net, [(0.3, filter_normalised(net, 0))]):
            assert not torch.equal(net.state_dict()["0.weight"], before["0.weight"])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_in_between()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_rows_that_are_there_are_not_measured_again(tmp_path: Path) -> None:
    net, (images, labels) = network().eval(), pictures()
    file = tmp_path / "surface.json"
    whole, _ = scan_rows(net, images, labels, seed=0, points=5, file=file)
    kept = json.loads(file.read_text())
    kept["rows"] = [[7.0] * 5, kept["rows"][1]]  # cut off after two rows, the first of them marked
    file.write_text(json.dumps(kept))
    resumed, _ = scan_rows(net, images, labels, seed=0, points=5, file=file)
    assert resumed == [[7.0] * 5, *whole[1:]]
    with torch.no_grad():
        net[0].weight.mul_(1.5)  # type: ignore[index]
    other, _ = scan_rows(net, images, labels, seed=0, points=5, file=file)
    assert other[0] != [7.0] * 5


def test_a_loss_that_is_not_finite_is_none() -> None:
    net, (images, labels) = network(), pictures()
    with torch.no_grad():
        net[4].bias.fill_(math.nan)  # type: ignore[index]
    assert loss_of(net, images, labels) is None


def surface_of(function: Any, points: int = 15) -> list[list[float | None]]:
    positions = axis(points)
    return [[function(x, y) for x in positions] for y in positions]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, y: x * x + 2 * y * y, 0.0),
        (lambda x, y: x * x - y * y, 1.0),  # a saddle everywhere
        (lambda x, y: -x * x - y * y, 1.0),
        (lambda x, y: math.hypot(x, y) ** 4 + x * x, 0.0),
    ],
)
def test_negative_curvature_of_known_surfaces(function: Any, expected: float) -> None:
    assert negative_curvature(surface_of(function), axis(15)) == expected


def test_half_a_surface_that_bends_downwards_is_half_not_convex() -> None:
    surface = surface_of(lambda x, y: y * y + (x**3), points=41)  # concave in x for x < 0
    assert negative_curvature(surface, axis(41)) == pytest.approx(0.5, abs=0.06)


def test_points_beside_a_loss_that_is_not_finite_are_not_convex() -> None:
    surface = surface_of(lambda x, y: x * x + y * y)
    assert negative_curvature(surface, axis(15)) == 0
    surface[7][7] = None
    assert negative_curvature(surface, axis(15)) > 0


def test_rise_of_a_bowl() -> None:
    bowl = surface_of(lambda x, y: 3 + x * x + y * y, points=41)
    assert rise(bowl, axis(41), 0.5) == pytest.approx(0.25, abs=0.02)
    bowl[20][30] = None
    assert rise(bowl, axis(41), 0.5) is None


def test_axis_and_cap() -> None:
    assert axis(5) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert capped([[1.0, None, 50.0]], 20.0) == [[1.0, None, 20.0]]


def result_of(share_not_convex: float) -> dict[str, Any]:
    """A surface of which about this share bends downwards."""

    def height(x: float, y: float) -> float:
        return y * y + (-x * x if x < -1 + 2 * share_not_convex else 5 + x * x)

    return {
        "surface": surface_of(height),
        "train": {"top1": 1.0, "loss": 0.0},
        "test": {"top1": 0.9, "loss": 0.2},
        "seconds_per_point": 0.1,
    }


def table_of(
    plain_shallow: float, plain_deep: float, residual_deep: float
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    def three(share: float) -> list[dict[str, Any]]:
        return [result_of(min(1.0, share + seed * 0.04)) for seed in range(3)]

    return {
        "plain": {20: three(plain_shallow), 56: three(plain_deep)},
        "resnet": {20: three(0.0), 56: three(residual_deep)},
    }


def test_claims_on_convexity_follow_the_surfaces() -> None:
    def outcomes(*shares: float) -> list[str]:
        found = claims(table_of(*shares), 15, "digits")
        return [claim.outcome for claim in found if "convex" in claim.statement]

    assert outcomes(-0.2, 0.8, -0.2) == ["holds"] * 3
    assert outcomes(0.8, 0.2, 0.8) == ["does not hold"] * 3


@pytest.mark.parametrize(
    ("plain", "residual", "expected"),
    [(8.0, 2.0, "holds"), (2.0, 8.0, "does not hold"), (math.inf, 2.0, "not decided")],
)
def test_the_claim_on_steepness_compares_the_rise(plain: float, residual: float, expected: str) -> None:
    table = table_of(0.0, 0.0, 0.0)
    for kind, steepness in (("plain", plain), ("resnet", residual)):
        for seed, result in enumerate(table[kind][56]):
            result["surface"] = surface_of(lambda x, y, k=steepness + 0.1 * seed: k * (x * x + y * y))
            if math.isinf(steepness):
                result["surface"] = surface_of(lambda x, y: None if x > 0.2 else 0.0)
    steep = next(claim for claim in claims(table, 15, "digits") if "rises" in claim.statement)
    assert steep.outcome == expected
    if expected == "holds":
        assert steep.interval is not None
        assert steep.interval[0] > 3


def test_one_surface_panel_for_each_network() -> None:
    shown = panels(table_of(0.0, 0.5, 0.0), 15)
    assert [panel.kind for panel in shown] == ["surface"] * 4 + ["table"]
    assert "plain56" in shown[2].title
