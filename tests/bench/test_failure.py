"""What a killed process costs, read from events whose answer is known."""

from __future__ import annotations

from typing import Any

import pytest

from skipline.bench.failure import Loss, loss_of
from skipline.errors import PeerError


def step(number: int, time: float) -> dict[str, Any]:
    return {"kind": "step", "step": number, "time": time}


def test_the_loss_is_counted_from_the_kill_to_the_first_step_that_is_new() -> None:
    events = [
        step(100, 10.0),
        step(119, 11.9),
        step(120, 12.1),  # finished by the others after the kill
        {"kind": "resume", "step": 100, "time": 17.0},
        step(101, 18.0),
        step(120, 19.9),
        step(121, 20.0),
    ]
    assert loss_of(events, killed=12.0) == Loss(seconds_to_next_step=6.0, seconds_lost=8.0, steps_repeated=20)


def test_an_earlier_resume_is_not_taken_for_the_one_after_the_kill() -> None:
    events = [{"kind": "resume", "step": 0, "time": 1.0}, step(50, 5.0)]
    with pytest.raises(PeerError, match=r"^the run did not go on from a checkpoint after the kill$"):
        loss_of(events, killed=6.0)


def test_a_run_that_only_repeats_steps_has_not_gone_on() -> None:
    events = [step(60, 5.0), {"kind": "resume", "step": 50, "time": 9.0}, step(51, 9.5)]
    with pytest.raises(PeerError, match=r"^the run got no further than step 60 after the kill$"):
        loss_of(events, killed=6.0)
