"""What a study or a diagnosis wants shown, as plain values: kinds of charts, pictures and tables.

The rooms that measure write panels into their JSON; the page draws them (`skipline.report.drawing`). Every chart
carries its explanation, and its numbers are printed as a table beside it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Panel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    explanation: tuple[str, ...] = ()
    """What is shown; how to read it; what healthy looks like: two or three sentences, true ones."""


class Band(BaseModel):
    """One line, with the spread over seeds around it where there are several.

    Attributes:
        name: in the legend.
        x: positions.
        y: values; None leaves a gap.
        low: lower edge of the band, as long as y, or empty.
        high: upper edge.
        dashed: drawn with dashes, such as plain networks beside residual ones.
        color: index of one of the eight colours for series (0-7); None takes the next one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    dashed: bool = False
    color: int | None = None


class LinesPanel(_Panel):
    """Lines with bands; `level` is a dotted horizontal line (value, label)."""

    kind: Literal["lines"] = "lines"
    x_label: str
    y_label: str
    unit: Literal["", " %"] = ""
    log_x: bool = False
    log_y: bool = False
    markers: bool = True
    series: tuple[Band, ...]
    level: tuple[float, str] | None = None


class Frame(BaseModel):
    """One position of a slider: a name such as "step 0" and the values of each series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    values: dict[str, tuple[float | None, ...]]


class BarsPanel(_Panel):
    """Bars for each layer (or other category), one colour a series; more than one frame makes a slider."""

    kind: Literal["bars"] = "bars"
    categories: tuple[str, ...]
    y_label: str
    log: bool = False
    frames: tuple[Frame, ...]


class HeatPanel(_Panel):
    """A heat map: `z[row][column]`, None where nothing was measured; `log` colours by the logarithm."""

    kind: Literal["heat"] = "heat"
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    x_label: str
    y_label: str
    value_label: str
    z: tuple[tuple[float | None, ...], ...]
    log: bool = False


class SurfacePanel(_Panel):
    """A surface in 3-D and its contours beside it: `z[i][j]` at y[i], x[j]."""

    kind: Literal["surface"] = "surface"
    x: tuple[float, ...]
    y: tuple[float, ...]
    z: tuple[tuple[float | None, ...], ...]
    x_label: str
    y_label: str
    z_label: str
    log: bool = False


class ScatterPanel(_Panel):
    """Points, such as fitted curves against data: each series is a Band whose y are points or a line."""

    kind: Literal["scatter"] = "scatter"
    x_label: str
    y_label: str
    points: tuple[Band, ...]
    curves: tuple[Band, ...] = ()


class Picture(BaseModel):
    """An image file relative to the folder of the JSON, and what stands below it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    caption: str


class ImagesPanel(_Panel):
    """Rows of pictures, each row with its name."""

    kind: Literal["images"] = "images"
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]


class TablePanel(_Panel):
    """A table; the first `texts` columns hold text. Cells are shown as given."""

    kind: Literal["table"] = "table"
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1


Panel = Annotated[
    LinesPanel | BarsPanel | HeatPanel | SurfacePanel | ScatterPanel | ImagesPanel | TablePanel,
    Field(discriminator="kind"),
]
_PANELS: TypeAdapter[list[Panel]] = TypeAdapter(list[Panel])


def read_panels(values: Any) -> list[Panel]:
    """Panels from JSON values.

    Raises:
        pydantic.ValidationError: something else.
    """
    return _PANELS.validate_python(values)
