"""`skipline export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipline.cli.console import Bars, emit_json, log, out
from skipline.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="export", help="Write a trained network for another runtime, and check it there.")(
        export
    )


def export(
    target: Annotated[Path, typer.Argument(help="A bundle or a run.", metavar="BUNDLE")],
    to: Annotated[str, typer.Option(help="onnx, openvino or torch-export.")] = "onnx",
    images: Annotated[
        str | None,
        typer.Option(
            help="Labelled images to compare on and to calibrate int8 on, such as what it was trained on. Default: "
            "pieces of two photographs, without labels.",
            metavar="SOURCE",
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit integers, calibrated on --images.")] = False,
    max_drop: Annotated[float, typer.Option(help="Largest fall of accuracy with --int8, 0-1.")] = 0.01,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Any number of images at a time, instead of one.")
    ] = False,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The file. Default: beside the bundle, named like the model.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier file.")] = False,
    data_root: Annotated[Path | None, typer.Option(help="Where downloads are looked for and put.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the file, run it in its own runtime on real images, and keep it only if it answers as the network does.

    Pixels go in, (N, H, W, C) uint8, probabilities come out: crop and normalisation are inside. Class names, how to
    resize a photo, accuracy and provenance stand in the file's metadata.
    """
    from skipline.bundle import find_bundle, load_bundle
    from skipline.export import export_bundle, find_images
    from skipline.upscaling import is_upscaler

    if is_upscaler(target):
        if images is not None or int8 or dynamic_batch:
            raise InputError(
                "--images, --int8 and --dynamic-batch are for classifiers: leave them out, this bundle enlarges images"
            )
        _export_upscaler(target, to, out_file, overwrite, json_output)
        return
    from skipline.export.formats import format_called

    suffix = format_called(to).suffix
    bundle = load_bundle(target)
    file = out_file or find_bundle(target).parent / f"{bundle.name}{'-int8' if int8 else ''}{suffix}"
    with Bars() as bars:
        probe = find_images(bundle, images, data_root=data_root, progress=bars)
        exported = export_bundle(
            bundle,
            to,
            file,
            probe,
            int8=int8,
            dynamic_batch=dynamic_batch,
            max_drop=max_drop,
            overwrite=overwrite,
            progress=bars,
        )
    if json_output:
        emit_json(exported.to_json())
        return
    found = exported.comparison
    kind = f"{to} int8" if int8 else to
    out.print(f"{kind:<12} {exported.file}, {exported.bytes / 1e6:.1f} MB", markup=False)
    out.print(
        f"{'checked':<12} on {exported.images}: probabilities differ by at most {found.max_abs_difference:.1g}, "
        f"the same class for {found.top1_agreement:.1%}",
        markup=False,
    )
    if found.accuracy_before is not None and found.accuracy_after is not None:
        out.print(f"{'accuracy':<12} {found.accuracy_before:.2%} before, {found.accuracy_after:.2%} after")
    elif images is None:
        log("note         without --images SOURCE there are no labels: accuracy was not compared")


def _export_upscaler(
    target: Path, to: str, out_file: Path | None, overwrite: bool, json_output: bool
) -> None:
    from skipline.bundle import find_bundle
    from skipline.upscaling import load_upscaler
    from skipline.upscaling.exporting import SUFFIX, export_upscaler

    upscaler = load_upscaler(target)
    file = out_file or find_bundle(target).parent / f"{upscaler.name}-x{upscaler.scale}{SUFFIX}"
    with Bars() as bars:
        exported = export_upscaler(upscaler, to, file, overwrite=overwrite, progress=bars)
    if json_output:
        emit_json(exported.to_json())
        return
    out.print(f"{to:<12} {exported.file}, {exported.bytes / 1e6:.1f} MB", markup=False)
    out.print(
        f"{'checked':<12} on pieces of a photograph of {exported.n} sizes: pixels differ by at most "
        f"{exported.max_abs_difference} of 255",
        markup=False,
    )
