"""One run of `skipline upscale train`, from a plan to a run folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skipline import models
from skipline.data import Progress, silent
from skipline.data.augmentations.part import share_of
from skipline.data.resizing import resize
from skipline.errors import InputError, SourceError
from skipline.machine import describe_machine, device
from skipline.models.upscaling import Upscaler as Network
from skipline.models.upscaling import create_upscaler
from skipline.storage import parse_json, read_bounded, write_atomically
from skipline.training import Observer, Plan
from skipline.training.distributed import group
from skipline.training.loop import LoopEnd
from skipline.training.observer import Scored
from skipline.training.plan import usable_threads
from skipline.training.rate_rule import with_scaled_rate
from skipline.training.recipe import Upscaling
from skipline.training.session import (
    Say,
    Session,
    is_of_this_job,
    plan_to_resume,
    quiet,
    refuse_other_run,
)
from skipline.upscaling.bundle import Upscaler, save_upscaler
from skipline.upscaling.evaluation import PhotoResult, UpscaleEvaluation, evaluate_upscaler
from skipline.upscaling.objective import batch_psnr, fidelity_objective
from skipline.upscaling.patches import PatchBatches, Tiles, as_input, cut_tiles
from skipline.upscaling.photos import Photo, Photos, limited, open_photos
from skipline.upscaling.recipes import checked
from skipline.upscaling.report_pictures import save_pictures

FIGURES = "upscaling.json"
LARGEST_FIGURES = 16 * 2**20  # bytes
HELD_OUT_BYTES = 2**19  # of the tiles that are measured during training: 4 of the largest, which take seconds
TEST_PHOTOS = 32  # measured at the end
NOT_READ: dict[str, Any] = {
    "status": "done",
    "epochs": 0,
    "seconds": 0.0,
    "images_per_second": 0.0,
    "result": None,
}
TEST_CROP = 512  # pixels: their centred squares


@dataclass(frozen=True)
class UpscaleRun:
    """What a run left behind.

    Attributes:
        folder: the run folder.
        bundle: the bundle in it.
        status: "done" or "interrupted".
        epochs: finished.
        seconds: of training alone.
        images_per_second: patches a second of training alone.
        result: on the test photos; None when interrupted.
    """

    folder: Path
    bundle: Path
    status: str
    epochs: int
    seconds: float
    images_per_second: float
    result: UpscaleEvaluation | None

    def to_json(self) -> dict[str, Any]:
        """The object that `skipline upscale train --json` prints, but for the report."""
        values = {key: value for key, value in vars(self).items() if key not in ("result", "folder")}
        test = None if self.result is None else self.result.mean | {"n": len(self.result.images)}
        return {"run": str(self.folder), **values, "bundle": str(self.bundle), "test": test}


def start_upscaling(
    plan: Plan,
    folder: Path,
    *,
    photos: Photos | None = None,
    overwrite: bool = False,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> UpscaleRun:
    """Train from the beginning into a new run folder.

    Args:
        plan: `model` and `options` as `create_upscaler` takes them; `source` as `open_photos` does.
        folder: created; must not hold a run yet.
        photos: the plan's source where it is open already; None opens it.
        overwrite: delete an earlier run in the folder, once the plan is known to be sound.
        observers: attached to the loop.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Raises:
        InputError: the plan has mistakes, or the folder holds a run.
    """
    if is_of_this_job(folder):  # a process took the place of one that died
        return resume_upscaling(folder, photos=photos, observers=observers, progress=progress, say=say)
    refuse_other_run(folder, overwrite)
    session = _prepared(plan, folder, photos or _open(plan, progress), observers, progress, say)
    return _result(folder, *session.begin(overwrite))


def resume_upscaling(
    folder: Path,
    *,
    photos: Photos | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> UpscaleRun:
    """Go on with an interrupted run, bit for bit as if it had not been interrupted.

    Args:
        folder: of the run.
        photos: the plan's source where it is open already; None opens it.
        observers: attached to the loop.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Raises:
        InputError: no run in the folder, or its photos have changed since.
    """
    plan = plan_to_resume(folder)
    if plan.recipe.upscaling is None:
        raise InputError(f"'{folder}' is the run of a classifier: skipline train --resume {folder}")
    if group().decided(lambda: read_figures(folder) is not None):
        finished = (
            read_figures(folder) if group().first else None
        )  # only the first one needs to see the folder
        return UpscaleRun(folder, folder / "bundle", **(finished or NOT_READ))
    session = _prepared(plan, folder, photos or _open(plan, progress), observers, progress, say)
    if plan.fingerprint != session.plan.fingerprint:
        raise InputError(
            f"the photos of '{plan.source}' have changed since this run began: bring the original files back, or start "
            "a new run"
        )
    return _result(folder, *session.train())


def read_figures(folder: Path) -> dict[str, Any] | None:
    """What a finished run reached, as fields of `UpscaleRun`; None where it is not finished.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FIGURES
    if not path.exists():
        return None
    try:
        values = parse_json(read_bounded(path, LARGEST_FIGURES))
        images = tuple(PhotoResult(**image) for image in values["images"])
        if not images or not all(_is_figure(v) for i in images for k, v in vars(i).items() if k != "file"):
            raise ValueError("no figures")
        end = {key: values["end"][key] for key in ("status", "epochs", "seconds", "images_per_second")}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"'{path}' cannot be read. Delete it to have the run measured again") from error
    return {**end, "result": UpscaleEvaluation(images)}


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _open(plan: Plan, progress: Progress) -> Photos:
    return group().in_turn(
        lambda: open_photos(plan.source, seed=plan.seed, data_root=plan.data_root, progress=progress)
    )


