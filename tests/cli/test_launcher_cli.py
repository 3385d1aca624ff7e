"""`--launcher`: what is refused before anything is begun, and what its processes do not begin again."""

from __future__ import annotations

import sys

import pytest
from command_line import Run

from skipline.cli import processes

COMMANDS = (("train", "digits"), ("upscale", "train"))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_launcher_is_answered_with_the_nearest(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command, "--nproc", 2, "--launcher", "torch-run")
    assert result.status == 2
    assert result.err == "skipline: no launcher is called 'torch-run'. Did you mean torchrun?\n"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("launcher", processes.LAUNCHERS)
def test_a_launcher_needs_a_number_of_processes(run: Run, command: tuple[str, ...], launcher: str) -> None:
    result = run(*command, "--launcher", launcher)
    assert result.status == 2
    assert result.err == f"skipline: --launcher {launcher} needs --nproc N, the number of processes\n"


def test_impossible_numbers_are_refused(run: Run) -> None:
    result = run("train", "digits", "--launcher", "ray", "--nproc", 0)
    assert result.status == 2
    assert result.err == "skipline: --nproc must be at least 1 and --restarts at least 0, got 0 and 10\n"
    result = run("train", "digits", "--launcher", "ray", "--nproc", 2, "--threads", 0)
    assert result.status == 2
    assert result.err == "skipline: --threads must be at least 1, got 0\n"


def test_without_ray_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("train", "digits", "--nproc", 1, "--launcher", "ray")
    assert result.status == 1
    assert result.err == (
        "skipline: --launcher ray needs ray[train], which is not installed: pip install 'skipline[ray]'\n"
    )


@pytest.mark.parametrize(
    ("count", "launcher", "begun_by_another"),
    [(None, None, False), (1, None, False), (1, "torchrun", False), (1, "ray", True), (2, "ray", True)],
)
def test_this_process_does_the_work(
    count: int | None, launcher: str | None, begun_by_another: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if begun_by_another:
        monkeypatch.setenv(processes.OUTCOME, "a-file")
    assert processes.run_in_processes(count, 10, launcher, None) is None


@pytest.mark.parametrize(
    ("count", "launcher", "by"), [(2, None, "torchrun"), (2, "torchrun", "torchrun"), (1, "ray", "ray")]
)
def test_others_do_the_work(
    count: int, launcher: str | None, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(processes, "_by_torchrun", lambda *given: begun.append("torchrun") or 130)
    monkeypatch.setattr(processes, "_on_ray", lambda *given: begun.append("ray") or 130)
    assert processes.run_in_processes(count, 10, launcher, None) == 130
    assert begun == [by]


def test_an_address_from_outside_the_cluster_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray.train", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "ray://host:10001")
    result = run("train", "digits", "--nproc", 2, "--launcher", "ray")
    assert result.status == 2
    assert result.err == (
        "skipline: RAY_ADDRESS is 'ray://host:10001': expected HOST:PORT of a cluster that this machine belongs to, "
        "such as 10.0.0.1:6379. From elsewhere submit the command: ray job submit -- skipline train ...\n"
    )
