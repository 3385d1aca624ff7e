"""`skipline bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from skipline.cli.console import Bars, emit_json, out
from skipline.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from skipline.bench import Bench

KINDS = ("train", "input", "predict")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="bench", help="Measure speed side by side with plain PyTorch, on this machine.")(bench)


def bench(
    kind: Annotated[str, typer.Argument(help="train, input or predict.")],
    model: Annotated[
        list[str] | None, typer.Option(help="For train: a catalogue name; may be repeated.")
    ] = None,
    turns: Annotated[int, typer.Option(help="Pairs of measurements, one side after the other.")] = 5,
    threads: Annotated[int | None, typer.Option(help="Of both sides; default: one a core.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Both sides take turns; the ratio is the median over the turns, with its lowest and highest."""
    if kind not in KINDS:
        raise UnknownNameError("benchmark", kind, KINDS)
    if turns < 1:
        raise InputError(f"--turns must be at least 1, got {turns}")
    if model and kind != "train":
        raise InputError(f"--model is for `skipline bench train`; the networks of `bench {kind}` are fixed")
    from skipline import bench as benches
    from skipline.training import usable_threads

    cores = usable_threads(threads)
    with Bars() as bars:
        if kind == "train":
            result = benches.bench_train(model or benches.MODELS, turns=turns, threads=cores, progress=bars)
        elif kind == "input":
            result = benches.bench_input(turns=turns, threads=cores, progress=bars)
        else:
            result = benches.bench_predict(turns=turns, threads=cores, progress=bars)
    if json_output:
        emit_json(result.to_json())
    else:
        _print(result)


def _print(result: Bench) -> None:
    machine, limit = result.machine, result.limit
    out.print(
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}; 3x3 convolution, {limit['threads']} "
        f"threads: {limit['fp32']:,.0f} GFLOP/s in fp32, {limit['bf16']:,.0f} in bf16",
        markup=False,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("what")
    for heading in ("skipline", "peer", "ratio", "range"):
        table.add_column(heading, justify="right")
    table.add_column("peer is")
    for row in result.rows:
        low, high = row.ratio_range
        table.add_row(
            row.what,
            _rate(row.ours),
            _rate(row.peer),
            f"{row.ratio:.2f}",
            f"{low:.2f}-{high:.2f}",
            row.peer_name,
        )
    out.print(table)
    for row in result.rows:
        if "execution" in row.notes:
            out.print(
                f"{row.what}: {row.notes['execution']}; {row.notes['share_of_limit']:.0%} of the limit, "
                f"the peer {row.notes['peer_share_of_limit']:.0%}",
                markup=False,
            )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
