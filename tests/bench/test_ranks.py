"""Processes of one group: that they find each other, take turns together, and are named when they fail. No speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skipline.bench import link, ranks, side_by_side
from skipline.bench.cost_model import Link
from skipline.bench.ranks import Ranks
from skipline.bench.side_by_side import Case, process_rows
from skipline.errors import PeerError
from skipline.training.precision import Execution

TELLING = """
import json, os, sys
work = json.loads(sys.argv[1])
print(json.dumps({"name": "fake"}), flush=True)
for line in sys.stdin:
    assert line == "turn\\n"
    if work["rank"] == work.get("broken"):
        raise RuntimeError("out of order")
    work["threads"] = os.environ.get("OMP_NUM_THREADS")
    print(json.dumps({"images_per_second": 10 + work["rank"], "work": work}), flush=True)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "telling.py").write_text(TELLING)
    monkeypatch.setattr(ranks, "own_path", lambda: str(tmp_path))
    return "telling"


def test_each_process_is_told_its_place_and_all_take_a_turn_together(module: str) -> None:
    with Ranks("two", module, {"batch": 5}, 2, environment={"OMP_NUM_THREADS": "3"}) as two:
        answers = two.ask()
        assert two.turn() == 21
    works = [answer["work"] for answer in answers]
    assert [(work["rank"], work["size"], work["batch"], work["threads"]) for work in works] == [
        (0, 2, 5, "3"),
        (1, 2, 5, "3"),
    ]
    assert works[0]["store"] == works[1]["store"]
    assert not Path(works[0]["store"]).parent.exists()


def test_a_command_may_be_put_before_each(module: str, tmp_path: Path) -> None:
    prefixes = [["env", f"OMP_NUM_THREADS={7 + rank}"] for rank in range(2)]
    with Ranks("two", module, {}, 2, prefixes=prefixes) as two:
        assert [answer["work"]["threads"] for answer in two.ask()] == ["7", "8"]


def test_the_process_that_fails_is_named(module: str) -> None:
    with (
        pytest.raises(PeerError, match=r"^two, process 1 of 2: RuntimeError: out of order$"),
        Ranks("two", module, {"broken": 1}, 2) as two,
    ):
        two.ask()


def test_a_link_is_measured_by_gloo_between_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SECONDS", 0.0)
    monkeypatch.setattr(link, "fit_link", lambda seconds, processes: Link(float(len(seconds)), processes))
    found = link.measure_link(2, turns=1, sizes=(4, 2**20))
    assert set(found.seconds) == {4, 2**20}
    assert all(0 < taken < 60 for taken in found.seconds.values())
    assert (found.processes, found.link) == (2, Link(2.0, 2))
    json.dumps(found.to_json(), allow_nan=False)


def test_steps_are_taken_by_all_processes_together() -> None:
    work = {
        "network": "resnet20",
        "side": 8,
        "classes": 10,
        "batch": 2,
        "way": {},
        "together": True,
        "seconds": 0,
    }
    with Ranks("two", side_by_side.MODULE, work, 2) as two:
        answers = two.ask()
    assert [answer["steps"] for answer in answers] == [1, 1]
    assert all(answer["images_per_second"] > 0 for answer in answers)


def test_two_processes_are_compared_with_one_of_as_many_threads(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "MODULE", module)
    (row,) = process_rows(Execution(threads=2), turns=1, cases=(Case("resnet20", 8, 10, 4),))
    assert row.what == "training steps, resnet20, batch 4, 8 x 8: 2 processes of 1 thread"
    assert row.peer_name == "1 process of 2 threads"
    assert (row.ours, row.peer, row.ratio) == (21, 10, 2.1)
