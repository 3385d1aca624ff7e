"""`skipline train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipline.cli.console import Bars, emit_json, log, out
from skipline.cli.processes import join, run_in_processes
from skipline.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        name="train",
        help="Train a network on your images, sounds or values; write a run, bundle and report.",
    )(train)


def train(
    source: Annotated[
        str | None,
        typer.Argument(
            help="digits, cifar10, cifar100, a folder, .tar, .parquet, .npz, .npy or .csv; with --modality audio a "
            "folder of sounds"
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Catalogue name (see `skipline models`).")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="fast, tiny, photos, finetune, sounds, arrays, paper, lecture or a TOML file."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Of initialisation, order, augmentation and split.")] = 0,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Run folder; default: the next runs/NAME-N.")
    ] = None,
    settings: Annotated[list[str], typer.Option("--set", help="Change a key: --set optimizer.lr=0.05")] = [],  # noqa: B006
    shortcut: Annotated[str | None, typer.Option(help="A, B, C or none, instead of the model's own.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Start from a file, a bundle, torchvision[:NAME] or hub:OWNER/NAME."),
    ] = None,
    modality: Annotated[
        str | None, typer.Option(help="audio for a folder of WAV, FLAC or OGG files; default: image.")
    ] = None,
    twin: Annotated[bool, typer.Option("--twin", help="Train the plain twin as well and compare.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run, bit for bit.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier run in --out.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first corrupt image.")] = False,
    threads: Annotated[int | None, typer.Option(help="PyTorch's; default: one a core.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where downloads are looked for and put.")] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")
    ] = False,
    no_probes: Annotated[
        bool, typer.Option("--no-probes", help="Do not look inside the network while it trains.")
    ] = False,
    nproc: Annotated[
        int | None, typer.Option(help="Processes that share every batch; one a GPU. Default: 1.")
    ] = None,
    launcher: Annotated[
        str | None,
        typer.Option(help="With --nproc: torchrun (this machine, the default) or ray (a Ray cluster)."),
    ] = None,
    restarts: Annotated[
        int, typer.Option(help="With --nproc: how often all may begin anew after a process died.")
    ] = 10,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train, or resume; print where bundle and report lie."""
    if (source is None) == (resume is None):
        raise InputError("expected a SOURCE to train on, or --resume RUN" + (", not both" if source else ""))
    if (status := run_in_processes(nproc, restarts, launcher, threads)) is not None:
        raise typer.Exit(status)
    from skipline import api
    from skipline.cli.training_display import TrainingDisplay
    from skipline.training.tensorboard import TensorBoard

    speaks = join()
    with Bars() as bars:
        display = TrainingDisplay(bars)
        if source is None:
            assert resume is not None
            observers = [display, *([TensorBoard(resume / "tensorboard")] if tensorboard else [])]
            result = api.resume(
                resume, probes=not no_probes, observers=observers, progress=bars, say=display.say
            )
        else:
            folder = out_folder or api.run_folder(source)
            observers = [display, *([TensorBoard(folder / "tensorboard")] if tensorboard else [])]
            result = api.train(
                source,
                model,
                recipe,
                epochs=epochs,
                seed=seed,
                out=folder,
                settings=settings,
                shortcut=shortcut,
                weights=weights,
                modality=modality,
                twin=twin,
                threads=threads,
                data_root=data_root,
                strict=strict,
                overwrite=overwrite,
                probes=not no_probes,
                observers=observers,
                progress=bars,
                say=display.say,
            )
    if result.interrupted:
        log(f"interrupted; the state is saved. Go on with: skipline train --resume {result.run.folder}")
        raise typer.Exit(130)
    if not speaks:
        return
    if json_output:
        emit_json(result.to_json())
        return
    _print_result(result)


def _print_result(result: object) -> None:
    from skipline.api import Trained

    assert isinstance(result, Trained)
    runs = [("network", result.run)] + ([("plain twin", result.twin)] if result.twin else [])
    for label, run in runs:
        assert run.train is not None
        assert run.test is not None
        out.print(
            f"{label:<12} train {run.train.top1:7.1%}   test {run.test.top1:7.1%}   "
            f"{run.epochs} epochs in {duration(run.seconds)}, {run.images_per_second:,.0f} img/s"
        )
        if run.augmented is not None:
            out.print(f"{'':<12} test {run.augmented.top1:.1%} with the recipe's test-time augmentation")
    if result.twin is not None and result.twin.train is not None and result.run.train is not None:
        gap = result.run.train.top1 - result.twin.train.top1
        if gap > 0.02:
            out.print(
                f"{'':<12} the same layers without shortcuts fit the training set {100 * gap:.0f} points worse: "
                "degradation, not overfitting"
            )
    out.print(f"bundle       {result.run.bundle}")
    out.print(f"report       {result.report}")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
