"""The sections on how the network learned: the plain twin beside it, findings, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from skipline.report.charts import Line, lines, thinned
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact, interval, number, percent
from skipline.report.page import Cell, chart, paragraphs, section, table
from skipline.report.record import Epoch, RunRecord
from skipline.report.twin import compare, twin_name

MOST_POINTS = 400  # of a line and rows of its table: more than a screen can show


def twin_section(run: RunRecord) -> Markup | None:
    """The plain twin beside the residual network, in a sentence and a table; None without a twin."""
    if run.twin is None:
        return None
    verdict = compare(run)
    first, *rest = verdict.sentences
    note = (
        "Training accuracy is measured after training and without augmentation, on a random sample where the "
        "training set is large. Brackets hold 95 % intervals of the test accuracy, in per cent."
    )
    headings = [
        "Network",
        "Training top-1",
        "Training loss",
        "Test top-1",
        "95 %",
        "Parameters",
        "Epochs",
        "Time",
    ]
    numbers = table(
        "The two networks",
        headings,
        [
            _twin_row(run, f"{run.start.model}, with shortcuts"),
            _twin_row(run.twin, f"{twin_name(run)}, plain twin"),
        ],
    )
    return section(
        "With and without shortcuts",
        tag("p", first, class_="lead"),
        paragraphs(rest),
        numbers,
        tag("p", note, class_="quiet") if run.evaluation and run.twin.evaluation else Markup(),
        name="twin",
    )


def _twin_row(run: RunRecord, name: str) -> list[Cell]:
    last = run.epochs[-1] if run.epochs else None
    train = run.evaluation.train if run.evaluation else last.train if last else None
    test = run.evaluation.test if run.evaluation else last.test if last else None
    bounds = run.evaluation.test.top1_interval if run.evaluation else None
    return [
        name,
        exact(train.top1, percent(train.top1)) if train else percent(None),
        number(train.loss) if train else number(None),
        exact(test.top1, percent(test.top1)) if test else percent(None),
        interval(bounds),
        f"{run.start.params:,}",
        f"{last.epoch if last else 0}",
        duration(run.seconds),
    ]


def findings_section(run: RunRecord) -> Markup | None:
    """What checks noticed during training; None where nothing was."""
    if not run.findings:
        return None
    rows = [
        [
            tag("span", found.severity, class_=f"severity {found.severity}"),
            found.diagnosis,
            found.where or "",
            found.sentence or _value(found.value),
            _value(found.threshold) + (f" ({found.source})" if found.source else ""),
            found.remedy,
        ]
        for found in run.findings
    ]
    headings = ["Severity", "Diagnosis", "Where", "Measured", "Threshold", "Remedy"]
    return section(
        "Findings during training", table("What the checks noticed", headings, rows, texts=6), name="findings"
    )


def _value(value: float | str | None) -> str:
    return value if isinstance(value, str) else number(value)


def curves_section(run: RunRecord) -> Markup:
    """Accuracy, loss and learning rate over the run."""
    if not run.epochs:
        text = "No epoch was finished, so there are no curves."
        return section("How it learned", tag("p", text), name="curves")
    blocks = [_accuracy(run), _loss(run), _rate(run)]
    return section("How it learned", *(block for block in blocks if block is not None), name="curves")


def _held_out(run: RunRecord) -> str:
    """What the curves measured beside training: "test" or "validation"."""
    return run.epochs[-1].measured_on if run.epochs else "test"


def _accuracy(run: RunRecord) -> Markup | None:
    series = _series(run, "top1", 100)
    if not series:
        return None
    what, many = _held_out(run), run.start.source.items.many
    explanation = [
        f"Share of {many} classified rightly after each epoch, on the training and on the {what} {many}. "
        + ("Dashed: the plain twin." if run.twin else ""),
        "The training figure is the mean over the epoch's batches, augmented and while the weights still "
        f"moved, so early on it may lie below the {what} figure.",
        f"Healthy: both rise and level off close together. A gap that widens while the {what} line stands "
        "still or falls is overfitting; a training line that levels off low means that the network does "
        f"not fit even the {many} it sees.",
    ]
    figure = lines(series, summary=_summary("Accuracy", run, "top1"), unit=" %")
    return chart("Accuracy", figure, explanation, _numbers(run, "top1", "accuracy"), name="accuracy")


def _loss(run: RunRecord) -> Markup | None:
    classes = len(run.start.source.classes)
    series = _series(run, "loss", 1)
    values = [value for line in series for value in line.y if value is not None]
    if not values:
        return None
    log = min(values) > 0 and max(values) > 8 * min(values)
    level = (math.log(classes), f"guessing: ln {classes} = {math.log(classes):.2f}") if classes > 1 else None
    explanation = [
        "Mean cross-entropy in nats" + (", on a logarithmic scale" if log else "") + "; lower is better. "
        f"Guessing all {classes} classes equally costs ln {classes} = {math.log(classes):.2f}, near "
        "which an untrained network begins.",
        "Healthy: a quick fall from there, then a slow one. Label smoothing, mixup and CutMix keep the "
        "training loss above zero.",
        f"A {_held_out(run)} loss that rises while the training loss falls means growing overconfidence on "
        f"new {run.start.source.items.many}, even where accuracy still holds.",
    ]
    figure = lines(series, summary=_summary("Loss", run, "loss"), log=log, level=level)
    return chart("Loss", figure, explanation, _numbers(run, "loss", "loss"), name="loss")


def _rate(run: RunRecord) -> Markup | None:
    pairs = [(step.epoch, step.lr) for step in run.steps]
    pairs = pairs or [(float(epoch.epoch), epoch.lr) for epoch in run.epochs if epoch.lr is not None]
    if not pairs:
        return None
    pairs = [pairs[i] for i in thinned(len(pairs), MOST_POINTS)]
    peak = max(rate for _, rate in pairs)
    where = next(epoch for epoch, rate in pairs if rate == peak)
    line = Line("learning rate", [epoch for epoch, _ in pairs], [rate for _, rate in pairs], "rate")
    explanation = [
        "The optimiser's learning rate at the recorded steps; it is set by the schedule, not measured.",
        "Read it against the loss: where the rate is high the loss is noisy and may rise for a while, and "
        "where it is lowered the loss usually drops.",
        "Healthy: the loss falls during the climb. A loss that only rises there speaks for a lower peak.",
    ]
    rows: list[Sequence[Cell]] = [
        [f"{pairs[i][0]:.2f}", f"{pairs[i][1]:.3g}"] for i in thinned(len(pairs), 40)
    ]
    summary = (
        f"Learning rate over epochs, at most {peak:.3g} at epoch {where:.1f}, {pairs[-1][1]:.3g} at the end."
    )
    figure = lines([line], summary=summary)
    figure.layout["showlegend"] = False
    return chart(
        "Learning rate", figure, explanation, table("Learning rate", ["Epoch", "Rate"], rows), name="rate"
    )


def _series(run: RunRecord, key: str, scale: float) -> list[Line]:
    series = []
    for record in (run, run.twin):
        if record is None or not record.epochs:
            continue
        epochs = _thinned(record.epochs)
        places = [float(epoch.epoch) for epoch in epochs]
        prefix = f"{_name(record, run)}, " if run.twin else ""
        for split, symbol in (("train", "circle"), ("test", "diamond")):
            values = [_scaled(epoch, split, key, scale) for epoch in epochs]
            if any(value is not None for value in values):
                name = prefix + ("training" if split == "train" else record.epochs[-1].measured_on)
                series.append(Line(name, places, values, split, dashed=record is run.twin, symbol=symbol))
    return series


def _scaled(epoch: Epoch, split: str, key: str, scale: float) -> float | None:
    score = epoch.train if split == "train" else epoch.test
    value: float | None = getattr(score, key) if score else None
    return None if value is None else round(scale * value, 6)


def _thinned(epochs: Sequence[Epoch]) -> list[Epoch]:
    return [epochs[i] for i in thinned(len(epochs), MOST_POINTS)]


def _numbers(run: RunRecord, key: str, what: str) -> Markup:
    shown = percent if key == "top1" else number
    columns = [(record, split) for record in (run, run.twin) if record for split in ("train", "test")]
    by_epoch = [{epoch.epoch: epoch for epoch in record.epochs} for record, _ in columns]
    epochs = sorted(set().union(*by_epoch))
    rows: list[list[Cell]] = []
    for i in thinned(len(epochs), MOST_POINTS):
        cells = [
            shown(_scaled(known[epochs[i]], split, key, 1)) if epochs[i] in known else ""
            for known, (_, split) in zip(by_epoch, columns, strict=True)
        ]
        rows.append([f"{epochs[i]}", *cells])
    headings = [
        f"{_name(record, run)}, {'training' if split == 'train' else _held_out(record)}"
        for record, split in columns
    ]
    caption = f"{what.capitalize()} after each epoch"
    return table(caption, ["Epoch", *headings], rows)


def _name(record: RunRecord, run: RunRecord) -> str:
    return run.start.model if record is run else twin_name(run)


def _summary(what: str, run: RunRecord, key: str) -> str:
    shown = percent if key == "top1" else number
    parts = []
    for record in (run, run.twin):
        if record is not None and record.epochs:
            last = record.epochs[-1]
            test = f", {_held_out(record)} {shown(getattr(last.test, key))}" if last.test else ""
            parts.append(f"{_name(record, run)} training {shown(getattr(last.train, key))}{test}")
    return f"{what} by epoch; in the last epoch: {'; '.join(parts)}."
