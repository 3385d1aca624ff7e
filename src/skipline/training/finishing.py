"""What is measured and written when the loop is done."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch

from skipline.bundle import Evaluation, by_file, evaluate, logits_of, save_bundle
from skipline.data import Dataset, ImageSet, Preprocessing, Progress
from skipline.data.augmentations.part import share_of
from skipline.data.values import AnyPreprocessing
from skipline.machine import describe_machine
from skipline.metrics import cross_entropy, top_k_accuracy
from skipline.models import Network
from skipline.training.distributed import Group
from skipline.training.loop import LoopEnd
from skipline.training.mistakes import save_mistakes
from skipline.training.observer import Measurement
from skipline.training.plan import Plan
from skipline.training.precision import Execution
from skipline.training.results import Figures, write_evaluation
from skipline.training.sound_mistakes import save_sound_mistakes

WEAKEST = 5  # classes that a model card names
TRAIN_SAMPLE = 5_000  # training images that the final training accuracy is measured on


def finish(
    folder: Path,
    network: Network,
    plan: Plan,
    dataset: Dataset,
    preprocessing: AnyPreprocessing,
    execution: Execution,
    end: LoopEnd,
    progress: Progress,
) -> Figures:
    """Measure a trained network and write bundle, evaluation.json and the pictures of its mistakes.

    The figures are computed in fp32, as the bundle will be used, whatever the training ran in.

    Args:
        folder: the run folder.
        network: trained.
        plan: what was run.
        dataset: its source.
        preprocessing: what lies between stored images and the network.
        execution: how the training was computed; recorded.
        end: how the loop ended; recorded.
        progress: shows the evaluation.

    Returns:
        Results on at most 5,000 training images without augmentation, and on all test images.
    """
    device = next(network.parameters()).device
    test = evaluate(network, dataset.test, preprocessing, device=device, progress=progress)
    train = measure(network, _sample(dataset.train, plan.seed), preprocessing, "fp32", device, progress)
    tta = None
    if plan.recipe.tta != "none":
        tta = evaluate(
            network, dataset.test, preprocessing, tta=plan.recipe.tta, device=device, progress=progress
        )
    metrics = {
        "train": vars(train),
        "test": _headline(test) | _weakest(test),
        "tta": _headline(tta) if tta else None,
    }
    provenance = _provenance(plan, dataset, execution)
    save_bundle(folder / "bundle", network, dataset.classes, preprocessing, metrics, provenance)
    if isinstance(preprocessing, Preprocessing) and preprocessing.audio is not None:
        mistakes = save_sound_mistakes(folder, test, dataset.test, preprocessing, Path(plan.source))
    else:
        mistakes = save_mistakes(folder, test, dataset.test)
    write_evaluation(folder, train, test, tta, mistakes, end)
    augmented = Measurement(tta.top1, tta.loss) if tta else None
    return Figures(train, Measurement(test.top1, test.loss), augmented)


def measure(
    network: torch.nn.Module,
    images: ImageSet,
    preprocessing: AnyPreprocessing,
    precision: str,
    device: torch.device,
    progress: Progress,
    group: Group | None = None,
) -> Measurement:
    """Top-1 and loss of a network on images; of files where several images are of one.

    Args:
        network: to measure.
        images: all of them, in every process.
        preprocessing: what lies between them and the network.
        precision: "fp32" or "bf16".
        device: of the network.
        progress: shows it.
        group: each process computes its share, and all get the result of the whole; None for one process.
    """
    group = group or Group()
    # All compute as many images, some of them twice: the weights of a sharded network come together in every pass.
    share = share_of(len(images), *group.share)
    most = -(-len(images) // group.size)
    begin = max(0, share.stop - most)
    part = images if group.alone else images.part(slice(begin, begin + most))
    logits = logits_of(network, part, preprocessing, precision=precision, device=device, progress=progress)
    if not group.alone:
        own = torch.from_numpy(logits[share.start - begin : share.stop - begin])
        logits = torch.cat(group.gathered(group.on_device(own))).cpu().numpy()
    logits, labels = by_file(logits, images)
    loss = cross_entropy(logits, labels)
    return Measurement(top_k_accuracy(logits, labels, 1), loss if math.isfinite(loss) else None)


def _sample(images: ImageSet, seed: int) -> ImageSet:
    """At most TRAIN_SAMPLE images, drawn once per seed, so that a large set does not double the run's time."""
    if len(images) <= TRAIN_SAMPLE:
        return images
    generator = torch.Generator().manual_seed(seed)
    return images.part(torch.randperm(len(images), generator=generator)[:TRAIN_SAMPLE].sort().values.numpy())


def _headline(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "n": evaluation.n,
        "top1": evaluation.top1,
        "top1_interval": list(evaluation.top1_interval),
        "loss": evaluation.loss,
    }


def _weakest(evaluation: Evaluation) -> dict[str, Any]:
    """The classes of lowest recall, as far as there are mistakes; `model_card` lists them."""
    scored = [score for score in evaluation.classes if score.recall is not None and score.recall < 1]
    weakest = sorted(scored, key=lambda score: (score.recall, -score.n))[:WEAKEST]
    return {"weakest": [{"name": s.name, "n": s.n, "recall": s.recall} for s in weakest]}


def _provenance(plan: Plan, dataset: Dataset, execution: Execution) -> dict[str, Any]:
    machine = describe_machine()
    return {
        "source": dataset.name,
        "fingerprint": dataset.fingerprint,
        "split_seed": plan.seed,
        "seed": plan.seed,
        "recipe": plan.recipe.name,
        "weights": plan.recipe.finetune.weights,
        "trained": time.strftime("%Y-%m-%d", time.gmtime()),
        "precision": str(execution),
        **{key: machine[key] for key in ("cpu", "torch", "skipline")},
    }
