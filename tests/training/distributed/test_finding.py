"""How processes find their place and each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist

from skipline.errors import DistributedError, InputError, OtherProcessError
from skipline.training.distributed import Group, heart
from skipline.training.distributed.arrival import arrive
from skipline.training.distributed.environment import Place, first_host, place_from, tasks_of_node
from skipline.training.distributed.heart import Heart, silent_ranks

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "first",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "abc",
    "TORCHELASTIC_RESTART_COUNT": "2",
}
SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "gpu[03-05]",
    "SLURM_JOB_ID": "41",
    "SLURM_STEP_ID": "0",
}


def test_torchruns_variables() -> None:
    assert place_from(TORCHRUN) == Place(3, 4, 1, 2, "first", 29500, "abc", 2)


def test_slurms_variables() -> None:
    assert place_from(SLURM) == Place(2, 5, 0, 2, "gpu03", 20_041, "slurm-41-0", 0)
    assert place_from({**SLURM, **TORCHRUN}) == place_from(TORCHRUN), "torchrun within a Slurm job"
    requeued = place_from(
        {**SLURM, "SLURM_RESTART_COUNT": "1", "MASTER_ADDR": "login", "MASTER_PORT": "1234"}
    )
    assert requeued == Place(2, 5, 0, 2, "login", 1234, "slurm-41-0", 1)


def test_a_process_that_nobody_launched_is_alone() -> None:
    assert place_from({}) is None
    batch_script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "41"}
    assert place_from(batch_script) is None, "no task of a step: nobody else would come"


def test_a_job_without_a_name_is_told_from_others_by_its_launcher() -> None:
    place = place_from({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"})
    again = place_from({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"})
    assert place is not None
    assert place == again
    assert place.job not in ("none", "")


def test_incomplete_variables_are_a_mistake_in_words() -> None:
    with pytest.raises(
        InputError, match=r"MASTER_PORT: expected a number, as torchrun or srun sets it, got None"
    ):
        place_from({key: value for key, value in TORCHRUN.items() if key != "MASTER_PORT"})
    with pytest.raises(
        InputError, match=r"RANK: expected a number.*got 'x'. To train on this machine alone use"
    ):
        place_from({**TORCHRUN, "RANK": "x"})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[03-05,9],login", "gpu03"), ("a", "a"), ("b,c", "b"), ("n[7]-ib", "n7-ib"), ("x[1,3]", "x1")],
)
def test_the_first_host_of_a_slurm_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_the_tasks_of_a_node_in_a_slurm_list() -> None:
    assert [tasks_of_node("2(x3),1", node) for node in range(4)] == [2, 2, 2, 1]
    for wrong, node in (("2(x3),1", 4), ("two", 0)):
        with pytest.raises(InputError, match="expected counts such as 2"):
            tasks_of_node(wrong, node)


# --- meeting -------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> dist.Store:
    store = dist.FileStore(str(tmp_path / "store"), 3)
    store.set_timeout(timedelta(seconds=5))
    return store


def test_processes_of_one_attempt_agree_whatever_an_earlier_one_left(tmp_path: Path) -> None:
    def attempt() -> list[str]:
        names = [""] * 3

        def come(rank: int) -> None:
            names[rank] = arrive(dist.FileStore(str(tmp_path / "store"), 3), rank, 3, 20)

        threads = [threading.Thread(target=come, args=(rank,)) for rank in (2, 0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return names

    first, second = attempt(), attempt()
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0] != ""


def test_who_did_not_come_is_named(store: dist.Store) -> None:
    with pytest.raises(DistributedError, match=r"process 1 and process 2 of 3 did not come within 0.1 s"):
        arrive(store, 0, 3, 0.1)
    with pytest.raises(DistributedError, match=r"process 1 of 3 waited 0.1 s for process 0 to come"):
        arrive(store, 1, 3, 0.1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heart, "BEAT", 0.02)
    monkeypatch.setattr(heart, "LOOK", 0.5)


@pytest.fixture
def beating(store: dist.Store, quick: None) -> Iterator[Heart]:
    alive = Heart(store, 1)
    yield alive
    alive.stop()


def test_a_stopped_heart_is_found_silent(store: dist.Store, beating: Heart) -> None:
    stopped = Heart(store, 2)
    stopped.stop()
    time.sleep(0.1)  # a last beat may be on its way
    assert silent_ranks(store, [1, 2]) == [2]


def group(store: dist.Store, rank: int, timeout: float) -> Group:
    made = Group(Place(rank, 2, rank, 2, "", 0, "job"), store)
    made.timeout = timeout
    return made


def test_a_process_waits_for_one_that_lives_and_not_for_one_that_is_gone(
    store: dist.Store, quick: None
) -> None:
    first, second = group(store, 0, 5.0), group(store, 1, 0.3)
    told: list[object] = []
    waiting = threading.Thread(target=lambda: told.append(second.decided(lambda: 1 / 0)))
    waiting.start()
    time.sleep(1.0)  # more than the time limit, but the first one gives signs of life
    assert first.decided(lambda: {"epochs": 3}) == {"epochs": 3}
    waiting.join()
    assert told == [{"epochs": 3}], "what the first one decided; the second one's own was not asked for"
    first.leave()
    time.sleep(0.1)
    with pytest.raises(
        DistributedError, match=r"process 1 of 2 waited 0.3 s for process 0, which gives no sign of"
    ):
        second.decided(lambda: None)
    second.leave()


def test_a_mistake_of_the_first_ends_the_others_and_is_told_once(store: dist.Store, quick: None) -> None:
    first, second = group(store, 0, 5.0), group(store, 1, 5.0)

    def wrong() -> None:
        raise InputError("no such folder")

    with pytest.raises(InputError) as mine:
        first.decided(wrong)
    with pytest.raises(OtherProcessError, match="process 0 could not go on, and has said why") as its:
        second.decided(wrong)
    assert first.tells(mine.value)
    assert not second.tells(its.value)
    assert not second.tells(InputError("no such folder")), "the lower one has told it"


def test_work_is_done_first_by_one_of_a_machine(store: dist.Store, quick: None) -> None:
    first, second = group(store, 0, 5.0), group(store, 1, 5.0)
    done: list[int] = []
    other = threading.Thread(target=lambda: second.in_turn(lambda: done.append(1)))
    other.start()
    time.sleep(0.2)
    assert done == []
    first.in_turn(lambda: done.append(0))
    other.join()
    assert done == [0, 1]
    first.leave()
    second.leave()


def test_a_process_alone_asks_nobody() -> None:
    alone = Group()
    assert alone.alone
    assert alone.first
    assert alone.decided(lambda: 3) == alone.agreed(3) == alone.in_turn(lambda: 3) == 3
    alone.meet()
    assert alone.silent() == []
    assert alone.explained(RuntimeError("Connection closed by peer")) is None
    left_over = Group(Place(0, 1, 0, 1, "", 0, "job", 2))
    assert left_over.alone
    assert (left_over.job, left_over.restart) == ("job", 2), "the one that is left finds its job's run"


def test_what_gloo_says_is_told_with_who_is_missing(store: dist.Store, quick: None) -> None:
    own = group(store, 0, 7.0)
    gone = group(store, 1, 7.0)
    gone.leave()
    time.sleep(0.1)
    lost = own.explained(
        RuntimeError("[/x/gloo/transport/tcp/pair.cc:561] Connection closed by peer [::1]:1. This is typical")
    )
    assert str(lost) == (
        "process 0 of 2 lost the others: process 1 gives no sign of life: killed, suspended or cut off. "
        "Connection closed by peer [::1]:1"
    )
    late = own.explained(
        RuntimeError("[/x/gloo/y.cc:78] Timed out waiting 7000ms for recv operation to complete")
    )
    assert "got no answer within 7 s (--set distributed.timeout=N): process 1 gives no sign of life" in str(
        late
    )
    assert own.explained(RuntimeError("size mismatch for fc.weight")) is None
    own.leave()
