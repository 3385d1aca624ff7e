"""Networks for series and their plain twins on a file of series, several seeds: the figures of docs/arrays.md.

Command   .venv/bin/python benchmarks/series_accuracy.py SOURCE [--models resnet20-1d resnet56-1d] [--seeds 0 1 2]
Data      whatever SOURCE is, such as what benchmarks/make_series.py writes; the recipe is the default one, `arrays`
Prints    machine first; one line a run, then mean and range over the seeds.
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
    parser.add_argument("source")
    parser.add_argument("--models", nargs="+", default=["resnet20-1d", "resnet56-1d"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    lines = []
    for model in arguments.models:
        scores: dict[str, list[tuple[float, float, float]]] = {}
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as scratch:
                result = api.train(
                    arguments.source,
                    model,
                    epochs=arguments.epochs,
                    seed=seed,
                    out=Path(scratch) / "run",
                    settings=arguments.settings,
                    twin=True,
                )
            for name, run in ((model, result.run), (f"{model}, plain", result.twin)):
                assert run is not None
                assert run.train is not None
                assert run.test is not None
                scores.setdefault(name, []).append((run.train.top1, run.test.top1, run.seconds))
                figures = f"train {run.train.top1:.4f}  test {run.test.top1:.4f}  {run.seconds:.1f} s"
                print(f"seed {seed}  {name:<20} {figures}", flush=True)
        for name, values in scores.items():
            train, test, seconds = zip(*values, strict=True)
            lines.append(
                f"{name:<20} train mean {mean(train):.4f} [{min(train):.4f}, {max(train):.4f}]  "
                f"test mean {mean(test):.4f} [{min(test):.4f}, {max(test):.4f}]  {mean(seconds):.1f} s a run"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
