"""Work over the cores: kept when done, run again only where something changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.errors import RunError
from skipline.training.jobs import Job, run_jobs


def square(number: int, diary: str) -> dict[str, Any]:
    with Path(diary).open("a") as file:
        file.write(f"{number}\n")
    return {"square": number * number, "threads": torch.get_num_threads(), "pair": (1, 2)}


def fail(number: int) -> dict[str, Any]:
    raise RunError(f"job {number} failed")


def jobs(diary: Path, *numbers: int) -> list[Job]:
    return [Job(f"n{number}", square, {"number": number, "diary": str(diary)}) for number in numbers]


def test_results_come_in_the_order_of_the_jobs_and_are_kept(tmp_path: Path) -> None:
    diary, seen = tmp_path / "diary", []
    wanted = jobs(diary, 3, 1, 2)
    first = run_jobs(
        wanted, tmp_path / "jobs", processes=1, progress=lambda what, done, total: seen.append((done, total))
    )
    assert [(key, result["square"]) for key, result in first.items()] == [("n3", 9), ("n1", 1), ("n2", 4)]
    assert first["n3"]["threads"] == 1
    assert first["n3"]["pair"] == [1, 2], "as a later call reads it from its file"
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert run_jobs(wanted, tmp_path / "jobs", processes=1) == first
    assert diary.read_text().split() == ["3", "1", "2"], "nothing ran twice"


def test_other_arguments_and_damaged_files_are_run_again(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    run_jobs(jobs(diary, 1, 2), tmp_path / "jobs", processes=1)
    (tmp_path / "jobs" / "n1.json").write_text('{"finger')
    changed = [Job("n2", square, {"number": 5, "diary": str(diary)})]
    results = run_jobs([*jobs(diary, 1), *changed], tmp_path / "jobs", processes=1)
    assert (results["n1"]["square"], results["n2"]["square"]) == (1, 25)
    assert diary.read_text().split() == ["1", "2", "1", "5"]


def test_a_failing_job_raises_its_own_error_and_finished_ones_are_kept(tmp_path: Path) -> None:
    wanted = [*jobs(tmp_path / "diary", 1), Job("bad", fail, {"number": 7})]
    with pytest.raises(RunError, match="job 7 failed"):
        run_jobs(wanted, tmp_path / "jobs", processes=1)
    assert json.loads((tmp_path / "jobs" / "n1.json").read_text())["result"]["square"] == 1


SLEEPER = """
import os, sys, time
from pathlib import Path

def sleep(folder, name):
    Path(folder, name).write_text(str(os.getpid()))
    time.sleep(60)
    return {}
"""

MAIN = """
import sys
from pathlib import Path
import sleeper
from skipline.training.jobs import Job, run_jobs

if __name__ == "__main__":
    folder = sys.argv[1]
    jobs = [Job(name, sleeper.sleep, {"folder": folder, "name": name}) for name in ("a", "b")]
    run_jobs(jobs, Path(folder) / "jobs", processes=2)
"""


def test_workers_end_when_the_process_that_waits_for_them_is_killed(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    (tmp_path / "main.py").write_text(MAIN)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "main.py"), str(tmp_path)], cwd=tmp_path)
    try:
        workers = [int(_wait_for(tmp_path / name)) for name in ("a", "b")]
    finally:
        parent.kill()
        parent.wait()
    assert all(_ends(pid) for pid in workers), "a worker went on for nobody"


def _wait_for(path: Path) -> str:
    for _ in range(1200):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.1)
    pytest.fail(f"{path.name} never came")


def _ends(pid: int) -> bool:
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True  # dead, and not yet collected
        time.sleep(0.1)
    return False
