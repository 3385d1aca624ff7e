"""`skipline data pack` and `skipline data verify`: sets of shards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipline.cli.console import Bars, emit_json, log, out
from skipline.cli.names import printable
from skipline.errors import InputError

if TYPE_CHECKING:
    from skipline.data.imageset import Problem
    from skipline.data.shards import Verified

SHOWN = 10
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def register(data: typer.Typer) -> None:
    """Add the commands to `skipline data`."""
    data.command("pack")(pack)
    data.command("verify")(verify)


def pack(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, .tar, .parquet, shards, digits, cifar10 or cifar100.", show_default=False
        ),
    ],
    shards: Annotated[Path, typer.Option(help="Folder for the shards.", metavar="DIR", show_default=False)],
    shard_size: Annotated[str, typer.Option(help="Most that a shard has, such as 256MB or 1GB.")] = "256MB",
    data_root: Annotated[
        Path | None, typer.Option(help="Where the files of cifar10 and cifar100 lie.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order, and of the split where the source has none.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first image that cannot be decoded.")
    ] = False,
    check: Annotated[bool, typer.Option("--verify", help="Read all shards again and compare.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Pack SOURCE into shards, for training that reads them in place; go on where an earlier call was interrupted."""
    from skipline.data.shards import pack as packed
    from skipline.data.shards import verify as verified

    size = bytes_of(shard_size)
    with Bars() as bars:
        found = packed(
            source, shards, shard_size=size, data_root=data_root, seed=seed, strict=strict, progress=bars
        )
        looked = verified(shards, bars) if check else None
    values = found.to_json()
    if json:
        emit_json(values if looked is None else {**values, "broken": looked.to_json()["broken"]})
    else:
        counts = " / ".join(f"{count:,} {split}" for split, count in values["samples"].items())
        kept = f", {found.kept:,} of them from an earlier call" if found.kept else ""
        out.print(f"{found.manifest.source:<12} {values['classes']:,} classes, {counts}", markup=False)
        out.print(
            f"{'shards':<12} {values['shards']:,} in {shards}, {megabytes(values['bytes'])}{kept}",
            markup=False,
        )
        out.print(f"{'fingerprint':<12} {values['fingerprint']}")
        _show_problems("left out", found.problems)
        if looked is not None:
            _show_verdict(looked)
    if looked is not None and looked.broken:
        raise typer.Exit(1)


def verify(
    shards: Annotated[
        str,
        typer.Argument(
            help="Folder of shards, pattern such as train-{000..012}.tar, or their address.",
            show_default=False,
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Read all SHARDS and compare counts and SHA-256 with what was packed; decode the images of other tools' shards.

    Exit status 1 where anything is broken.
    """
    from skipline.data.shards import verify as verified

    with Bars() as bars:
        found = verified(shards, bars)
    if json:
        emit_json(found.to_json())
    else:
        how = "compared with shards.json" if found.packed else "of another tool: headers read, images decoded"
        out.print(f"{'shards':<12} {found.shards:,} with {found.samples:,} images, {how}")
        if found.fingerprint is not None:
            out.print(f"{'fingerprint':<12} {found.fingerprint}")
        _show_verdict(found)
    if found.broken:
        raise typer.Exit(1)


def bytes_of(text: str) -> int:
    """A size as people write it: 256MB, 1.5 GB, 64MiB or plain bytes.

    Raises:
        InputError: it is none.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMG]I?|)B?", text.strip().upper())
    if found is None:
        raise InputError(f"--shard-size: expected a size such as 256MB, 1GB or 64MiB, got '{text}'")
    return round(float(found[1]) * UNITS[found[2]])


def megabytes(size: int) -> str:
    """Bytes as a person says them."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _show_verdict(found: Verified) -> None:
    if found.broken:
        _show_problems("broken", found.broken)
    else:
        out.print(f"{'verdict':<12} whole: nothing is missing or damaged")


def _show_problems(what: str, problems: tuple[Problem, ...]) -> None:
    for problem in problems[:SHOWN]:
        out.print(f"{what:<12} {printable(problem.file)}: {problem.reason}", markup=False)
    if len(problems) > SHOWN:
        log(f"{'':<12} and {len(problems) - SHOWN:,} more; --json has all")
