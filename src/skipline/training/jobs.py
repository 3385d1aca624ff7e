"""Many independent pieces of work over the cores, each kept when it is done, so that what was cut off goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from skipline.data import Progress, silent
from skipline.machine import available_cores
from skipline.storage import write_atomically
from skipline.training.distributed.parent import end_with

GRACE = 10.0
"""Seconds that a stopped worker has to save its state: a second signal at once would cost it what it has done since
its last checkpoint. In the end it is killed, since it may wait for ever for a lock of the pool's queue that another
worker held when it ended."""


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        key: unique among the jobs of a folder, and fit to be a file name, such as "resnet20-lr0.1-seed0".
        function: of a module's top level, since another process imports it by name; returns JSON values.
        arguments: for the function, by name; JSON values, since they decide whether a kept result is still this
            job's.
    """

    key: str
    function: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over function and arguments."""
        text = json.dumps(
            [self.function.__module__, self.function.__qualname__, dict(self.arguments)], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    *,
    processes: int | None = None,
    threads: int = 1,
    progress: Progress = silent,
    what: str = "jobs",
) -> dict[str, dict[str, Any]]:
    """Run jobs, or read what an earlier call with the same jobs has kept.

    Each process computes on one thread unless told otherwise: for small networks two processes of one thread do more
    than one of two, and with one thread the results do not depend on how many processes there are.

    Args:
        jobs: with different keys; begun in this order, so put the longest first.
        folder: results are kept in it, one KEY.json a job; created where missing.
        processes: at once; None takes one a core. With 1 the jobs run in this process.
        threads: of PyTorch in each.
        progress: shows how many are done.
        what: how to call them there.

    Returns:
        The results by key, in the order of the jobs.

    Raises:
        SkiplineError: a job's own; results of finished jobs are kept, so the same call goes on from there.
        KeyboardInterrupt: likewise.
    """
    assert len({job.key for job in jobs}) == len(jobs), "two jobs have the same key"
    folder.mkdir(parents=True, exist_ok=True)
    results = {job.key: kept for job in jobs if (kept := _kept(job, folder)) is not None}
    open_jobs = [job for job in jobs if job.key not in results]
    count = min(processes or available_cores(), len(open_jobs))
    done = len(results)
    if count <= 1:
        for job in open_jobs:
            progress(what, done, len(jobs))
            results[job.key] = _finish(job, folder, _on_threads(threads, job.function, dict(job.arguments)))
            done += 1
    else:
        # Spawned, not forked: a forked process inherits torch's thread pool in a state that can hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            count, mp_context=context, initializer=end_with, initargs=(os.getpid(),)
        ) as pool:
            running: dict[Future[dict[str, Any]], Job] = {
                pool.submit(_in_worker, threads, job.function, dict(job.arguments)): job for job in open_jobs
            }
            try:
                while running:
                    progress(what, done, len(jobs))
                    finished, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                    # The error of a job comes before the interrupt of those that it has stopped.
                    for future in sorted(
                        finished, key=lambda f: isinstance(f.exception(), KeyboardInterrupt)
                    ):
                        job = running.pop(future)
                        results[job.key] = _finish(job, folder, future.result())
                        done += 1
            except BaseException as error:
                # Nobody waits for what is running: neither after Ctrl-C nor when another job has failed.
                workers = list((pool._processes or {}).values())
                pool.shutdown(wait=False, cancel_futures=True)
                if isinstance(error, KeyboardInterrupt):  # a terminal has told the workers as well
                    _await(workers)
                for worker in workers:
                    worker.terminate()
                _await(workers)
                for worker in workers:
                    worker.kill()
                raise
    progress(what, len(jobs), len(jobs))
    return {job.key: results[job.key] for job in jobs}


def _await(workers: Sequence[BaseProcess]) -> None:
    deadline = time.monotonic() + GRACE
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))


_stopped = False


def _in_worker(
    threads: int, function: Callable[..., dict[str, Any]], arguments: dict[str, Any]
) -> dict[str, Any]:
    """A worker whose job was interrupted or failed begins no other: the pool hands out one ahead for good."""
    global _stopped
    if _stopped:
        raise KeyboardInterrupt
    try:
        return _on_threads(threads, function, arguments)
    except BaseException:
        _stopped = True
        raise


def _on_threads(
    threads: int, function: Callable[..., dict[str, Any]], arguments: dict[str, Any]
) -> dict[str, Any]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return function(**arguments)
    finally:
        torch.set_num_threads(before)


def _kept(job: Job, folder: Path) -> dict[str, Any] | None:
    path = folder / f"{job.key}.json"
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["fingerprint"] != job.fingerprint:
            return None
        result: dict[str, Any] = kept["result"]
    except (ValueError, KeyError, TypeError):
        return None  # cut off or edited by hand: it is run again
    return result


def _finish(job: Job, folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps({"fingerprint": job.fingerprint, "result": result}, ensure_ascii=False, indent=1)
    write_atomically(folder / f"{job.key}.json", lambda file: file.write(text.encode()))
    # What is read back later must be what is used now: JSON turns tuples into lists and keys into texts.
    same: dict[str, Any] = json.loads(text)["result"]
    return same
