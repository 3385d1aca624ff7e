"""Maps, contributions of blocks and the check against randomised networks, for a batch of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skipline.bundle.inference import evaluating, fitting_batch
from skipline.data import Preprocessing, Progress, silent
from skipline.diagnosis.probes.outputs import logits_of
from skipline.errors import InputError, ShapeMismatchError, UnknownNameError
from skipline.explanation.blocks import Block, Without, answers_without, find_blocks
from skipline.explanation.layers import Layer, find_layer
from skipline.explanation.methods import method as method_called
from skipline.explanation.randomised import Sanity, compare, randomised

KEPT_PARAMETERS = 50_000_000  # of a network whose randomised copies are kept: five take a gigabyte
NOT_FINITE = "the network's output is not finite: its weights are damaged"


@dataclass(frozen=True)
class Answer:
    """What a network says of one image, and what that rests on.

    Attributes:
        class_name: the class that is explained.
        probability: of it (softmax), 0-1.
        logit: of it.
        predicted: the most probable class.
        predicted_probability: of that one.
        peak: what 1 stands for in the map: with occlusion the fall of the probability, else without meaning beyond this
            image. 0 for an empty map: nothing speaks for the class.
        blocks: the answer without each residual block, from the input to the output.
        sanity: the map against those of randomised networks; None where it is empty or was not compared.
    """

    class_name: str
    probability: float
    logit: float
    predicted: str
    predicted_probability: float
    peak: float
    blocks: tuple[Without, ...]
    sanity: Sanity | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "class": self.class_name,
            "probability": self.probability,
            "logit": self.logit,
            "predicted": {"class": self.predicted, "probability": self.predicted_probability},
            "peak": self.peak,
            "blocks": [block.to_json() for block in self.blocks],
            "sanity": None if self.sanity is None else self.sanity.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Explained:
    """One image with its map.

    Attributes:
        answer: the figures.
        pixels: (side, side, C) uint8, the part of the image that the network sees.
        map: (side, side) float32 on 0-1, 1 where it is strongest; all 0 where it is empty.
    """

    answer: Answer
    pixels: npt.NDArray[np.uint8]
    map: npt.NDArray[np.float32]


class Explainer:
    """Explains the answers of one network.

    Args:
        network: left as it is.
        classes: K names in the order of its outputs.
        preprocessing: as at training.
        method: "gradcam", "gradcam++" or "occlusion".
        class_name: the class to explain; None takes each image's most probable one.
        layer: where Grad-CAM takes its feature maps from; None finds the last stage: see `find_layer`.
        blocks: also remove each residual block in turn; costs a prediction a block.
        networks: with how many randomised networks a map is compared; None takes what the method needs, 0 leaves the
            check out.
        seed: of their weights.

    Attributes:
        method: the row of the method.
        layer: the layer in use; None with occlusion.
        remove_blocks: whether residual blocks are removed.
        blocks: those that are; found with the first image, so None before.
        batch: images at a time that keep memory bounded.

    Raises:
        UnknownNameError: no such method, class or layer.
        InputError: no layer to take maps from, or a layer named for a method that takes none.
        ShapeMismatchError: the network has another number of outputs than there are classes.
    """

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        preprocessing: Preprocessing,
        *,
        method: str = "gradcam",
        class_name: str | None = None,
        layer: str | None = None,
        blocks: bool = True,
        networks: int | None = None,
        seed: int = 0,
    ) -> None:
        self.method = method_called(method)
        self.classes = tuple(classes)
        if class_name is not None and class_name not in self.classes:
            raise UnknownNameError("class", class_name, self.classes)
        self.class_name = class_name
        self.network, self.preprocessing = network, preprocessing
        side = preprocessing.side
        self._input = (preprocessing.channels, side, side)
        self.layer: Layer | None = None
        if self.method.uses_layer:
            self.layer = find_layer(network, self._input, layer)
        elif layer is not None:
            raise InputError(
                f"{self.method.title} looks at the answers alone and takes no layer: leave out {layer}"
            )
        self._maps = self.method.maps(self.layer)
        self.remove_blocks = blocks
        self.blocks: tuple[Block, ...] | None = None if blocks else ()
        self.networks = self.method.randomised if networks is None else networks
        self.seed = seed
        self._randomised: list[nn.Module] = []
        self.batch = min(self.method.batch, fitting_batch(side))

    def explain(self, images: npt.NDArray[np.uint8], progress: Progress = silent) -> list[Explained | str]:
        """Explain a batch.

        Args:
            images: (N, stored, stored, C) uint8, stored as `preprocessing` says; memory grows with N: see `batch`.
            progress: told which of the blocks are done.

        Returns:
            For each image the explanation, or why there is none.
        """
        home = next((tensor.device for tensor in self.network.parameters()), torch.device("cpu"))
        prepared = self.preprocessing(images).to(home)  # (N, C, side, side)
        with evaluating(self.network) as (running, _):
            logits = logits_of(running(prepared)).double().cpu()  # (N, K)
        if logits.shape[1] != len(self.classes):
            raise ShapeMismatchError(
                f"the network has {logits.shape[1]} outputs, but there are {len(self.classes)} classes: "
                "expected one output a class"
            )
        results: list[Explained | str] = [NOT_FINITE] * len(images)
        good = logits.isfinite().all(1).nonzero().flatten().tolist()
        if good:
            pixels = self.preprocessing.crop(images)
            found = self._explain(prepared[good], logits[good], progress)
            for index, (answer, map_) in zip(good, found, strict=True):
                results[index] = Explained(answer, pixels[index].copy(), map_)
        return results

    def _explain(
        self, images: torch.Tensor, logits: torch.Tensor, progress: Progress
    ) -> list[tuple[Answer, npt.NDArray[np.float32]]]:
        best = logits.argmax(1)
        labels = (
            best if self.class_name is None else torch.full_like(best, self.classes.index(self.class_name))
        )
        there = labels.to(images.device)
        maps, peaks = self._scaled(self.network, images, there)
        others = [self._scaled(network, images, there)[0] for network in self._fresh_networks()]
        without = self._without_blocks(images, there, progress)
        probabilities = logits.softmax(1)
        answers = []
        for row, label in enumerate(labels.tolist()):
            compared = peaks[row] > 0 and bool(others)
            answers.append(
                Answer(
                    class_name=self.classes[label],
                    probability=float(probabilities[row, label]),
                    logit=float(logits[row, label]),
                    predicted=self.classes[int(best[row])],
                    predicted_probability=float(probabilities[row, best[row]]),
                    peak=peaks[row],
                    blocks=without[row],
                    sanity=compare(maps[row], [other[row] for other in others]) if compared else None,
                )
            )
        return list(zip(answers, maps, strict=True))

    def _scaled(
        self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[npt.NDArray[np.float32], list[float]]:
        """Maps (N, side, side), each divided by its peak, and the peaks; both 0 where a map is empty."""
        raw = self._maps(network, images, labels).double().cpu().numpy()
        peaks = np.nan_to_num(raw.max((1, 2)), nan=0.0, posinf=0.0)
        peaks[peaks <= self.method.floor] = 0.0
        empty = (peaks == 0)[:, None, None]
        scaled = np.where(empty, 0.0, raw / np.where(empty, 1.0, peaks[:, None, None]))
        return scaled.astype(np.float32), peaks.tolist()

    def _fresh_networks(self) -> Iterator[nn.Module]:
        """The randomised networks, one after the other; large ones are made anew for each batch to save memory."""
        keep = sum(parameter.numel() for parameter in self.network.parameters()) <= KEPT_PARAMETERS
        for number in range(self.networks):
            if number < len(self._randomised):
                yield self._randomised[number]
                continue
            made = randomised(self.network, self._input, self.seed + number)
            if keep:
                self._randomised.append(made)
            yield made

    def _without_blocks(
        self, images: torch.Tensor, labels: torch.Tensor, progress: Progress
    ) -> list[tuple[Without, ...]]:
        if self.blocks is None:
            self.blocks = find_blocks(self.network, images)
        total = len(self.blocks)
        return answers_without(
            self.network,
            images,
            labels,
            self.blocks,
            self.classes,
            lambda done: progress("removing blocks", done, total),
        )
