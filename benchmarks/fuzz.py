"""Damaged files for every parser: none may end in anything but a result or an error of skipline's own.

Command   make fuzz      (or: python benchmarks/fuzz.py [--inputs 100000] [--target NAME ...] [--seed 0])
Prints    per parser: inputs, how many were read and how many refused, inputs a second, growth of the peak memory, and
          every other exception with the file that holds its input (in fuzz-failures/). Ends with 1 if there was one.

The parsers, their valid files and the ways to damage them are those of tests/fuzz_targets.py. With atheris installed
(`make fuzz` does so where it can), half of the inputs are its own, guided by the coverage of skipline's code; without
it all are drawn at random, and the output says so. Each parser runs in a process of its own whose address space may
grow by at most 4 GiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
FAILURES = Path("fuzz-failures")
MEMORY = Path("/dev/shm")  # where there is one, inputs need not go to a disk
SHOW_EVERY = 50  # pages are slow to make
MOST_GROWTH = 4 * 2**30  # bytes
LONGEST = 2**17  # bytes of an input
NAMES = (
    *(
        "bundle.json",
        "weights.safetensors",
        "weights.pt",
        "last.ckpt",
        "recipe.toml",
        "run.toml",
        "photos.tar",
    ),
    *(
        "photos.tar.gz",
        "photos.parquet",
        "image",
        "events.jsonl",
        "evaluation.json",
        "study.json",
        "diagnosis.json",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="of each parser")
    parser.add_argument("--target", action="append", choices=NAMES, help="all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        Worker(arguments.worker, arguments.inputs, arguments.seed).run()
        return
    print(f"{mutator()}; {arguments.inputs:,} inputs a parser, seed {arguments.seed}")
    print(
        f"{'parser':<20} {'inputs':>9} {'read':>8} {'refused':>8} {'other':>6} {'a second':>9} {'memory':>9}",
        flush=True,
    )
    failed = [
        name for name in arguments.target or NAMES if not fuzzed(name, arguments.inputs, arguments.seed)
    ]
    if failed:
        print(f"failed: {', '.join(failed)}; inputs and tracebacks are in {FAILURES}/")
        sys.exit(1)
    print("no exception but skipline's own")


def mutator() -> str:
    with suppress(ImportError):
        import atheris

        return f"atheris {getattr(atheris, '__version__', '')}".strip()
    return "atheris is not installed (make fuzz): random mutations without guidance by coverage"


def fuzzed(name: str, inputs: int, seed: int) -> bool:
    """Run one parser in a process of its own and print its row; whether nothing else was raised."""
    command = [sys.executable, __file__, "--worker", name, "--inputs", str(inputs), "--seed", str(seed)]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        home = {"SKIPLINE_HOME": str(Path(scratch) / "home"), "FUZZ_SCRATCH": scratch, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, env={**os.environ, **home}, capture_output=True, text=True, errors="replace"
        )
        summary = Path(scratch) / "summary.json"
        row = json.loads(summary.read_text()) if summary.exists() else {}
    others = len(row.get("failures", []))
    crashed = done.returncode != 0 or row.get("inputs", 0) < inputs
    memory = f"{row.get('growth', 0) / 2**20:,.0f} MiB"
    print(
        f"{name:<20} {row.get('inputs', 0):>9,} {row.get('read', 0):>8,} {row.get('refused', 0):>8,} "
        f"{others:>6} {row.get('inputs', 0) / row.get('seconds', 1):>9,.0f} {memory:>9}",
        flush=True,
    )
    for failure in row.get("failures", []):
        print(f"    {failure}")
    if crashed:
        FAILURES.mkdir(exist_ok=True)
        (FAILURES / f"{name}.log").write_text(done.stdout + done.stderr)
        print(f"    the process ended with {done.returncode}; its output is in {FAILURES / f'{name}.log'}")
    return not others and not crashed


class Worker:
    """Feeds one parser.

    Args:
        name: of the target.
        inputs: how many.
        seed: of the random edits.
    """

    def __init__(self, name: str, inputs: int, seed: int) -> None:
        self.name, self.inputs, self.random = name, inputs, random.Random(seed)
        self.scratch = Path(os.environ["FUZZ_SCRATCH"])
        self.folder = self.scratch / "files"
        self.folder.mkdir()
        self.counts = {"inputs": 0, "read": 0, "refused": 0}
        self.failures: dict[str, str] = {}  # where it was raised -> a line for people

    def run(self) -> None:
        """Feed until the number of inputs is reached."""
        sys.path.insert(0, str(TESTS))
        try:
            import atheris
        except ImportError:
            self._load()
            while self.counts["inputs"] < self.inputs:
                self.feed(self.damaged(self.random.choice(self.seeds)))
            self._save()
            return
        with atheris.instrument_imports(include=["skipline"]):
            self._load()
        corpus = self.scratch / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(self.seeds):
            (corpus / str(number)).write_bytes(seed)

        def mutate(data: bytes, longest: int, seed: int) -> bytes:
            self.random.seed(seed)
            return self.damaged(data)[:longest] if seed % 2 else atheris.Mutate(data, longest)

        options = [
            f"-runs={self.inputs}",
            f"-max_len={LONGEST}",
            "-rss_limit_mb=0",
            "-timeout=120",
            str(corpus),
        ]
        atheris.Setup([sys.argv[0], *options], self.feed, custom_mutator=mutate)
        atheris.Fuzz()

    def _load(self) -> None:
        import resource

        import fuzz_targets
        from skipline.errors import SkiplineError

        self._own: type[Exception] = SkiplineError
        self._tools: Any = fuzz_targets
        self.target = next(target for target in fuzz_targets.TARGETS if target.name == self.name)
        self.seeds = self.target.seeds()
        for seed in self.seeds:
            self.target.parse(seed, self.folder)
        self._peak: Callable[[], int] = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._before, self._started = self._peak(), time.monotonic()
        pages = (
            int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        )
        if pages:
            limit = pages * resource.getpagesize() + MOST_GROWTH
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def damaged(self, data: bytes) -> bytes:
        """A file with one to four edits."""
        draw = self.random
        edits = [
            (
                draw.choice(self._tools.KINDS),
                draw.random(),
                draw.randint(1, 64),
                draw.choice(self._tools.TOKENS),
            )
            for _ in range(draw.randint(1, 4))
        ]
        return bytes(self._tools.damaged(data, edits))

    def feed(self, data: bytes) -> None:
        """One input."""
        self.counts["inputs"] += 1
        try:
            found = self.target.parse(data, self.folder)
            self.counts["read"] += 1
            if self.target.show is not None and self.counts["read"] % SHOW_EVERY == 0:
                self.target.show(found)
        except self._own:
            self.counts["refused"] += 1
        except Exception as error:
            self._keep(data, error)
        if self.counts["inputs"] % 1000 == 0 or self.counts["inputs"] == self.inputs:
            self._save()

    def _keep(self, data: bytes, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        if place in self.failures or len(self.failures) >= 20:
            return
        FAILURES.mkdir(exist_ok=True)
        file = FAILURES / f"{self.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        file.write_bytes(data)
        file.with_name(f"{file.name}.txt").write_text(traceback.format_exc(), errors="backslashreplace")
        self.failures[place] = f"{place}: {str(error)[:120]!r} ({file})"
        self._save()

    def _save(self) -> None:
        row = {
            **self.counts,
            "failures": list(self.failures.values()),
            "seconds": max(0.001, time.monotonic() - self._started),
            "growth": self._peak() - self._before,
        }
        (self.scratch / "summary.json").write_text(json.dumps(row))


if __name__ == "__main__":
    main()
