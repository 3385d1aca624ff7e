"""`skipline upscale`: train networks that enlarge images, and use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from skipline.cli.console import Bars, emit_json, log, out
from skipline.cli.names import printable
from skipline.cli.processes import join, run_in_processes
from skipline.cli.train import duration
from skipline.errors import InputError

if TYPE_CHECKING:
    from skipline.api.upscaling import UpscaleTrained
    from skipline.upscaling import UpscaleEvaluation

SHOWN = 20  # photos of a table


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    upscale = typer.Typer(
        help="Enlarge images by networks that learn what bicubic enlargement leaves out.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    upscale.command("train", help="Train a network on photos; write a run with bundle and report.")(train)
    upscale.command("apply", help="Enlarge images of any size.")(apply)
    upscale.command("evaluate", help="Compare with bicubic and Lanczos enlargement on photos.")(evaluate)
    app.add_typer(upscale, name="upscale")


def train(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A folder of photos, or cifar10, a .tar or a .parquet. Default: the photographs that scikit-learn and "
            "scikit-image ship."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="vdsr, edsr-baseline, srresnet, espcn or bicubic-shuffle.")
    ] = "edsr-baseline",
    scale: Annotated[int, typer.Option(help="2, 3 or 4.")] = 2,
    recipe: Annotated[str, typer.Option(help="upscale or a TOML file.")] = "upscale",
    global_residual: Annotated[
        bool | None,
        typer.Option(
            "--global-residual/--no-global-residual",
            help="Add the output to bicubic enlargement, or compute the image itself. Default: the model's own.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of as many as fit into ten minutes.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, patches and split.")] = 0,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Run folder; default: the next runs/NAME-N.")
    ] = None,
    settings: Annotated[list[str], typer.Option("--set", help="Change a key: --set minutes=30")] = [],  # noqa: B006
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run, bit for bit.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier run in --out.")] = False,
    threads: Annotated[int | None, typer.Option(help="PyTorch's; default: one a core.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where downloads are looked for and put.")] = None,
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
    if source is not None and resume is not None:
        raise InputError("expected a SOURCE to train on, or --resume RUN, not both")
    if (status := run_in_processes(nproc, restarts, launcher, threads)) is not None:
        raise typer.Exit(status)
    from skipline.api.upscaling import resume_upscaler, train_upscaler
    from skipline.cli.training_display import TrainingDisplay

    speaks = join()
    with Bars() as bars:
        display = TrainingDisplay(bars)
        if resume is not None:
            result = resume_upscaler(resume, observers=[display], progress=bars, say=display.say)
        else:
            result = train_upscaler(
                source,
                model,
                recipe,
                scale=scale,
                global_residual=global_residual,
                epochs=epochs,
                seed=seed,
                out=out_folder,
                settings=settings,
                threads=threads,
                data_root=data_root,
                overwrite=overwrite,
                observers=[display],
                progress=bars,
                say=display.say,
            )
    if result.interrupted:
        log(
            f"interrupted; the state is saved. Go on with: skipline upscale train --resume {result.run.folder}"
        )
        raise typer.Exit(130)
    if not speaks:
        return
    if json_output:
        emit_json(result.to_json())
        return
    _print_run(result)


def _print_run(trained: UpscaleTrained) -> None:
    run = trained.run
    assert run.result is not None
    _print_table(run.result)
    out.print(
        f"{'time':<12} {run.epochs} epochs in {duration(run.seconds)}, {run.images_per_second:,.0f} patches/s"
    )
    out.print(f"bundle       {run.bundle}")
    out.print(f"report       {trained.report}")


def evaluate(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    source: Annotated[
        str,
        typer.Argument(
            help="Photos: a folder (all of it), an image, or a name such as cifar10 (its test images)."
        ),
    ],
    jpeg: Annotated[
        int | None, typer.Option(help="Quality of JPEG artefacts in the small images, 1-95.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Use only the central square of so many pixels of each photo: much faster."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many photos, evenly spaced.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where downloads are looked for and put.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make photos small, enlarge them again, and compare with the originals: PSNR and SSIM on luma."""
    from skipline.upscaling import evaluate_upscaler, load_upscaler
    from skipline.upscaling.photos import all_photos

    upscaler = load_upscaler(target)
    with Bars() as bars:
        photos = all_photos(source, data_root=data_root, limit=limit, progress=bars)
        found = evaluate_upscaler(
            upscaler.enlarge, upscaler.scale, photos, jpeg=jpeg, crop=crop, progress=bars
        )
    if json_output:
        emit_json(found.to_json())
        return
    _print_table(found)
    for problem in found.left_out[:SHOWN]:
        log(f"left out {printable(problem.file)}: {problem.reason}")


def _print_table(found: UpscaleEvaluation) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("photo")
    for heading in ("PSNR", "bicubic", "Lanczos", "gain dB", "SSIM", "bicubic"):
        table.add_column(heading, justify="right")
    rows = [(printable(image.file), vars(image)) for image in found.images[:SHOWN]]
    rows.append((f"mean of {len(found.images):,}", found.mean))
    for name, values in rows:
        gain = values["psnr"] - values["bicubic_psnr"]
        table.add_row(
            name,
            *(f"{values[key]:.2f}" for key in ("psnr", "bicubic_psnr", "lanczos_psnr")),
            f"{gain:+.2f}",
            *(f"{values[key]:.4f}" for key in ("ssim", "bicubic_ssim")),
        )
    out.print(table)
    if len(found.images) > SHOWN:
        out.print(f"and {len(found.images) - SHOWN:,} more; --json has all")


def apply(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    images: Annotated[
        list[Path], typer.Argument(help="Images, or folders of images.", metavar="IMAGE|FOLDER")
    ],
    out_path: Annotated[
        Path,
        typer.Option(
            "--out", help="A file for one image, a folder for several; its suffix chooses the format."
        ),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier files.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Enlarge each image; one that cannot be read is named, and the rest go on.

    Memory stays bounded whatever the size of an image: the network sees tiles that overlap, and leaves no seams. Grey
    images stay grey, transparency stays.

    The exit status is 0 if any image was enlarged, 1 if none could be.
    """
    from skipline.upscaling import load_upscaler
    from skipline.upscaling.applying import apply_to_files

    upscaler = load_upscaler(target)
    with Bars() as bars:
        results = apply_to_files(upscaler, images, out_path, overwrite=overwrite, progress=bars)
    if json_output:
        emit_json({"images": [result.to_json() for result in results]})
    else:
        for result in results:
            if result.error is not None:
                log(f"left out {printable(result.file)}: {result.error}")
            else:
                width, height = result.size
                notes = "".join(f"  ({note})" for note in result.notes)
                out.print(
                    f"{printable(result.file)}  ->  {printable(str(result.out))}  {width} x {height}{notes}"
                )
    if all(result.error is not None for result in results):
        raise typer.Exit(1)
