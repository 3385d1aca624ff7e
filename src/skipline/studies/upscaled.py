"""Networks that enlarge photos, trained in the jobs of a study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from skipline.errors import InputError
from skipline.report.panels import ImagesPanel, Picture
from skipline.studies.study import Arm, Context
from skipline.training import Plan, Recipe
from skipline.training.jobs import Job
from skipline.training.recipe import Optimizer, Schedule, Upscaling
from skipline.upscaling import resume_upscaling, start_upscaling
from skipline.upscaling.report_pictures import AMPLIFIED, KINDS
from skipline.upscaling.run import FIGURES, UpscaleRun

SCALE = 2
EPOCHS = 10  # points of the curve
PATCH, BATCH = 36, 8
RATE = 5e-4
QUICK_STEPS, FULL_STEPS = 100, 2000

Result = dict[str, Any]


def steps_of(context: Context) -> int:
    """Steps of every arm; `epochs`, if given, counts tenths of the quick budget's."""
    if context.epochs is not None:
        return context.epochs * (QUICK_STEPS // EPOCHS)
    return QUICK_STEPS if context.budget == "quick" else FULL_STEPS


def arm_job(context: Context, key: str, seed: int, model: str, *, global_residual: bool, steps: int) -> Job:
    """One network to be trained.

    Args:
        context: of the study.
        key: of the job, without its seed.
        seed: of weights, patches and the split of the photos.
        model: a name from `skipline.models.upscaling`.
        global_residual: whether its output is added to bicubic enlargement.
        steps: at least 1; rounded up to as many for each point of the curve.
    """
    if context.depths is not None:
        raise InputError("this study compares whole networks: leave --depths out")
    arguments = {
        "folder": str(context.folder / "runs" / f"{key}-seed{seed}"),
        "source": context.source,
        "data_root": context.data_root,
        "seed": seed,
        "model": model,
        "global_residual": global_residual,
        "steps": steps,
    }
    return Job(f"{key}-seed{seed}", train_arm, arguments)


def train_arm(
    folder: str,
    source: str,
    data_root: str | None,
    seed: int,
    model: str,
    global_residual: bool,
    steps: int,
) -> Result:
    """Train one network, or go on with it, and read what it reached.

    Returns:
        psnr, ssim, bicubic_psnr: means over the test photos, on luma. steps, curve: PSNR on tiles of the test photos,
        all channels; bicubic: of bicubic enlargement, likewise. params, macs, seconds; pictures: see `save_pictures`.
    """
    points = min(EPOCHS, steps)
    recipe = Recipe(
        name="study",
        epochs=points,
        batch_size=BATCH,
        optimizer=Optimizer(kind="adam", lr=RATE, weight_decay=0.0),
        schedule=Schedule(kind="cosine", final=0.02),
        precision="fp32",
        checkpoint_every=200,
        upscaling=Upscaling(patch=PATCH, steps_per_epoch=-(-steps // points)),
    )
    plan = Plan(
        source=source,
        model=model,
        recipe=recipe,
        options={"scale": SCALE, "global_residual": global_residual},
        seed=seed,
        threads=torch.get_num_threads(),
        data_root=data_root,
        execution={"channels_last": True},  # nothing is measured: arms must compute alike
    )
    place = Path(folder)
    run = resume_upscaling(place) if (place / "recipe.toml").exists() else start_upscaling(plan, place)
    return _reached(run)


def _reached(run: UpscaleRun) -> Result:
    if run.result is None:
        raise KeyboardInterrupt
    lines = (run.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    start = next(event for event in events if event["kind"] == "start")
    epochs = {event["epoch"]: event for event in events if event["kind"] == "epoch"}
    mean = run.result.mean
    shown = json.loads((run.folder / FIGURES).read_text(encoding="utf-8"))["pictures"]
    return {
        "psnr": mean["psnr"],
        "ssim": mean["ssim"],
        "bicubic_psnr": mean["bicubic_psnr"],
        "steps": [event["step"] for _, event in sorted(epochs.items())],
        "curve": [event["test"]["psnr"] for _, event in sorted(epochs.items())],
        "bicubic": start["bicubic"],
        "params": start["params"],
        "macs": start["macs"],
        "seconds": run.seconds,
        "pictures": shown,
    }


def arm(name: str, description: str, results: Sequence[Result]) -> Arm:
    """A network over its seeds."""
    return Arm(
        name=name,
        description=description,
        results={
            "PSNR, dB": [result["psnr"] for result in results],
            "above bicubic, dB": [result["psnr"] - result["bicubic_psnr"] for result in results],
            "SSIM": [result["ssim"] for result in results],
            "seconds": [result["seconds"] for result in results],
        },
        params=results[0]["params"],
        macs=results[0]["macs"],
    )


def above_bicubic(result: Result) -> list[float]:
    """The curve of a network less that of bicubic enlargement: held-out photos differ far more than networks."""
    return [value - result["bicubic"] for value in result["curve"]]


def pictures_panel(run: str, result: Result) -> ImagesPanel:
    """Bicubic, residual, sum and truth of one network's test photos.

    Args:
        run: folder of the run below that of the study.
        result: of its job.
    """
    rows = tuple(
        (
            f"{shown['file']}, {shown['gain']:+.2f} dB",
            tuple(Picture(file=f"{run}/{shown['pictures'][kind]}", caption=kind) for kind in KINDS),
        )
        for shown in result["pictures"]
    )
    return ImagesPanel(
        title="What is learnt",
        explanation=(
            "Part of a test photo: enlarged by bicubic, what the network adds to it "
            f"({AMPLIFIED} times as strong around grey), the sum, and the truth.",
            "What is added is nothing where the photo is flat, and follows edges elsewhere.",
        ),
        rows=rows,
    )


def limits(context: Context, steps: int) -> list[str]:
    """What every such study should be read with."""
    notes = [
        f"x{SCALE}, {steps:,} steps of {BATCH} patches of {PATCH} x {PATCH} pixels, Adam at {RATE:g} falling by a "
        "cosine: a fraction of what papers train for. Figures are far below theirs, and what holds here may end later.",
        "A seed decides weights, patches and which photos are held out; differences are paired by seed.",
    ]
    if len(context.seeds) < 2:
        notes.append(
            "One seed: nothing is decided, since another one may differ by more than the networks do."
        )
    return notes
