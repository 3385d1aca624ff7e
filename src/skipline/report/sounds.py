"""A window of a sound: its spectrogram with axes, and the sound itself, inside the page."""

from __future__ import annotations

import base64
import math
from pathlib import Path

from skipline.report.markup import Markup, joined, tag
from skipline.report.pictures import Picture
from skipline.report.record import Spectrogram
from skipline.storage import read_bounded

LARGEST_SOUND = 64 * 2**10  # bytes; 1.5 s of 16-bit samples at 16 kHz are 48 KB
LEFT, TOP, SIDE, WIDTH, HEIGHT = 30, 6, 180, 216, 216  # of the drawing, in its own units
STEPS = (1, 2, 2.5, 5, 10)
MOST_TICKS = 6
APART = 0.06  # of the height, that marks of frequencies stand apart
ROOM = 0.92  # of the width, up to which there are marks of seconds; behind them stands the unit


def player(folder: Path, name: str, label: str) -> Markup | None:
    """Controls that play a WAV file of a run folder.

    Args:
        folder: the run folder.
        name: path below it, as the run's files give it.
        label: what is heard, for those who do not see the page.

    Returns:
        An element with the sound inside; None where there is no such file, or it is no short WAV.
    """
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        return None  # as for pictures: no other file of this machine may come into a page
    try:
        content = read_bounded(file, LARGEST_SOUND)
    except (OSError, ValueError):
        return None
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return None
    uri = f"data:audio/wav;base64,{base64.b64encode(content).decode()}"
    return tag("audio", controls=True, preload="metadata", src=uri, aria_label=label)


def drawing(found: Picture, axes: Spectrogram, label: str) -> Markup:
    """A spectrogram with seconds below it and kHz at its left.

    Args:
        found: the picture, low frequencies at the bottom.
        axes: what its sides stand for.
        label: what is seen, for those who do not see the page.
    """
    picture = tag(
        "image",
        href=found.uri,
        x=str(LEFT),
        y=str(TOP),
        width=str(SIDE),
        height=str(SIDE),
        preserveAspectRatio="none",
        style="image-rendering: pixelated",
    )
    marks, last = [], math.inf
    for hz, place in sorted(
        axes.ticks, reverse=True
    ):  # low notes are close together: their marks would overlap
        if last - place >= APART:
            marks.append(_hertz(hz, place))
            last = place
    marks += [_second(second, axes) for second in ticks(axes.start, axes.end)]
    names = [
        tag("text", "kHz", x="2", y=str(TOP + 10)),
        tag("text", "s", x=str(WIDTH - 4), y=str(TOP + SIDE + 13), text_anchor="end"),
    ]
    return tag(
        "svg",
        picture,
        joined(marks),
        *names,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=label,
        class_="spectrogram",
    )


def ticks(start: float, end: float) -> list[float]:
    """Round numbers between two, at most six, none of them at the very end."""
    span = end - start
    if not 0 < span < math.inf:
        return []
    unit = 10.0 ** math.floor(math.log10(span / MOST_TICKS))
    step = next((s * unit for s in STEPS if span / (s * unit) < MOST_TICKS), 10 * unit)
    first, last = math.ceil(start / step), start + ROOM * span
    return [round((first + i) * step, 6) + 0.0 for i in range(MOST_TICKS) if (first + i) * step <= last]


def _hertz(hz: float, place: float) -> Markup:
    y = TOP + SIDE * (1 - place)
    line = tag("line", x1=str(LEFT - 4), x2=str(LEFT), y1=f"{y:.1f}", y2=f"{y:.1f}")
    return joined(
        [line, tag("text", f"{hz / 1000:.3g}", x=str(LEFT - 6), y=f"{y + 3.5:.1f}", text_anchor="end")]
    )


def _second(second: float, axes: Spectrogram) -> Markup:
    x = LEFT + SIDE * (second - axes.start) / (axes.end - axes.start)
    bottom = TOP + SIDE
    line = tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=str(bottom), y2=str(bottom + 4))
    return joined([line, tag("text", f"{second:g}", x=f"{x:.1f}", y=str(bottom + 14), text_anchor="middle")])
