"""The six networks' runs and readings, by network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from skipline.studies.study import Arm

MODELS = {
    "lecture-alexnet": "five convolutions, large kernels, no BN",
    "lecture-vgg": "deep 3x3 convolutions, no BN",
    "lecture-vgg-bn": "the same with BN",
    "lecture-vgg-bn-deep": "eight more convolutions, BN",
    "lecture-resnet": "residual blocks",
    "lecture-resnet-deep": "five more residual blocks",
}
VGG, BN, DEEP, RESIDUAL, RESIDUAL_DEEP = tuple(MODELS)[1:]
Results = dict[str, dict[str, Any]]


class SixModels:
    """The results of the six networks.

    Args:
        results: of the jobs, by key: MODEL-SEED and fresh-MODEL-SEED.
        seeds: of the runs.
    """

    def __init__(self, results: Results, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.runs = {model: [results[f"{model}-{seed}"] for seed in seeds] for model in MODELS}
        self.fresh = {
            model: [
                value["reading"]
                for key, value in results.items()
                if key.rpartition("-")[0] == f"fresh-{model}"
            ]
            for model in MODELS
        }
        self.epoch = min(len(run["epochs"]) for runs in self.runs.values() for run in runs)

    @property
    def images(self) -> int:
        """Training images of an epoch."""
        count: int = self.runs[VGG][0]["images"]["train"]
        return count

    @property
    def chance(self) -> float:
        """Share of the largest class: what a network reaches that always gives the same answer."""
        counts = self.runs[VGG][0]["classes"]
        return float(max(counts) / sum(counts))

    def train(self, model: str) -> list[float]:
        """Training accuracy over the last epoch that all runs have, by seed."""
        return [run["epochs"][self.epoch - 1]["train"]["top1"] for run in self.runs[model]]

    def arm(self, model: str) -> Arm:
        """One network over its seeds."""
        runs = self.runs[model]
        results = {
            "last epoch's train top-1": self.train(model),
            "train top-1": [run["train"]["top1"] for run in runs],
            "test top-1": [run["test"]["top1"] for run in runs],
            "seconds": [run["seconds"] for run in runs],
            "images a second": [run["images_per_second"] for run in runs],
            "gradient, last to first (step 0)": [10**value for value in self.slopes(model)[: len(runs)]],
        }
        return Arm(model, MODELS[model], results, runs[0]["params"], runs[0]["macs"])

    def slopes(self, model: str) -> list[float]:
        """log10 of |dL/dW| of the last convolution over that of the first, untrained, by seed."""
        return [math.log10(last / first) for first, *_, last in map(gradients, self.fresh[model])]

    def spreads(self, model: str) -> list[float]:
        """log10 of the largest over the smallest |dL/dW| among the convolutions, untrained, by seed."""
        return [math.log10(max(norms) / min(norms)) for norms in map(gradients, self.fresh[model])]


def convolutions(reading: dict[str, Any]) -> list[dict[str, Any]]:
    """The readings of a network's convolutions along its depth, without 1x1 shortcuts and classifier."""
    return [
        layer
        for layer in sorted(reading["layers"], key=lambda layer: layer["depth"])
        if layer["kind"] == "Conv2d"
        and "downsample" not in layer["name"]
        and "classifier" not in layer["name"]
    ]


def gradients(reading: dict[str, Any]) -> list[float]:
    """|dL/dW| of the convolutions; what is zero or unknown counts as the smallest number."""
    return [layer["grad_norm"] or 1e-30 for layer in convolutions(reading)]