def _prepared(
    plan: Plan,
    folder: Path,
    photos: Photos,
    observers: Sequence[Observer],
    progress: Progress,
    say: Say,
) -> _Session:
    recipe, settings = checked(plan.recipe)
    recipe = with_scaled_rate(recipe, say)
    plan = replace(plan, recipe=recipe)
    torch.set_num_threads(usable_threads(plan.threads or None))
    network = create_upscaler(plan.model, **plan.options, seed=plan.seed)
    plan = replace(plan, options={k: v for k, v in network.options.items() if k != "seed"})
    _check_measurable(photos, network.scale, settings.jpeg)
    tiles = cut_tiles(photos.train, network.scale, jpeg=settings.jpeg, seed=plan.seed, progress=progress)
    held_out = cut_tiles(
        photos.test,
        network.scale,
        jpeg=settings.jpeg,
        most_bytes=HELD_OUT_BYTES,
        seed=plan.seed,
        progress=silent,
    )
    side = tiles.high.shape[1]
    problems = (*photos.problems, *tiles.problems)
    left_out = f", {len(problems)} left out (named in the run)" if problems else ""
    say(
        photos.name,
        f"{len(photos.train):,} photos to learn from, {len(photos.test):,} to test on{left_out}; {len(tiles):,} tiles "
        f"of {side} x {side}",
    )
    for note in photos.notes:
        say("", note)
    batches = PatchBatches(
        tiles,
        patch=settings.patch,
        batch_size=recipe.batch_size,
        steps_per_epoch=settings.steps_per_epoch,
        seed=plan.seed,
        share=group().share,
    )
    network.to(device())
    plan = replace(plan, fingerprint=tiles.fingerprint)
    return _Session(
        plan, settings, folder, photos, tiles, held_out, network, batches, observers, progress, say
    )


def _test_photos(photos: Photos) -> tuple[Photo, ...]:
    return limited(photos, len(photos.train), TEST_PHOTOS).test


def _check_measurable(photos: Photos, scale: int, jpeg: int | None) -> None:
    """Refuse photos of which none could be measured in the end, before anything is learnt.

    Raises:
        SourceError: there is none.
    """

    def reason(photo: Photo) -> str | None:
        try:
            evaluate_upscaler(lambda low: resize(low, scale), scale, [photo], jpeg=jpeg, crop=TEST_CROP)
        except SourceError as error:
            return str(error)
        return None

    reasons = []
    for photo in _test_photos(photos):
        found = reason(photo)
        if found is None:
            return  # one is enough, and usually the first
        reasons.append(found)
    raise SourceError(
        f"{reasons[0]}. Bring more photos, or hold out others: --seed N, or folders train and test"
    )


def _result(folder: Path, end: LoopEnd, result: UpscaleEvaluation | None) -> UpscaleRun:
    return UpscaleRun(
        folder, folder / "bundle", end.status, end.epochs, end.seconds, end.images_per_second, result
    )


