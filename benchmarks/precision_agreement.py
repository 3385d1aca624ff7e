"""Does the fast path learn what plain fp32 learns? Loss by epoch and final accuracy in fp32 and in bf16, over seeds.

    .venv/bin/python benchmarks/precision_agreement.py cifar10-jpeg.tar --epochs 3 --seeds 0 1 2 --out runs/agreement

Recipe `fast`, quick-resnet8, one thread a run, over the cores; a run that is done is kept in --out. fp32 with
PyTorch's own operations (no compiled kernel) against bf16 with ours, from the same weights on the same batches. Prints
the losses, and whether the mean accuracies differ by more than the seeds do.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from statistics import mean
from typing import Any

from skipline.data import open_source
from skipline.training import Plan, changed, named_recipe, start_run
from skipline.training.jobs import Job, run_jobs


def train(source: str, precision: str, seed: int, epochs: int, folder: str) -> dict[str, Any]:
    os.environ["SKIPLINE_KERNELS"] = "0" if precision == "fp32" else "1"  # read before the library is loaded
    recipe = changed(named_recipe("fast"), [f"precision={precision}", "minutes=none"], epochs=epochs)
    plan = Plan(source=source, model="quick-resnet8", recipe=recipe, seed=seed, threads=1)
    result = start_run(plan, Path(folder), open_source(source), overwrite=True)
    assert result.test is not None
    lines = (Path(folder) / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    losses = [event["train"]["loss"] for event in events if event["kind"] == "epoch"]
    return {"test": result.test.top1, "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/agreement"))
    given = parser.parse_args()
    source = str(Path(given.source).resolve()) if Path(given.source).exists() else given.source
    jobs = []
    for seed in given.seeds:
        for precision in ("fp32", "bf16"):
            key = f"{precision}-seed{seed}"
            shared = {"source": source, "precision": precision, "seed": seed, "epochs": given.epochs}
            folder = str((given.out / "runs" / key).resolve())
            jobs.append(Job(key, train, {**shared, "folder": folder}))
    results = run_jobs(jobs, given.out / "jobs", processes=max(2, os.cpu_count() or 2))
    found = {kind: [results[f"{kind}-seed{seed}"] for seed in given.seeds] for kind in ("fp32", "bf16")}
    for kind, runs in found.items():
        for seed, run in zip(given.seeds, runs, strict=True):
            losses = "  ".join(f"{loss:.4f}" for loss in run["losses"])
            print(f"{kind}  seed {seed}  loss by epoch {losses}  test {run['test']:.2%}")
    pairs = zip(found["fp32"], found["bf16"], strict=True)
    apart = max(
        abs(a / b - 1) for one, other in pairs for a, b in zip(one["losses"], other["losses"], strict=True)
    )
    accuracies = {kind: [run["test"] for run in runs] for kind, runs in found.items()}
    difference = mean(accuracies["bf16"]) - mean(accuracies["fp32"])
    spread = max(max(values) - min(values) for values in accuracies.values())
    verdict = "within" if abs(difference) <= spread else "BEYOND"
    print(
        f"largest difference of an epoch's loss {apart:.2%}; accuracy bf16 - fp32 {difference:+.2%}, {verdict} the "
        f"spread of the seeds {spread:.2%}"
    )


if __name__ == "__main__":
    main()
