"""What each part of recipe `fast` is worth for a residual network: the recipe, and the recipe without one part.

    .venv/bin/python benchmarks/quick_ablation.py cifar10-jpeg.tar --epochs 3 --seeds 0 --out runs/quick-ablation
        [--precision bf16, for processors that compute in it]

One run a row and seed, one thread each, over the cores; a run that is done is kept in --out, so the same command goes
on where it was cut off. Accuracies do not depend on how busy the machine is; the processor time a run takes is printed
beside them. Prints a table and writes it to --out/ablation.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from skipline.data import open_source
from skipline.studies.arm import subset
from skipline.training import Plan, changed, named_recipe, start_run
from skipline.training.jobs import Job, run_jobs

# Name: network, options, changes of the recipe.
ROWS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "recipe fast, quick-resnet8": ("quick-resnet8", {}, []),
    "without shortcuts": ("quick-resnet8", {"shortcut": "none"}, []),
    "first layer learnt instead of whitening": ("quick-resnet8", {}, ["whiten=false"]),
    "BN biases at the common rate": ("quick-resnet8", {}, ["optimizer.norm_bias_rate=1"]),
    "no lookahead": ("quick-resnet8", {}, ["lookahead=false"]),
    "no label smoothing": ("quick-resnet8", {}, ["label_smoothing=0"]),
    "all epochs at 32 x 32": ("quick-resnet8", {}, ["input.sides=[]"]),
    "resnet20 with the recipe": ("resnet20", {}, []),
    "resnet20, rate 0.2, batch 128, no smoothing, no lookahead": (
        "resnet20",
        {},
        [
            *(
                "batch_size=128",
                "optimizer.lr=0.2",
                "optimizer.momentum=0.9",
                "optimizer.weight_decay=0.0005",
            ),
            *("optimizer.norm_bias_rate=1", "label_smoothing=0", "lookahead=false", "schedule.peak_at=0.25"),
            *("schedule.start=0.05", "schedule.final=0", "augmentation.pad_crop=4"),
        ],
    ),
}


def train(
    source: str, row: str, seed: int, epochs: int, images: int | None, precision: str, folder: str
) -> dict[str, Any]:
    model, options, settings = ROWS[row]
    recipe = changed(
        named_recipe("fast"),
        [*settings, f"precision={precision}", "minutes=none", "tta=flip-shift"],
        epochs=epochs,
    )
    plan = Plan(source=source, model=model, options=options, recipe=recipe, seed=seed, threads=1)
    dataset = open_source(source)
    if images is not None:
        dataset = replace(dataset, train=subset(dataset.train, images), test=subset(dataset.test, images))
    begun = time.process_time()
    result = start_run(plan, Path(folder), dataset, overwrite=True)
    assert result.test is not None
    evaluation = json.loads((Path(folder) / "evaluation.json").read_text())
    return {
        "test": result.test.top1,
        "tta": evaluation["tta"]["top1"],
        "cpu_seconds": time.process_time() - begun,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--images", type=int, help="at most so many, for a quick look")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--out", type=Path, default=Path("runs/quick-ablation"))
    given = parser.parse_args()
    source = str(Path(given.source).resolve()) if Path(given.source).exists() else given.source
    jobs = []
    for seed in given.seeds:
        for number, row in enumerate(ROWS):
            key = f"row{number}-seed{seed}"
            shared = {
                "source": source,
                "epochs": given.epochs,
                "images": given.images,
                "precision": given.precision,
            }
            folder = str((given.out / "runs" / key).resolve())
            jobs.append(Job(key, train, {**shared, "row": row, "seed": seed, "folder": folder}))
    results = run_jobs(jobs, given.out / "jobs")
    table = []
    for number, row in enumerate(ROWS):
        cells = [results[f"row{number}-seed{seed}"] for seed in given.seeds]
        table.append(
            {"row": row, **{key: mean(cell[key] for cell in cells) for key in ("test", "tta", "cpu_seconds")}}
        )
        last = table[-1]
        print(
            f"{row:60s} test {last['test']:6.1%}  six views {last['tta']:6.1%}  {last['cpu_seconds']:5.0f} s"
        )
    values = {"epochs": given.epochs, "precision": given.precision, "seeds": given.seeds, "rows": table}
    (given.out / "ablation.json").write_text(json.dumps(values, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
