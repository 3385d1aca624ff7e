"""`skipline bench`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipline.cli.bench_tables import print_comparison, print_scaling
from skipline.cli.console import Bars, emit_json, log
from skipline.errors import InputError, UnknownNameError
from skipline.storage import write_atomically

if TYPE_CHECKING:
    from skipline.bench import Bench, Scaling

KINDS = ("train", "input", "predict", "scale")
WITH_PEERS = ("train", "predict")
DEFAULT_TURNS = {"scale": 3}  # of 23 points


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="bench", help="Measure speed side by side with others, and how cost grows.")(bench)


def bench(
    kind: Annotated[str, typer.Argument(help="train, input, predict or scale.")],
    model: Annotated[
        list[str] | None, typer.Option(help="For train: a catalogue name; may be repeated.")
    ] = None,
    turns: Annotated[
        int | None, typer.Option(help="Measurements of each side, in turn; default: 5, for scale 3.")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="For scale: curves, processes, streaming, failure or model; may be repeated. Default: all."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of both sides; default: one a core.")] = None,
    peers: Annotated[
        Path | None,
        typer.Option(
            help="For train and predict: the Python of an environment with timm, Lightning, Keras, ONNX Runtime and "
            "OpenVINO. Default: .venv-peers here, which `make bench` makes."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the JSON into this file as well.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """All sides take turns; a ratio is the median over the turns, with its lowest and highest.

    train: a training step, against a plain PyTorch loop, timm, Lightning and Keras. input: batches of images, against
    torchvision. predict: answers, against plain PyTorch, ONNX Runtime and OpenVINO. scale: a training step against
    batch, depth, width, side, threads and the size of the data set (curves), two processes against one with as many
    threads (processes), shards decoded on the way against the cache (streaming), what a killed process costs (failure),
    and what the cost model of docs/scale-model.md needs to know of this machine (model).
    """
    if kind not in KINDS:
        raise UnknownNameError("benchmark", kind, KINDS)
    turns = turns if turns is not None else DEFAULT_TURNS.get(kind, 5)
    if turns < 1:
        raise InputError(f"--turns must be at least 1, got {turns}")
    if model and kind != "train":
        raise InputError(f"--model is for `skipline bench train`; the networks of `bench {kind}` are fixed")
    if part and kind != "scale":
        raise InputError(f"--part is for `skipline bench scale`; `bench {kind}` has one part")
    if peers and kind not in WITH_PEERS:
        raise InputError(
            f"--peers is for `skipline bench train` and `predict`; `bench {kind}` has no such peers"
        )
    if out and not out.expanduser().absolute().parent.is_dir():
        raise InputError(f"--out: there is no folder '{out.parent}' to write {out.name} into")
    from skipline import bench as benches

    for name in part or ():
        if name not in benches.PARTS:
            raise UnknownNameError("part of the benchmark", name, benches.PARTS)
    from skipline.training import usable_threads

    cores = usable_threads(threads)
    python = benches.find_peers(peers) if kind in WITH_PEERS else None
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    start = time.monotonic()
    result: Bench | Scaling
    with Bars() as bars:
        if kind == "train":
            names = model or benches.MODELS
            result = benches.bench_train(names, turns=turns, threads=cores, peers=python, progress=bars)
        elif kind == "input":
            result = benches.bench_input(turns=turns, threads=cores, progress=bars)
        elif kind == "predict":
            result = benches.bench_predict(turns=turns, threads=cores, peers=python, progress=bars)
        else:
            result = benches.bench_scale(
                parts=part or benches.PARTS, rounds=turns, threads=cores, progress=bars
            )
    values = {
        **result.to_json(),
        "command": _command(kind, model, part, turns, threads),
        "measured": time.strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - start),
        "load_before": None if busy is None else round(busy, 2),
    }
    if out:
        _write(out.expanduser(), values)
    if json_output:
        emit_json(values)
    elif isinstance(result, benches.Scaling):
        print_scaling(result)
    else:
        print_comparison(result)
    for note in result.notes:
        log(note)


def _command(
    kind: str, model: list[str] | None, part: list[str] | None, turns: int, threads: int | None
) -> str:
    """What to type to measure the same again; where files lie is left out."""
    names = [*(f"--model {name}" for name in model or ()), *(f"--part {name}" for name in part or ())]
    parts = [f"skipline bench {kind}", *names, f"--turns {turns}"]
    return " ".join([*parts, *([f"--threads {threads}"] if threads else [])])


def _write(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
