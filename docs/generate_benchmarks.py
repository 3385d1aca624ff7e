"""Write docs/benchmarks.md from docs/results/bench/*.json, which `make bench` measures.

python docs/generate_benchmarks.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "bench"
Values = dict[str, Any]

HEAD = """\
# Benchmarks

Written by `docs/generate_benchmarks.py` from the JSON in [results/bench](results/bench), which `make bench` measures;
the peers run in an environment of their own (`benchmarks/peers.txt`). Other machines differ: run it on yours.

Both sides take turns, A B A B, after a pair that warms up. Rates are images a second: the median over the turns, and
the lowest and highest in brackets. A ratio is the median over the turns of ours divided by the peer's, so above 1
skipline is the faster; drifts of the machine touch both sides of a turn. The limit is what a 3x3 convolution with 64
channels reaches on 128 images of 32 x 32, forward and backward, measured in the same sitting."""

SECTIONS = {
    "train": (
        "A training step",
        "Forward pass, backward pass and SGD step on a batch in memory, the same architecture on every side "
        "(parameters counted). Ours is what `skipline train` does; the peers compute in fp32 with their own defaults.",
    ),
    "input": ("Input", "Images a second that would reach a network, against torchvision's ways."),
    "predict": (
        "Prediction",
        "Ours is computed as `skipline predict` computes many images: by whichever of PyTorch and OpenVINO, fp32 and "
        "bf16, is the fastest and agrees with plain fp32, chosen by measurement. Runtimes are given the network as "
        "ONNX, exported for the batch, and their own defaults.",
    ),
    "scale": (
        "How cost grows",
        "A training step, one quantity varied at a time. Cost is relative to the first row, the median over the rounds "
        "of their ratios; linear is what it would be if it grew as the work does: images for batches and data sets, "
        "multiply-adds for depth, width and side, 1 / n for threads.",
    ),
}


def page(folder: Path) -> str:
    """The page.

    Args:
        folder: holds <kind>.json for the kinds that were measured.
    """
    parts = [HEAD]
    for kind, (title, about) in SECTIONS.items():
        parts += [f"## {title}", about]
        path = folder / f"{kind}.json"
        if path.is_file():
            values = json.loads(path.read_text(encoding="utf-8"))
            parts += [_provenance(values), *_curves(values), *_comparisons(values)]
            parts += [f"- {note}" for note in values["notes"]]
        else:
            parts.append(f"Not measured: `skipline bench {kind} --out docs/results/bench/{kind}.json`.")
    return "\n\n".join(parts) + "\n"


def _provenance(values: Values) -> str:
    machine, limit = values["machine"], values["limit"]
    versions = [
        f"{name} {machine[name]}" for name in ("skipline", "torch", "torchvision", "python") if machine[name]
    ]
    lines = [
        f"    {values['command']}",
        "",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['platform']}; "
        f"limit on {limit['threads']} threads {limit['fp32']:,.0f} GFLOP/s in fp32, {limit['bf16']:,.0f} in bf16.",
        f"- Versions: {', '.join(versions)}{_of_peers(values['rows'])}.",
        f"- Measured {values['measured']} in {_duration(values['seconds'])}{_load(values['load_before'])}.",
    ]
    if "execution" in values:
        lines.append(f"- Computed in {values['execution']}.")
    return "\n".join(lines)


def _of_peers(rows: list[Values]) -> str:
    found: dict[str, str] = {}
    for row in rows:
        versions = row.get("notes", {}).get("peer", {}).get("versions", {})
        if versions:
            who = row["peer_name"].partition(":")[0].partition(" (")[0]
            found[who] = " and ".join(f"{name} {version}" for name, version in versions.items())
    return "; " + ", ".join(f"{who} with {versions}" for who, versions in found.items()) if found else ""


def _load(load: float | None) -> str:
    return "" if load is None else f"; before it the machine was busy with {load:.1f} processes"


def _comparisons(values: Values) -> list[str]:
    parts = []
    compared = [row for row in values["rows"] if "ratio" in row]
    for what, group in groupby(compared, lambda row: row["what"]):
        rows = list(group)
        notes = rows[0]["notes"]
        title = f"**{what[:1].upper()}{what[1:]}**"
        if "execution" in notes:
            title += f", ours in {notes['execution']}"
        if "engine" in notes:
            title += f", ours by {notes['engine']}"
        limited = "share_of_limit" in notes
        heads = ["Peer", "skipline", "Peer's", "Ratio", *(["Of the limit: ours, peer's"] if limited else [])]
        table = [heads, ["---", *["---:"] * (len(heads) - 1)]]
        for row in rows:
            low, high = row["ratio_range"]
            sides = [_rates([pair[side] for pair in row["runs"]]) for side in (0, 1)]
            cells = [row["peer_name"], *sides, f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]"]
            if limited:
                shares = (row["notes"]["share_of_limit"], row["notes"]["peer_share_of_limit"])
                cells.append(", ".join(f"{100 * share:.0f} %" for share in shares))
            table.append(cells)
        unit = " Seconds of the whole command." if rows[0].get("unit") == "s" else ""
        parts += [f"{title}; {_count(rows[0]['runs'], 'turn')}.{unit}", _table(table)]
        if "seconds_lost" in notes:
            parts.append(
                f"{notes['killed'].capitalize()}, a checkpoint every {notes['checkpoint_every']}: "
                f"{notes['seconds_to_next_step']:.1f} s to the next step, {notes['seconds_lost']:.1f} s until all was as "
                f"before, {notes['steps_repeated']:.0f} steps repeated (medians)."
            )
    return parts


def _curves(values: Values) -> list[str]:
    parts = []
    for curve in values["rows"]:
        if "points" not in curve:
            continue
        points = curve["points"]
        columns: list[tuple[str, Callable[[Values], str]]] = [
            (curve["axis"].capitalize(), lambda point: f"{point['x']:,}"),
            ("Images/s", lambda point: _rates(point["runs"])),
            ("Cost", lambda point: f"{point['cost']:.2f}"),
            ("Linear", lambda point: f"{point['linear']:.2f}"),
        ]
        if points[0]["share_of_limit"] is not None:
            columns.append(("Of the limit", lambda point: f"{100 * point['share_of_limit']:.0f} %"))
        if points[0]["notes"]:
            columns.append(("Own memory", lambda point: _mebibytes(point["notes"]["own_memory_bytes"])))
            columns.append(("Peak memory", lambda point: _mebibytes(point["notes"]["peak_memory_bytes"])))
        table = [[name for name, _ in columns], ["---:"] * len(columns)]
        table += [[show(point) for _, show in columns] for point in points]
        title = f"**{curve['what'][:1].upper()}{curve['what'][1:]}**; {_count(points[0]['runs'], 'round')}."
        parts += [title, _table(table), curve["summary"] + _memory(points)]
    return parts


def _memory(points: list[Values]) -> str:
    first, last = points[0], points[-1]
    if first["notes"].get("own_memory_bytes") is None:
        return ""
    growth = last["notes"]["own_memory_bytes"] / first["notes"]["own_memory_bytes"]
    return (
        f" The process's own memory becomes {growth:.2f} times for {last['x'] / first['x']:.0f} times the images; its "
        "peak also holds pages of the mapped images, which the system takes back when it needs them. Each size in a "
        "process of its own, from the decoding on."
    )


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _rates(runs: list[float]) -> str:
    return f"{_rate(median(runs))} [{_rate(min(runs))}, {_rate(max(runs))}]"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _mebibytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 2**20:,.0f} MiB"


def _count(runs: list[Any], unit: str) -> str:
    return f"{len(runs)} {unit}{'' if len(runs) == 1 else 's'}"


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"


if __name__ == "__main__":
    (HERE / "benchmarks.md").write_text(page(RESULTS), encoding="utf-8")
    print("docs/benchmarks.md")
