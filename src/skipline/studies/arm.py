"""Training one arm of a study: any network by the loop itself, resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from skipline.data import Batches, Dataset, ImageSet, Preprocessing, Progress, silent
from skipline.errors import NonFiniteLossError
from skipline.machine import device, peak_memory_bytes
from skipline.models import Network
from skipline.storage import write_atomically
from skipline.training.checkpoint import load_checkpoint
from skipline.training.diary import Diary
from skipline.training.finishing import measure
from skipline.training.loop import Loop, LoopEnd
from skipline.training.observer import Measurement, Observer, Scored
from skipline.training.plan import resolve_preprocessing
from skipline.training.precision import Execution
from skipline.training.recipe import Recipe

TRAIN_SAMPLE = 5_000  # training images that the final training figures are measured on


def train_network(
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    folder: Path,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    keep: bool = True,
) -> dict[str, Any]:
    """Train a network that need not be in the catalogue, or go on where an earlier call was cut off.

    Args:
        network: fresh, in training mode; afterwards it holds the trained weights (the moving average's where the
            recipe has one).
        dataset: opened at the side that is trained on.
        recipe: complete. Studies compare arms, so give a precision instead of "auto".
        seed: of order, augmentation and dropout; the caller has drawn the weights.
        folder: for last.ckpt and events.jsonl. What another recipe, network, seed or source left there is replaced.
        observers: attached to the loop.
        progress: shows the evaluation.
        keep: leave the checkpoint there, so that another call gives back the trained network at once.

    Returns:
        "train" and "test": {"top1", "loss"} without augmentation, training on up to 5,000 images; "epochs": one
        record each, {"epoch", "train", "test" or None, "seconds", ...}; "seconds" of training; "diverged": None, or
        the sentence that tells where the loss became infinite, in which case the figures are those of the weights
        at that point.

    Raises:
        KeyboardInterrupt: interrupted; the state is saved.
    """
    where = device()
    network.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    preprocessing = resolve_preprocessing(recipe.input, dataset)
    batches = Batches(
        dataset.train,
        preprocessing,
        batch_size=recipe.batch_size,
        augmentation=recipe.augmentation,
        seed=seed,
    )
    # Nothing is measured: arms are compared with each other, so all of them compute in the same way.
    execution = Execution(bf16=recipe.precision == "bf16", threads=torch.get_num_threads())

    def held_out(net: torch.nn.Module) -> Scored:
        found = measure(net, dataset.test, preprocessing, execution.precision.name, where, progress)
        return found.scored()

    _claim_folder(folder, network, dataset, recipe, seed)
    diary = Diary(folder, "test")
    checkpoint = folder / "last.ckpt"
    loop = Loop(network, batches, recipe, execution, checkpoint, held_out, [diary, *observers], diary.note)
    if checkpoint.exists():
        loop.restore(load_checkpoint(checkpoint))
        diary.resumed(loop.step)
    else:
        torch.manual_seed(seed)  # dropout draws from here on
        diary.started({"seed": seed, "epochs": recipe.epochs, "steps_per_epoch": loop.steps_per_epoch})
    diverged, end = None, None
    try:
        end = loop.run()
    except NonFiniteLossError as error:
        diverged = str(error)
    diary.ended("diverged" if end is None else end.status, end, peak_memory_bytes())
    if end is not None and end.status == "interrupted":
        raise KeyboardInterrupt
    if loop.result is not network:
        network.load_state_dict(loop.result.state_dict())
    epochs = epoch_records(folder)
    figures = {
        "train": _figures(measure_sample(network, dataset.train, preprocessing, progress)),
        "test": _figures(measure(network, dataset.test, preprocessing, "fp32", where, progress)),
        "epochs": epochs,
        "seconds": end.seconds if isinstance(end, LoopEnd) else sum(record["seconds"] for record in epochs),
        "diverged": diverged,
    }
    if not keep:
        checkpoint.unlink(missing_ok=True)
    return figures


def measure_sample(
    network: torch.nn.Module, images: ImageSet, preprocessing: Preprocessing, progress: Progress = silent
) -> Measurement:
    """Result in fp32 on up to 5,000 images of a set, the same ones for every arm."""
    where = next(network.parameters()).device
    return measure(network, subset(images, TRAIN_SAMPLE), preprocessing, "fp32", where, progress)


def subset(images: ImageSet, count: int | None, seed: int = 0) -> ImageSet:
    """At most `count` images of a set, drawn once for a seed, in their order; None gives all."""
    if count is None or len(images) <= count:
        return images
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(images), generator=generator)[:count].sort().values.numpy()
    digest = hashlib.sha256(f"{images.fingerprint} {count} {seed}".encode()).hexdigest()
    return replace(
        images,
        images=images.images[chosen],
        labels=images.labels[chosen],
        files=(),
        groups=None if images.groups is None else images.groups[chosen],
        fingerprint=digest,
    )


def epoch_records(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a run's events.jsonl in order; of one that was run twice around an interrupt, the last."""
    found: dict[int, dict[str, Any]] = {}
    for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["kind"] == "epoch":
            found[event["epoch"]] = {
                key: event[key] for key in event if key not in ("kind", "time", "measured_on")
            }
    return [found[epoch] for epoch in sorted(found)]


def _claim_folder(folder: Path, network: Network, dataset: Dataset, recipe: Recipe, seed: int) -> None:
    """A checkpoint of something else must not be gone on with."""
    folder.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    digest = hashlib.sha256(repr(network).encode())
    for key, value in state.items():
        first = value.detach().flatten()[:8].double().tolist()  # other fresh weights are another run
        digest.update(f"{key} {tuple(value.shape)} {first}".encode())
    plan = {
        "recipe": recipe.model_dump(mode="json"),
        "network": digest.hexdigest(),
        "source": [dataset.train.fingerprint, dataset.test.fingerprint],
        "seed": seed,
    }
    file = folder / "arm.json"
    text = json.dumps(plan, indent=1)
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        for name in ("last.ckpt", "events.jsonl"):
            (folder / name).unlink(missing_ok=True)
        write_atomically(file, lambda opened: opened.write(text.encode()))


def _figures(measured: Measurement) -> dict[str, float | None]:
    return {"top1": measured.top1, "loss": measured.loss}