class _Session(Session[UpscaleEvaluation]):
    """An upscaler on photos."""

    def __init__(
        self,
        plan: Plan,
        settings: Upscaling,
        folder: Path,
        photos: Photos,
        tiles: Tiles,
        held_out: Tiles,
        network: Network,
        batches: PatchBatches,
        observers: Sequence[Observer],
        progress: Progress,
        say: Say,
    ) -> None:
        self.photos, self.tiles, self.held_out, self.settings = photos, tiles, held_out, settings
        self.cost = models.cost(network, (network.channels, *batches.batch(0, 0).images.shape[2:]))
        area = held_out.high.shape[1] ** 2 / batches.batch(0, 0).targets.shape[2] ** 2
        super().__init__(
            folder,
            plan,
            network,
            batches,
            fidelity_objective(settings.loss),
            held_out=round(len(held_out) * area),
            measured_on="test",
            observers=observers,
            progress=progress,
            say=say,
        )

    def measure(self, network: nn.Module) -> Scored:
        """PSNR and loss on tiles of the test photos, one tile at a time, each process its share of them."""
        training = network.training
        network.eval()
        sums = torch.zeros(2, dtype=torch.float64)
        share = share_of(len(self.held_out), *self.group.share)
        try:
            with torch.no_grad():
                for low, high in zip(self.held_out.low[share], self.held_out.high[share], strict=True):
                    targets = as_input(high[None]).to(self.device)
                    output = network(as_input(low[None]).to(self.device))
                    sums[0] += batch_psnr(output, targets).item()
                    sums[1] += self.objective.loss(output, targets).item()
        finally:
            network.train(training)
        score, loss = (self.group.summed(self.group.on_device(sums)) / len(self.held_out)).tolist()
        return Scored(score, loss)

    def finish(self, network: nn.Module, end: LoopEnd) -> UpscaleEvaluation:
        """Measure on test photos, and write bundle, figures and pictures."""
        assert isinstance(network, Network)
        upscaler = Upscaler(network.name, network.eval(), network.scale, {}, {})
        test = _test_photos(self.photos)
        result = evaluate_upscaler(
            upscaler.enlarge,
            upscaler.scale,
            test,
            jpeg=self.settings.jpeg,
            crop=TEST_CROP,
            progress=self.progress,
        )
        metrics = {"test": {**result.mean, "n": len(result.images), "crop": TEST_CROP}}
        save_upscaler(self.folder / "bundle", network, metrics, self._provenance())
        shown = save_pictures(self.folder, upscaler, test, result, jpeg=self.settings.jpeg, crop=TEST_CROP)
        values = {**result.to_json(), "crop": TEST_CROP, "pictures": shown, "end": vars(end)}
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1)
        write_atomically(self.folder / FIGURES, lambda file: file.write(text.encode()))
        return result

    def described(self) -> dict[str, Any]:
        """Network and photos."""
        photos = self.photos
        problems = (*photos.problems, *self.tiles.problems)
        return {
            "task": "upscaling",
            "params": self.cost.params,
            "macs": self.cost.macs,
            "bicubic": self._bicubic(),
            "source": {
                "name": photos.name,
                "fingerprint": self.tiles.fingerprint,
                "train": len(photos.train),
                "test": len(photos.test),
                "tiles": len(self.tiles),
                "tile": self.tiles.high.shape[1],
                "problems": len(problems),
                "notes": [*photos.notes, *(f"left out {p.file}: {p.reason}" for p in problems)],
            },
        }

    def _bicubic(self) -> float:
        """PSNR of bicubic enlargement, measured as the curve is."""
        scores = []
        for low, high in zip(self.held_out.low, self.held_out.high, strict=True):
            enlarged = as_input(resize(low, self.tiles.scale)[None])
            scores.append(batch_psnr(enlarged, as_input(high[None])).item())
        return sum(scores) / len(scores)

    def _provenance(self) -> dict[str, Any]:
        machine = describe_machine()
        return {
            "source": self.photos.name,
            "fingerprint": self.tiles.fingerprint,
            "seed": self.plan.seed,
            "recipe": self.plan.recipe.name,
            "upscaling": self.settings.model_dump(mode="json"),
            "trained": time.strftime("%Y-%m-%d", time.gmtime()),
            "precision": str(self.execution),
            **{key: machine[key] for key in ("cpu", "torch", "skipline")},
        }
