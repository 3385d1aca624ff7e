"""`skipline evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from skipline.cli.console import Bars, emit_json, log, out
from skipline.cli.names import encodable, printable
from skipline.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from skipline.bundle import Bundle, Evaluation
    from skipline.data import Dataset, ImageSet
    from skipline.data.kinds import Kind

SPLITS = ("test", "train", "validation", "all")
CLASSES_SHOWN = 30
CONFUSIONS_SHOWN = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="evaluate", help="Measure a trained network on labelled images, sounds or values.")(
        evaluate
    )


def evaluate(
    target: Annotated[Path, typer.Argument(help="A run or a bundle.", metavar="RUN_OR_BUNDLE")],
    source: Annotated[
        str, typer.Argument(help="digits, cifar10, cifar100, a folder, .tar, .parquet, .npz, .npy or .csv")
    ],
    split: Annotated[str, typer.Option(help="test, train, validation or all.")] = "test",
    tta: Annotated[str, typer.Option(help="Test-time augmentation: none, flip or flip-shift.")] = "none",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    data_root: Annotated[Path | None, typer.Option(help="Where downloads are looked for and put.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Top-1, top-5, calibration, classes and confusions on one split of a source.

    A source that has no split of its own is split with the seed that the network was trained with, so that
    its test part is the one that the network has not seen.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    import numpy as np

    from skipline.bundle import evaluate as measure
    from skipline.bundle import load_bundle, score

    bundle = load_bundle(target)
    with Bars() as bars:
        dataset = bundle.open_source(source, data_root=data_root, progress=bars)
        chosen = _choose(dataset, split)
        parts = [
            measure(
                bundle.network,
                images,
                bundle.preprocessing,
                classes=bundle.classes,
                precision=precision,
                tta=tta,
                progress=bars,
            )
            for images in chosen
        ]
    result = parts[0]
    if len(parts) > 1:
        logits = np.concatenate([part.logits for part in parts])
        labels = np.concatenate([part.file_labels for part in chosen])
        result = score(logits, labels, dataset.classes, result.notes, dataset.kind)
    notes = [*dataset.notes, *_cautions(bundle, dataset, split), *result.notes]
    if json_output:
        conditions = {"target": encodable(str(target)), "source": dataset.name, "split": split, "tta": tta}
        left_out = [{"file": problem.file, "reason": problem.reason} for problem in dataset.problems]
        emit_json(
            {**result.to_json(), **conditions, "precision": precision, "notes": notes, "problems": left_out}
        )
        return
    for note in notes:
        log(f"note         {note}")
    for problem in dataset.problems[:3]:
        log(f"left out     {problem.file}: {problem.reason}")
    if len(dataset.problems) > 3:
        log(f"left out     and {len(dataset.problems) - 3} more files")
    how = f"{precision}, {'no' if tta == 'none' else tta} test-time augmentation"
    out.print(
        f"{bundle.name} on {dataset.name}, {split} split: {dataset.kind.counted(result.n)}, {how}",
        markup=False,
    )
    render(result, dataset.kind)


def _choose(dataset: Dataset, split: str) -> list[ImageSet]:
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    present = {name: images for name, images in splits.items() if images is not None}
    if split == "all":
        return list(present.values())
    if split not in present:
        raise InputError(f"{dataset.name} has no {split} split: expected --split {' or '.join(present)}")
    return [present[split]]


def _cautions(bundle: Bundle, dataset: Dataset, split: str) -> list[str]:
    """What a reader must know before trusting the figures."""
    cautions = []
    trained_on = bundle.provenance.get("source"), bundle.provenance.get("fingerprint")
    if trained_on[0] == dataset.name and trained_on[1] not in (None, dataset.fingerprint):
        cautions.append(
            f"{dataset.name} has changed since the network was trained: if the split is drawn by seed, "
            f"{dataset.kind.many} it was trained on may be among these"
        )
    elif trained_on[1] == dataset.fingerprint and split in ("train", "all"):
        cautions.append(
            f"the network was trained on these {dataset.kind.many}, so this says little about new ones"
        )
    return cautions


def render(result: Evaluation, kind: Kind) -> None:
    """Print the figures for people: the headline, the classes, the confusions."""
    low, high = result.top1_interval
    out.print(
        f"top-1        {100 * result.top1:.2f} %  [{100 * low:.2f}, {100 * high:.2f}] (95 % interval)",
        markup=False,
    )
    if len(result.classes) > 5:
        out.print(f"top-5        {100 * result.top5:.2f} %")
    out.print(f"loss         {_figure(result.loss, '.4f')}")
    out.print(f"calibration  {_figure(result.ece, '.4f')} expected calibration error")
    out.print()
    _print_classes(result, kind)
    _print_confusions(result, kind)


def _print_classes(result: Evaluation, kind: Kind) -> None:
    shown = [score for score in result.classes if score.n or score.precision is not None]
    worst_first = sorted(shown, key=lambda score: (score.recall is None, score.recall))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for heading in (kind.many, "recall", "precision"):
        table.add_column(heading, justify="right", no_wrap=True)
    listed = shown if len(shown) <= CLASSES_SHOWN else worst_first[:CLASSES_SHOWN]
    for score in listed:
        table.add_row(
            Text(printable(score.name)), f"{score.n:,}", _percent(score.recall), _percent(score.precision)
        )
    out.print(table, soft_wrap=False)
    if len(listed) < len(shown):
        out.print(f"the worst {len(listed)} of {len(result.classes)} classes; all of them with --json")
    out.print()


def _print_confusions(result: Evaluation, kind: Kind) -> None:
    counts = result.confusion
    pairs = [(int(counts[i, j]), i, j) for i, j in zip(*counts.nonzero(), strict=True) if i != j]
    if not pairs:
        out.print(f"no confusions: every {kind.one} was recognised")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("most frequent confusions", overflow="fold")
    table.add_column(kind.many, justify="right", no_wrap=True)
    table.add_column("of the class", justify="right", no_wrap=True)
    for count, i, j in sorted(pairs, key=lambda pair: -pair[0])[:CONFUSIONS_SHOWN]:
        true, predicted = result.classes[i], result.classes[j]
        names = Text(f"{printable(true.name)} taken for {printable(predicted.name)}")
        table.add_row(names, f"{count:,}", _percent(count / true.n))
    out.print(table, soft_wrap=False)


def _percent(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{100 * fraction:.1f} %"


def _figure(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)
