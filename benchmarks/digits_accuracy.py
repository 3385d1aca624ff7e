"""Test accuracy of resnet56 and its plain twin on scikit-learn's digits, three seeds: the figures of `make demo`.

Command   .venv/bin/python benchmarks/digits_accuracy.py [--seeds 0 1 2]
Data      1,437 training and 360 test images of 8 x 8 (the same split for every seed)
Prints    one line a seed, then mean and range; machine and precision first.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean

from skipline import api
from skipline.machine import describe_machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", default="resnet56")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--no-twin", action="store_true")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    rows: dict[str, list[tuple[float, float, float]]] = {"residual": [], "plain": []}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in arguments.seeds:
            result = api.train(
                "digits",
                arguments.model,
                epochs=None,
                seed=seed,
                out=Path(scratch) / str(seed),
                settings=arguments.settings,
                twin=not arguments.no_twin,
            )
            for kind, run in (("residual", result.run), ("plain", result.twin)):
                if run is not None and run.train is not None and run.test is not None:
                    rows[kind].append((run.train.top1, run.test.top1, run.seconds))
                    scores = f"train {run.train.top1:.4f}  test {run.test.top1:.4f}"
                    print(f"seed {seed}  {kind:<9} {scores}  {run.seconds:.1f} s", flush=True)
    for kind, values in rows.items():
        if values:
            train, test, seconds = zip(*values, strict=True)
            print(
                f"{kind:<9} train mean {mean(train):.4f} [{min(train):.4f}, {max(train):.4f}]  "
                f"test mean {mean(test):.4f} [{min(test):.4f}, {max(test):.4f}]  {mean(seconds):.1f} s a run"
            )


if __name__ == "__main__":
    main()
