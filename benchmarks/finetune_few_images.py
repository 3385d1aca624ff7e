"""Fine-tuning on few images a class, beside learning from scratch: the figures of docs/weights.md.

A resnet20 learns five classes of CIFAR-10 (airplane to deer); its weights are then adapted to the other five (dog to
truck), of which it has seen nothing, with N images a class. The views are those that suit 32 x 32 (shifts and flips);
all else is the recipe as it stands.

Command   .venv/bin/python benchmarks/finetune_few_images.py ../shared/data/cifar10-jpeg.tar [--images 5 20 100]
Data      the JPEG copy of CIFAR-10; tested on the 5,000 test images of the five new classes; chance is 20 %
Seeds     0, 1, 2: of the choice of images, of the head and of the order; the first five classes are learnt once, seed 0
Prints    one line an arm: mean and range of the test accuracy, mean seconds of training; machine first.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np

from skipline.data import Dataset, ImageSet, open_source
from skipline.machine import describe_machine
from skipline.training import Plan, changed, named_recipe, start_run

VIEWS = ["augmentation.random_resized_crop=none", "augmentation.pad_crop=4", "evaluate_every=10000"]
FINETUNE = ["finetune.weights={weights}", *VIEWS]
ARMS = {
    "finetune": ("finetune", FINETUNE),
    "finetune, BN frozen": ("finetune", [*FINETUNE, "finetune.freeze_norm=true"]),
    "finetune, body frozen": ("finetune", [*FINETUNE, "finetune.freeze_body=true"]),
    "finetune, no head first": ("finetune", [*FINETUNE, "finetune.head_epochs=0"]),
    "finetune, body at the head's rate": ("finetune", [*FINETUNE, "finetune.body_rate=1"]),
    "finetune, 12 epochs": ("finetune", [*FINETUNE, "epochs=12"]),
    "from scratch, as many steps": ("small", ["minutes=none", "input.sides=[]", "evaluate_every=10000"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--base", type=Path, help="run that knows the first five classes; made where missing")
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    whole = open_source(arguments.source)
    with tempfile.TemporaryDirectory() as scratch:
        base = arguments.base or Path(scratch) / "base"
        if not (base / "bundle").exists():
            result = run(of_classes(whole, range(5)), "small", ["epochs=6", "evaluate_every=6"], base, 0)
            print(
                f"the first five classes: test {result[0]:.4f} after 6 epochs, {result[1]:.0f} s", flush=True
            )
        for count in arguments.images:
            for name in arguments.arms:
                recipe, settings = ARMS[name]
                settings = [text.format(weights=base) for text in settings]
                if recipe == "small":  # batches of 32, as many as the recipe `finetune` takes
                    steps = max(1, 5 * count // 32)
                    settings += ["batch_size=32", f"epochs={max(12, -(-200 // steps))}"]
                scores = []
                for seed in arguments.seeds:
                    few = of_classes(whole, range(5, 10), count, seed)
                    folder = Path(scratch) / f"{count}-{name}-{seed}"
                    scores.append(run(few, recipe, [*settings, *arguments.settings], folder, seed))
                top1, seconds = zip(*scores, strict=True)
                print(
                    f"{count:>4} a class  {name:<34} {mean(top1):.4f} [{min(top1):.4f}, {max(top1):.4f}]  "
                    f"{mean(seconds):.1f} s",
                    flush=True,
                )


def run(dataset: Dataset, recipe: str, settings: list[str], folder: Path, seed: int) -> tuple[float, float]:
    """Test accuracy and seconds of one run."""
    plan = Plan("benchmark", "resnet20", changed(named_recipe(recipe), settings), seed=seed)
    result = start_run(plan, folder, dataset)
    if result.test is None:
        raise SystemExit("interrupted")
    return result.test.top1, result.seconds


def of_classes(dataset: Dataset, wanted: range, each: int | None = None, seed: int = 0) -> Dataset:
    """Some classes, and at most so many training images of each, drawn by a seed."""
    random = np.random.default_rng(seed)

    def some(images: ImageSet, each: int | None) -> ImageSet:
        chosen = [random.permutation(np.flatnonzero(images.labels == label))[:each] for label in wanted]
        indices = np.sort(np.concatenate(chosen))
        classes = tuple(images.classes[label] for label in wanted)
        labels = images.labels[indices] - wanted.start
        return replace(images, images=images.images[indices], labels=labels, classes=classes, files=())

    return replace(dataset, train=some(dataset.train, each), test=some(dataset.test, None))


if __name__ == "__main__":
    main()
