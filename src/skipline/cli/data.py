"""`skipline data`: look at a data set before training on it, or pack it into shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipline.cli import shards
from skipline.cli.console import Bars, emit_json, out

if TYPE_CHECKING:
    from skipline.data.audit import Audit

STYLES = {"fine": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}
SHOWN_CLASSES = 20
SHOWN_FILES = 10


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    data = typer.Typer(
        help="Look at a data set before training on it, or pack it into shards.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    data.command("check")(check)
    shards.register(data)
    app.add_typer(data, name="data")


def check(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, a .tar, a .parquet or one of digits, cifar10, cifar100.", show_default=False
        ),
    ],
    channels: Annotated[int | None, typer.Option(help="1, 3 or 4; default: what the images have.")] = None,
    stored: Annotated[int | None, typer.Option(help="Side in pixels that images are stored at.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Where the files of cifar10 and cifar100 lie.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, where the source has none.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first file that cannot be used.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Report sizes, classes, imbalance, corrupt files, duplicates and channel statistics of SOURCE."""
    from skipline.data.audit import check_source

    with Bars() as bars:
        found = check_source(
            source,
            channels=channels,
            stored=stored,
            data_root=data_root,
            seed=seed,
            strict=strict,
            progress=bars,
        )
    if json:
        emit_json(found.to_json())
    else:
        _show(found)


def _show(found: Audit) -> None:
    from rich.table import Table
    from rich.text import Text

    channels, height, width = found.shape
    kind = "photographs" if found.photographic else "small images"
    _line("", f"{found.images:,} images, {len(found.classes)} classes, {kind}", name=found.name)
    _line("stored", f"{width} x {height}, {channels} channel{'s' if channels > 1 else ''}")
    if found.sizes is not None:
        low, mid, high = (
            f"{w} x {h}" for w, h in (found.sizes.smallest, found.sizes.median, found.sizes.largest)
        )
        _line("files", f"all {low}" if low == high else f"{low} to {high}, median {mid}")
    _line("mean", "  ".join(f"{value:.4f}" for value in found.mean) + "   of the training images, on 0-1")
    _line("std", "  ".join(f"{value:.4f}" for value in found.std))
    for note in found.notes:
        _line("note", note)
    out.print()

    splits = [s for s in ("train", "validation", "test") if any(getattr(c, s) for c in found.classes)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class")
    for split in splits:
        table.add_column(split, justify="right")
    table.add_column("")
    most = max(sum((c.train, c.validation, c.test)) for c in found.classes)
    for count in found.classes[:SHOWN_CLASSES]:
        total = count.train + count.validation + count.test
        bar = Text("█" * max(1, round(24 * total / most)), style="blue")
        table.add_row(Text(count.name), *(f"{getattr(count, split):,}" for split in splits), bar)
    out.print(table)
    if len(found.classes) > SHOWN_CLASSES:
        out.print(f"... and {len(found.classes) - SHOWN_CLASSES} classes more (--json lists all)")
    out.print()

    for remark in found.remarks:
        out.print(
            Text(f"{remark.severity:<9}", STYLES[remark.severity])
            + Text(f"{remark.about:<12} {remark.message}", "")
        )
    for problem in found.problems[:SHOWN_FILES]:
        _line("", f"{problem.file}: {problem.reason}")
    if len(found.problems) > SHOWN_FILES:
        _line("", f"... and {len(found.problems) - SHOWN_FILES:,} more (--json lists all)")
    if found.duplicates.examples:
        out.print()
        for pair in found.duplicates.examples[:SHOWN_FILES]:
            classes = "" if pair.labels[0] == pair.labels[1] else f"   ({pair.labels[0]} / {pair.labels[1]})"
            sign = "=" if pair.exact else "~"
            _line("equal" if pair.exact else "alike", f"{pair.first}  {sign}  {pair.second}{classes}")
    out.print()
    worst = next((s for s in ("error", "warning") if any(r.severity == s for r in found.remarks)), "fine")
    out.print(Text(found.verdict, STYLES[worst]))


def _line(label: str, text: str, name: str = "") -> None:
    out.print(f"{name or label:<12} {text}", markup=False)
