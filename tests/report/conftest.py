"""Run folders as training writes them, made up: every figure is known, no network is trained."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

RECIPE = """name = "tiny"
epochs = 20
batch_size = 64

[optimizer]
kind = "sgd"
lr = 0.1
nesterov = true
weight_decay = 0.0005

[schedule]
kind = "one-cycle"

[run]
source = "digits"
model = "resnet56"
seed = 0
threads = 2
twin = true
"""


class Runs:
    """Makes run folders and edits their events."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, name: str = "run", **options: Any) -> Path:
        """A new run folder; the options are those of `write_run`."""
        return write_run(self._folder / name, **options)

    def events(self, folder: Path) -> list[dict[str, Any]]:
        """The events of a run folder."""
        return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]

    def rewrite(self, folder: Path, events: Sequence[dict[str, Any]]) -> None:
        """Replace the events of a run folder."""
        _write_events(folder, events)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Run folders in the test's own folder."""
    return Runs(tmp_path)


def write_run(
    folder: Path,
    *,
    model: str = "resnet56",
    classes: Sequence[str] = tuple("0123456789"),
    source: str = "digits",
    epochs: int = 20,
    planned: int | None = None,
    train_top1: float = 1.0,
    test_top1: float = 0.986,
    per_class: int = 36,
    evaluated: bool = True,
    end: str | None = "done",
    test_every: int = 1,
    validation: int | None = None,
    mistakes: int = 12,
    picture_side: int = 8,
    files: Sequence[str] | None = None,
    notes: Sequence[str] = ("split 1,437 / 360, stratified, seed 0",),
    twin_top1: float | None = None,
    findings: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write a run folder.

    Args:
        folder: created.
        model: name in the start event.
        classes: class names.
        source: name of the source.
        epochs: finished ones.
        planned: epochs that the run should have had; None: those finished.
        train_top1: training accuracy in the end.
        test_top1: aimed at in the end; the exact figure follows from the confusion matrix.
        per_class: test images a class.
        evaluated: whether evaluation.json is written.
        end: status of the end event; None: there is none.
        test_every: epochs between measurements.
        validation: images for validation; the curves are then measured on these.
        mistakes: number of mistakes listed, with pictures.
        picture_side: pixels; 8 takes handwritten digits, anything else makes noise.
        files: names of the mistakes' files; None: they have none.
        notes: of the source.
        twin_top1: training accuracy of the plain twin in twin/; None: no twin.
        findings: in the events.
    """
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    size, steps = len(classes), 22
    measured_on = "test" if validation is None else "validation"
    start = {
        "kind": "start",
        "time": 1782000000.0,
        "model": model,
        "options": {"classes": size, "channels": 1, "shortcut": "none" if "plain" in model else "A"},
        "params": 853018,
        "macs": 7842880,
        "recipe": "tiny",
        "source": {
            "name": source,
            "fingerprint": "9f2c1e" + "0" * 58,
            "train": 1437,
            "test": size * per_class,
            "validation": validation,
            "classes": list(classes),
            "input": [1, 8, 8],
            "problems": 0,
            "notes": list(notes),
        },
        "machine": {
            "cpu": "AMD EPYC 7B13",
            "cores": 2,
            "memory_gib": 23.5,
            "gpu": None,
            "platform": "Linux-6.1-x86_64",
            "python": "3.11.7",
            "torch": "2.15.0",
            "torchvision": "0.29.2",
            "skipline": "0.1.0",
        },
        "precision": "bf16, channels-last",
        "threads": 2,
        "device": "cpu",
        "seed": 0,
        "epochs": planned or epochs,
        "steps_per_epoch": steps,
        "batch_size": 64,
    }
    events: list[dict[str, Any]] = [start]
    chance, noise = 1 / size, np.random.default_rng(len(model))
    for epoch in range(1, epochs + 1):
        for step in range((epoch - 1) * steps + 1, epoch * steps + 1, 4):
            done = step / (epochs * steps)
            rate = 0.1 * math.sin(math.pi * min(1.0, done * 0.98 + 0.02)) + 1e-5
            events.append(
                {
                    "kind": "step",
                    "time": 0.0,
                    "step": step,
                    "epoch": step / steps,
                    "loss": 1.0,
                    "lr": rate,
                    "top1": 0.5,
                }
            )
        share = 1 - math.exp(-4.5 * epoch / epochs)
        train = chance + (train_top1 - chance) * share / (1 - math.exp(-4.5))
        test = chance + (test_top1 - chance) * share / (1 - math.exp(-4.5)) - abs(noise.normal(0, 0.01))
        loss = math.log(size) * (1 - share * train_top1) + 0.004
        measured = {"top1": max(0.0, test), "loss": loss + 0.06 * share}
        events.append(
            {
                "kind": "epoch",
                "time": 0.0,
                "epoch": epoch,
                "step": epoch * steps,
                "lr": rate,
                "train": {"top1": train, "loss": loss},
                "test": measured if epoch % test_every == 0 or epoch == epochs else None,
                "measured_on": measured_on,
                "seconds": 0.6,
                "images_per_second": 2395.0,
            }
        )
    events += [{"kind": "finding", "time": 0.0, "finding": finding} for finding in findings]
    if end is not None:
        figures = {"seconds": 0.6 * epochs, "epochs": epochs, "images_per_second": 2395.0}
        events.append(
            {"kind": "end", "time": 0.0, "status": end, "peak_memory_bytes": 434_000_000, **figures}
        )
    _write_events(folder, events)
    if evaluated:
        values = _evaluation(folder, classes, per_class, train_top1, test_top1, mistakes, picture_side, files)
        (folder / "evaluation.json").write_text(json.dumps(values))
    if twin_top1 is not None:
        write_run(
            folder / "twin",
            model=model.replace("resnet", "plain"),
            classes=classes,
            epochs=epochs,
            train_top1=twin_top1,
            test_top1=max(chance, 0.97 * twin_top1),
            per_class=per_class,
            mistakes=0,
            evaluated=evaluated,
        )
    return folder


def _write_events(folder: Path, events: Sequence[dict[str, Any]]) -> None:
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def _evaluation(
    folder: Path,
    classes: Sequence[str],
    per_class: int,
    train_top1: float,
    test_top1: float,
    mistakes: int,
    side: int,
    files: Sequence[str] | None,
) -> dict[str, Any]:
    size = len(classes)
    confusion = np.zeros((size, size), dtype=int)
    random = np.random.default_rng(7)
    for true in range(size):
        wrong = (
            random.binomial(per_class, min(1.0, (1 - test_top1) * random.uniform(0, 2))) if size > 1 else 0
        )
        confusion[true, true] = per_class - wrong
        for other in random.choice([c for c in range(size) if c != true], wrong) if wrong else ():
            confusion[true, other] += 1
    n, right = size * per_class, int(np.trace(confusion))
    recall = np.diag(confusion) / per_class
    predicted = confusion.sum(0)
    z, p = 1.959964, right / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    bounds = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    test = {
        "n": n,
        "top1": p,
        "top1_interval": bounds,
        "top5": 1.0,
        "loss": 0.0613,
        "ece": 0.0087,
        "classes": [
            {
                "name": name,
                "n": per_class,
                "recall": float(recall[i]),
                "precision": float(confusion[i, i] / predicted[i]) if predicted[i] else None,
            }
            for i, name in enumerate(classes)
        ],
        "confusion": confusion.tolist(),
        "notes": [],
    }
    listed = _mistakes(folder, classes, mistakes, side, files)
    return {"train": {"top1": train_top1, "loss": 0.0021}, "test": test, "tta": None, "mistakes": listed}


def _mistakes(
    folder: Path, classes: Sequence[str], count: int, side: int, files: Sequence[str] | None
) -> list[dict[str, Any]]:
    (folder / "mistakes").mkdir()
    digits, random = load_digits(), np.random.default_rng(3)
    listed = []
    for rank in range(count):
        if side == 8:
            pixels = (digits.images[rank] * 255 / 16).astype(np.uint8)
        else:
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "mistakes" / f"{rank:02d}.png")
        true = int(digits.target[rank]) % len(classes)
        listed.append(
            {
                "image": f"mistakes/{rank:02d}.png",
                "index": 100 + rank,
                "file": files[rank % len(files)] if files else None,
                "true": classes[true],
                "predicted": classes[(true + 3) % len(classes)],
                "probability": 0.99 - 0.02 * rank,
                "true_probability": 0.008,
            }
        )
    return listed
