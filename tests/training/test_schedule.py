"""The learning rate against hand-computed values and PyTorch's own schedulers."""

from __future__ import annotations

import math

import pytest
import torch

from skipline.training.recipe import Schedule
from skipline.training.schedule import ERROR_WINDOW, ErrorWarmup, rate_factor


def factors(schedule: Schedule, steps: int, steps_per_epoch: int = 10) -> list[float]:
    return [rate_factor(schedule, step, steps, steps_per_epoch) for step in range(steps)]


def test_the_papers_drops_fall_on_32k_and_48k_of_64k_steps() -> None:
    schedule = Schedule(kind="step", milestones=(0.5, 0.75))
    at = lambda step: rate_factor(schedule, step, 64_000, 391)  # noqa: E731
    assert at(31_999) == 1
    assert at(32_000) == pytest.approx(0.1)
    assert at(47_999) == pytest.approx(0.1)
    assert at(48_000) == pytest.approx(0.01)


def test_cosine_agrees_with_pytorch() -> None:
    steps = 50
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - 1)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert factors(Schedule(kind="cosine"), steps) == pytest.approx(expected, abs=1e-9)


def test_one_cycle_agrees_with_pytorch() -> None:
    steps, start, final = 101, 0.04, 0.01
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        1.0,
        total_steps=steps,
        pct_start=0.31,  # PyTorch peaks at pct_start x steps - 1
        div_factor=1 / start,
        final_div_factor=start / final,
        cycle_momentum=False,
    )
    expected = []
    for step in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < steps:
            reference.step()
    peak_at = (0.31 * steps - 1) / (steps - 1)
    schedule = Schedule(kind="one-cycle", peak_at=peak_at, start=start, final=final)
    assert factors(schedule, steps) == pytest.approx(expected, abs=1e-6)


def test_triangular_is_linear_up_and_down() -> None:
    got = factors(Schedule(kind="triangular", peak_at=0.2, start=0.5, final=0.0), 11)
    assert got == pytest.approx([0.5, 0.75, 1.0, *(1 - k / 8 for k in range(1, 9))])


def test_warmup_grows_from_nearly_zero_over_its_epochs() -> None:
    got = factors(Schedule(kind="constant", warmup_epochs=2), 40, steps_per_epoch=10)
    assert got[0] == pytest.approx(1 / 20)
    assert got[9] == pytest.approx(0.5)
    assert got[19:] == [1.0] * 21


@pytest.mark.parametrize("kind", ["constant", "cosine", "triangular", "one-cycle"])
def test_a_run_of_one_step_has_a_finite_rate(kind: str) -> None:
    assert math.isfinite(rate_factor(Schedule(kind=kind), 0, 1, 1))  # type: ignore[arg-type]


def test_error_warmup_holds_until_the_window_is_full_and_the_error_low() -> None:
    warmup = ErrorWarmup(Schedule(kind="constant", warmup_until_error=0.8, warmup_factor=0.1))
    for _ in range(ERROR_WINDOW - 1):
        warmup.observe(0.5)
        assert warmup.factor() == 0.1
    warmup.observe(0.5)
    assert warmup.factor() == 1.0
    warmup.observe(1.0)
    assert warmup.factor() == 1.0, "once left, the warm-up does not come back"


def test_error_warmup_goes_on_from_a_saved_state() -> None:
    schedule = Schedule(kind="constant", warmup_until_error=0.8)
    first = ErrorWarmup(schedule)
    for _ in range(ERROR_WINDOW - 1):
        first.observe(0.7)
    second = ErrorWarmup(schedule)
    second.restore(first.state())
    second.observe(0.7)
    assert second.done
    assert not first.done
