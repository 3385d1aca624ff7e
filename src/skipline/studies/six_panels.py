"""Charts of the six networks: accuracy, gradients and activations, and a table of size, time and result."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

from skipline.report.panels import LinesPanel, Panel, TablePanel
from skipline.studies.evidence import percent
from skipline.studies.six_results import MODELS, SixModels, convolutions, gradients
from skipline.studies.spread import span

# Test accuracy in percent that the lecture's notebook prints after ten epochs.
PUBLISHED_TEST = dict(zip(MODELS, (64.89, 10.00, 80.32, 77.96, 81.10, 81.27), strict=True))


def panels(six: SixModels) -> list[Panel]:
    """The study's charts, in the order of the page."""
    return [
        _accuracy(six, "Training accuracy", "train"),
        _accuracy(six, "Accuracy on held-out images", "test"),
        _flow(
            six,
            "Gradients before training",
            lambda model: [gradients(reading) for reading in six.fresh[model]],
            "|dL/dW|",
            (
                "L2 norm of the gradient of each 3x3 (or larger) convolution's weights, on one batch, in the order "
                "of the layers; the band spans the untrained networks.",
                "Without BN it falls towards the input by orders of magnitude: the first layers hardly move. With BN "
                "all layers receive gradients of similar size, so the degradation of the deeper network is not a "
                "story of vanishing gradients.",
            ),
        ),
        _flow(
            six,
            "Gradients after training",
            lambda model: [gradients(run["reading"]) for run in six.runs[model]],
            "|dL/dW|",
            (
                "The same on the trained networks. A network that fits its images well has small gradients "
                "everywhere; what matters is the shape of a line, not its height.",
            ),
        ),
        _flow(
            six,
            "Activations before training",
            lambda model: [_deviations(reading) for reading in six.fresh[model]],
            "deviation",
            (
                "Standard deviation of each convolution's output on the same batch. A line that falls steadily means "
                "that the signal dies out before it reaches the classifier.",
            ),
        ),
        _flow(
            six,
            "Activations after training",
            lambda model: [_deviations(run["reading"]) for run in six.runs[model]],
            "deviation",
            ("The same on the trained networks.",),
        ),
        _table(six),
    ]


def _accuracy(six: SixModels, title: str, split: str) -> LinesPanel:
    series = []
    for index, (model, runs) in enumerate(six.runs.items()):
        curves = [
            [None if epoch[split] is None else epoch[split]["top1"] for epoch in run["epochs"][: six.epoch]]
            for run in runs
        ]
        x = range(1, six.epoch + 1)
        series.append(span(model, x, curves, factor=100, dashed="resnet" not in model, color=index))
    return LinesPanel(
        title=title,
        explanation=(
            "Mean over the batches of each epoch, augmented, while the weights moved: as the lecture prints it."
            if split == "train"
            else "Measured after each epoch, without augmentation.",
            "Networks without shortcuts are dashed.",
        ),
        x_label="epoch",
        y_label="accuracy",
        unit=" %",
        series=tuple(series),
        level=(100 * six.chance, "largest class"),
    )


def _flow(
    six: SixModels,
    title: str,
    values: Callable[[str], list[list[float]]],
    y_label: str,
    explanation: tuple[str, ...],
) -> LinesPanel:
    series = []
    for index, model in enumerate(MODELS):
        rows = [[value if value > 1e-30 else None for value in row] for row in values(model)]
        x = range(1, len(rows[0]) + 1)
        series.append(span(model, x, rows, dashed="resnet" not in model, color=index))
    return LinesPanel(
        title=title,
        explanation=explanation,
        x_label="convolution, from the image on",
        y_label=y_label,
        log_y=True,
        series=tuple(series),
    )


def _deviations(reading: dict[str, Any]) -> list[float]:
    return [layer["std"] or 1e-30 for layer in convolutions(reading)]


def _table(six: SixModels) -> TablePanel:
    rows = []
    for model in MODELS:
        arm = six.arm(model)
        figures = {name: fmean(values) for name, values in arm.results.items()}
        rows.append(
            (
                model,
                MODELS[model],
                f"{arm.params:,}",
                f"{(arm.macs or 0) / 1e6:,.0f} M",
                f"{figures['seconds']:,.0f}",
                percent(figures["last epoch's train top-1"]),
                percent(figures["train top-1"]),
                percent(figures["test top-1"]),
                f"{PUBLISHED_TEST[model]:.2f} %",
            )
        )
    return TablePanel(
        title="Size, time and result",
        explanation=(
            "Training accuracy twice: over the last epoch while the weights moved, and afterwards without "
            "augmentation. The published test accuracy is the lecture's, after 10 epochs on CIFAR-10.",
        ),
        headings=(
            *("network", "what it is", "parameters", "MACs", "seconds"),
            *("last epoch", "training", "test", "published test"),
        ),
        rows=tuple(rows),
        texts=2,
    )
