"""The report of one run of `skipline upscale train`: what its folder says, as one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from PIL import Image

from skipline.errors import InputError
from skipline.report.charts import Line, lines
from skipline.report.machine import machine_facts
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact, number
from skipline.report.page import (
    Cell,
    bullets,
    chart,
    definitions,
    details,
    document,
    section,
    table,
    write_page,
)
from skipline.report.wipe import Shown, wipe
from skipline.storage import parse_json, parse_toml, read_bounded
from skipline.upscaling.report_pictures import AMPLIFIED
from skipline.upscaling.run import FIGURES, LARGEST_FIGURES

MOST_ROWS = 100
LARGEST_EVENTS = 64 * 2**20  # bytes


def write_upscaling_report(folder: Path) -> Path:
    """Write report.html of a finished run.

    Args:
        folder: of the run.

    Returns:
        The page.

    Raises:
        InputError: the folder holds no finished run.
        StorageError: the disk is full or not writable.
    """
    try:
        figures = parse_json(read_bounded(folder / FIGURES, LARGEST_FIGURES))
        recipe = (folder / "recipe.toml").read_text(encoding="utf-8")
        events = [
            parse_json(line) for line in read_bounded(folder / "events.jsonl", LARGEST_EVENTS).splitlines()
        ]
    except (OSError, ValueError) as error:
        raise InputError(f"'{folder}' holds no finished run of skipline upscale: {error}") from error
    try:
        start = next(event for event in events if event["kind"] == "start")
        epochs = [event for event in events if event["kind"] == "epoch"]
        page = _page(folder, figures, start, epochs, recipe)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise InputError(
            f"'{folder}' holds no finished run of skipline upscale: {FIGURES} or events.jsonl is damaged"
        ) from error
    return write_page(folder / "report.html", page)


def _page(
    folder: Path, figures: dict[str, Any], start: dict[str, Any], epochs: list[dict[str, Any]], recipe: str
) -> str:
    scale = start["options"]["scale"]
    title = f"{start['model']} x{scale} on {start['source']['name']}"
    blocks = [
        _header(title, figures, start),
        _comparison(folder, figures),
        _photos(figures),
        _curve(start, epochs),
        _source(start),
        _conditions(figures, start, recipe),
    ]
    return document(title, *blocks)


def _header(title: str, figures: dict[str, Any], start: dict[str, Any]) -> Markup:
    mean, residual = figures["mean"], start["options"].get("global_residual")
    how = "adds what it learned to bicubic enlargement" if residual else "computes the image itself"
    crop = figures.get("crop")
    lead = (
        f"{start['params']:,} parameters. The network {how}. Figures are means over {figures['n']:,} photos that it "
        f"has never seen{f', of each the central {crop} x {crop} pixels at most' if crop else ''}, on luma, with "
        f"{start['options']['scale']} pixels of the border left out."
    )
    values: list[tuple[str, Cell]] = [
        ("above bicubic", exact(mean["gain"], f"{mean['gain']:+.2f} dB")),
        ("PSNR", exact(mean["psnr"], f"{mean['psnr']:.2f} dB")),
        ("SSIM", exact(mean["ssim"], f"{mean['ssim']:.4f}")),
        ("training time", exact(figures["end"]["seconds"], duration(figures["end"]["seconds"]))),
    ]
    return tag(
        "header",
        tag("p", "Enlarging images", class_="kicker"),
        tag("h1", title),
        tag("p", lead, class_="lead"),
        definitions(values, class_="figures"),
    )


def _comparison(folder: Path, figures: dict[str, Any]) -> Markup:
    wipes, rows = [], []
    for number_, shown in enumerate(figures.get("pictures", ())):
        images = {kind: _opened(folder, name) for kind, name in shown["pictures"].items()}
        if any(image is None for image in images.values()):
            continue
        pictures = {kind: Shown(kind, image) for kind, image in images.items() if image is not None}
        name = f"{shown['file']}, {shown['place']}: {shown['gain']:+.2f} dB"
        for other, label in (("sum", "network"), ("truth", "truth")):
            wipes.append(
                wipe(
                    Shown("bicubic", pictures["bicubic"].image),
                    Shown(label, pictures[other].image),
                    name=f"wipe-{number_}-{other}",
                    caption=f"{name}. Bicubic on the left, the {label} on the right of the edge.",
                )
            )
        rows.append((name, pictures["residual"]))
    if not wipes:
        return section("See for yourself", tag("p", "The pictures of this run are missing."), name="pictures")
    text = (
        "The part of each photo in which bicubic enlargement loses most, for the photos that gained most, least and in "
        f"the middle. Below: what the network adds to bicubic enlargement, {AMPLIFIED} times as strong around grey. "
        "It is nothing where the photo is flat, and follows the edges: that is why learning the difference is easier "
        "than learning the image."
    )
    residuals = [
        tag(
            "figure",
            tag("div", _plain(shown), class_="stage"),
            tag("figcaption", f"Added in {name}"),
            class_="wipe",
            style="--at: 100%",
        )
        for name, shown in rows
    ]
    return section(
        "See for yourself",
        tag("p", text),
        tag("div", *wipes, class_="wipes"),
        tag("div", *residuals, class_="wipes"),
        name="pictures",
    )


def _plain(shown: Shown) -> Markup:
    from skipline.report.wipe import data_uri

    size = {"width": str(shown.image.width), "height": str(shown.image.height)}
    return tag("img", src=data_uri(shown.image), alt="what the network adds", **size)


def _opened(folder: Path, name: str) -> Image.Image | None:
    """A picture below the folder; a run from elsewhere must not bring other files of this machine into a page."""
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        return None
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if max(image.size) > 1024:
                return None
            opened: Image.Image = image.convert("RGB")
            return opened
    except (OSError, ValueError, SyntaxError):
        return None


def _photos(figures: dict[str, Any]) -> Markup:
    images = sorted(figures["images"], key=lambda row: row["psnr"] - row["bicubic_psnr"], reverse=True)
    mean = {"file": f"mean of {figures['n']:,}", **figures["mean"]}
    rows: list[list[Cell]] = []
    for row in [mean, *images[:MOST_ROWS]]:
        gain = row["psnr"] - row["bicubic_psnr"]
        rows.append(
            [
                row["file"],
                exact(gain, f"{gain:+.2f}"),
                *(exact(row[key], f"{row[key]:.2f}") for key in ("psnr", "bicubic_psnr", "lanczos_psnr")),
                *(exact(row[key], f"{row[key]:.4f}") for key in ("ssim", "bicubic_ssim", "lanczos_ssim")),
            ]
        )
    headings = ["Photo", "Gain, dB", "PSNR, dB", "bicubic", "Lanczos", "SSIM", "bicubic", "Lanczos"]
    blocks = [table("Photos that the network has never seen", headings, rows)]
    if len(images) > MOST_ROWS:
        blocks.append(tag("p", f"{len(images) - MOST_ROWS:,} more are in {FIGURES}.", class_="quiet"))
    if left_out := figures.get("left_out"):
        blocks.append(bullets([f"left out {one['file']}: {one['reason']}" for one in left_out[:MOST_ROWS]]))
    return section("Photo by photo", *blocks, name="photos")


def _curve(start: dict[str, Any], epochs: list[dict[str, Any]]) -> Markup:
    held_out = [(epoch["epoch"], epoch["test"]["psnr"]) for epoch in epochs if epoch.get("test")]
    if not held_out:
        return section("How it learned", tag("p", "No epoch was measured."), name="curves")
    x, y = zip(*held_out, strict=True)
    bicubic = start["bicubic"]
    figure = lines(
        [
            Line("network", x, y, "test"),
            Line("bicubic enlargement", [0, x[-1]], [bicubic, bicubic], "quiet", dashed=True),
        ],
        summary=f"PSNR on tiles of the test photos: from {y[0]:.2f} to {y[-1]:.2f} dB; bicubic has {bicubic:.2f} dB",
    )
    explanation = [
        f"PSNR on tiles of the test photos over epochs of {start['steps_per_epoch']:,} steps, all channels, no border "
        "left out: lower than the figures on luma above.",
        "Dashed: bicubic enlargement. With a global residual the network begins there; without one it has to learn the "
        "whole image before it is worth anything.",
    ]
    rows = [[f"{epoch}", exact(value, number(value, 4))] for epoch, value in held_out]
    numbers = table("PSNR by epoch", ["Epoch", "PSNR, dB"], rows)
    return section("How it learned", chart("PSNR", figure, explanation, numbers, name="psnr"), name="curves")


def _source(start: dict[str, Any]) -> Markup:
    source = start["source"]
    facts: list[tuple[str, Cell]] = [
        ("Source", source["name"]),
        ("Photos to learn from", f"{source['train']:,}"),
        ("Photos to test on", f"{source['test']:,}"),
        ("Tiles", f"{source['tiles']:,} of {source['tile']} x {source['tile']} pixels"),
    ]
    blocks = [definitions(facts, class_="facts")]
    if source["notes"]:
        blocks.append(bullets(source["notes"][:MOST_ROWS]))
    return section("The photos", *blocks, name="source")


def _conditions(figures: dict[str, Any], start: dict[str, Any], recipe: str) -> Markup:
    run = parse_toml(recipe).get("run", {})
    words = ["skipline", "upscale", "train", str(run.get("source", "photos")), "--model", start["model"]]
    words += [
        "--recipe",
        "recipe.toml",
        "--scale",
        str(start["options"]["scale"]),
        "--seed",
        str(start["seed"]),
    ]
    words += ["--threads", str(start["threads"])]
    words += [] if start["options"].get("global_residual") else ["--no-global-residual"]
    facts: list[tuple[str, Cell]] = [
        *machine_facts(start["machine"]),
        ("Device", start["device"]),
        ("Precision", start["precision"]),
        ("Threads", str(start["threads"])),
        ("Seed", str(start["seed"])),
        (
            "Epochs",
            f"{figures['end']['epochs']:,} of {start['steps_per_epoch']:,} steps, batch {start['batch_size']}",
        ),
        ("Parameters", f"{start['params']:,}"),
        ("Multiply-adds a patch", f"{start['macs']:,}"),
    ]
    return section(
        "How it was made",
        definitions(facts, class_="facts"),
        details("Show recipe.toml", tag("pre", recipe, tabindex="0")),
        tag("p", "In the folder of this run:"),
        tag("pre", shlex.join(words), class_="wrap", tabindex="0"),
        name="conditions",
    )
