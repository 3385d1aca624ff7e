"""What `skipline bench` prints: tables that fit 80 columns, with what they share above them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table

from skipline.cli.console import out

if TYPE_CHECKING:
    from skipline.bench import Bench, Curve, Row, Scaling


def print_comparison(result: Bench) -> None:
    """The machine, then a table for each thing that is done, with a line a peer."""
    _print_machine(result.machine, result.limit)
    _print_comparisons(result.rows)


def print_scaling(result: Scaling) -> None:
    """The machine, then a table and a sentence for each curve, the comparisons, and what the cost model is told."""
    _print_machine(result.machine, result.limit)
    _line(f"computed in {result.execution}")
    for curve in result.curves:
        _print_curve(curve)
    _print_comparisons(result.comparisons)
    if result.model_inputs is not None:
        _print_inputs(result.model_inputs)


def _print_comparisons(rows: Iterable[Row]) -> None:
    for what, group in groupby(rows, lambda row: row.what):
        _print_rows(what, list(group))


def _print_inputs(inputs: dict[str, Any]) -> None:
    _line("\nfor the cost model")
    table = _table(("network",), ("processes", "threads", "ms an image", "ms a step"))
    for step in inputs["steps"]:
        cells = (f"{1e3 * step[key]:.2f}" for key in ("seconds_per_image", "seconds_per_step"))
        table.add_row(step["network"], str(step["processes"]), str(step["threads"]), *cells)
    out.print(table, soft_wrap=False, markup=False)
    for link in inputs["links"]:
        _line(
            f"all-reduce over loopback between {link['processes']} processes: "
            f"{link['link']['bandwidth'] / 1e6:,.0f} MB/s, {1e3 * link['link']['latency']:.3f} ms a message"
        )
    images = inputs["images"]
    _line(
        f"a photo of {images['bytes'] / 1e3:,.0f} kB: {1e3 * images['seconds']:.2f} ms of one core to decode"
    )


def _print_machine(machine: dict[str, Any], limit: dict[str, Any]) -> None:
    _line(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    _line(
        f"limit: a 3x3 convolution on {limit['threads']} threads reaches {limit['fp32']:,.0f} GFLOP/s in fp32, "
        f"{limit['bf16']:,.0f} in bf16"
    )


def _print_rows(what: str, rows: list[Row]) -> None:
    notes = rows[0].notes
    _line(f"\n{what} ({rows[0].unit})")
    if "execution" in notes:
        _line(f"skipline: {notes['execution']}; {notes['share_of_limit']:.0%} of the limit")
    if "engine" in notes:
        _line(f"skipline: {notes['engine']}")
    table = _table(("peer",), ("skipline", "peer's", "ratio", "range"))
    for row in rows:
        low, high = row.ratio_range
        table.add_row(
            row.peer_name, rate(row.ours), rate(row.peer), f"{row.ratio:.2f}", f"{low:.2f}-{high:.2f}"
        )
    out.print(table, soft_wrap=False, markup=False)
    if "seconds_lost" in notes:
        _line(
            f"{notes['killed']}: {notes['seconds_to_next_step']:.1f} s to the next step, {notes['seconds_lost']:.1f} s "
            f"until all was as before, {notes['steps_repeated']:.0f} steps repeated"
        )


def _print_curve(curve: Curve) -> None:
    _line(f"\n{curve.what}")
    limited = any(point.share_of_limit is not None for point in curve.points)
    memory = any(point.notes for point in curve.points)
    columns = [curve.axis, "images/s", "range", *(["of limit"] if limited else []), "cost", "linear"]
    table = _table((), (*columns, *(["own MiB", "peak MiB"] if memory else [])))
    for point in curve.points:
        low, high = point.range
        cells = [f"{point.x:,}", rate(point.images_per_second), f"{rate(low)}-{rate(high)}"]
        if limited:
            cells.append("" if point.share_of_limit is None else f"{point.share_of_limit:.0%}")
        cells += [f"{point.cost:.2f}", f"{point.linear:.2f}"]
        if memory:
            cells += [_mebibytes(point.notes[key]) for key in ("own_memory_bytes", "peak_memory_bytes")]
        table.add_row(*cells)
    out.print(table, soft_wrap=False, markup=False)
    _line(curve.summary)


def _table(texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _line(text: str) -> None:
    out.print(text, markup=False, soft_wrap=False)


def rate(value: float) -> str:
    """Images a second, with a decimal where they are few."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _mebibytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 2**20:,.0f}"
