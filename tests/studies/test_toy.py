"""The toy study: equal layers, where each kind begins, and claims on hand-made fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.errors import InputError
from skipline.studies.study import Context
from skipline.studies.toy import KINDS, STUDY, TARGETS, build, fit, grids, moments
from skipline.studies.toy_reading import claims, log_ratios


def context(folder: Path, seeds: tuple[int, ...] = (0, 1), epochs: int | None = None) -> Context:
    return Context(None, "", None, folder, "quick", seeds, epochs=epochs, depths=(1, 2))


def a_fit(error: float) -> dict[str, Any]:
    """A fit whose errors halve from step 10 to step 100."""
    places = {place: [1.0, 2 * error, error] for place in ("train", "test", "outside")}
    return {"steps": [0, 10, 100], "rmse": places, "curves": {"0": [], "100": []}}


def table_of(plain: list[float], residual: list[float]) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """The same errors for every target, at two depths."""
    pairs = [{"plain": a_fit(p), "residual": a_fit(r)} for p, r in zip(plain, residual, strict=True)]
    return {target: {1: pairs, 3: pairs} for target in TARGETS}


FORMULAS = {name: target.formula for name, target in TARGETS.items()}


@pytest.mark.parametrize("depth", [1, 3])
def test_both_kinds_have_the_same_parameters(depth: int) -> None:
    plain, residual = (build(depth, kind, seed=4) for kind in KINDS)
    first, second = plain.state_dict(), residual.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_residual_network_begins_at_the_identity_when_its_last_layer_is_zero() -> None:
    x = torch.linspace(-3, 3, 7)[:, None]
    for kind, expected in (("plain", torch.zeros_like(x)), ("residual", x)):
        network = build(2, kind, seed=0)  # type: ignore[arg-type]
        torch.nn.init.zeros_(network.last.weight)
        torch.nn.init.zeros_(network.last.bias)
        assert torch.equal(network(x), expected)


def test_no_test_point_is_trained_on_and_outside_is_outside() -> None:
    places = grids()
    nearest = torch.cdist(places["test"], places["train"]).min()
    assert nearest > 0.01
    assert places["outside"].abs().min() > places["train"].abs().max()


def test_moments_begin_at_0_and_end_at_the_last_step() -> None:
    found = moments(1000)
    assert found[0] == 0
    assert found[-1] == 1000
    assert found == sorted(set(found))


def test_a_network_learns_what_it_is_shown() -> None:
    result = fit("near", depth=2, kind="residual", seed=0, steps=100)
    assert result["rmse"]["train"][-1] < 0.9 * result["rmse"]["train"][0]
    assert set(result["curves"]) >= {"0", "100"}


def test_log_ratio_is_the_paired_mean() -> None:
    found = log_ratios(table_of([0.4, 0.8], [0.1, 0.2]), "near", "test")
    assert found == pytest.approx([1.3863, 1.3863], abs=1e-4)  # ln 4


def test_claims_follow_the_intervals() -> None:
    residual_wins = claims(table_of([0.40, 0.42, 0.41], [0.10, 0.11, 0.10]), FORMULAS)
    plain_wins = claims(table_of([0.10, 0.11, 0.10], [0.40, 0.42, 0.41]), FORMULAS)
    unclear = claims(table_of([0.1, 0.2, 0.1], [0.2, 0.1, 0.1]), FORMULAS)
    for index, claim in enumerate(residual_wins):
        for_residual = "residual network is closer" in claim.statement
        assert claim.outcome == ("holds" if for_residual else "does not hold")
        assert plain_wins[index].outcome == ("does not hold" if for_residual else "holds")
        assert unclear[index].outcome == "not decided"
    assert {"holds", "does not hold"} == {claim.outcome for claim in residual_wins}


def test_one_seed_decides_nothing() -> None:
    assert {claim.outcome for claim in claims(table_of([0.4], [0.1]), FORMULAS)} == {"not decided"}


def test_jobs_to_outcomes(tmp_path: Path) -> None:
    where = context(tmp_path, epochs=12)
    jobs = STUDY.jobs(where)
    assert len(jobs) == len({job.key for job in jobs}) == len(TARGETS) * 2 * 2
    results = {job.key: job.function(**job.arguments) for job in jobs}
    outcomes = STUDY.read(where, results)
    assert {len(values) for arm in outcomes.arms for values in arm.results.values()} == {2}
    assert {panel.kind for panel in outcomes.panels} == {"scatter", "lines", "table"}
    assert all(panel.explanation for panel in outcomes.panels)


def test_a_network_without_hidden_layers_is_refused(tmp_path: Path) -> None:
    wrong = Context(None, "", None, tmp_path, "quick", (0,), depths=(0, 3))
    with pytest.raises(InputError, match="at least 1 hidden layer, got 0"):
        STUDY.jobs(wrong)
