"""How figures are written in what people read."""

from __future__ import annotations

import math

from skipline.report.markup import Markup, tag

MISSING = "n/a"
_SPACE = "\N{NO-BREAK SPACE}"


def percent(fraction: float | None) -> str:
    """A share as a percentage with one decimal.

    Args:
        fraction: 0-1, or None where undefined.

    Returns:
        Such as "98.6 %"; more decimals where one would round an imperfect result to 100 % or a hit to 0 %.
    """
    if fraction is None:
        return MISSING
    if fraction in (0.0, 1.0):
        return f"{100 * fraction:.0f}{_SPACE}%"
    decimals = next((d for d in (1, 2, 3) if 0 < float(f"{100 * fraction:.{d}f}") < 100), 4)
    return f"{100 * fraction:.{decimals}f}{_SPACE}%"


def points(fraction: float) -> str:
    """The distance between two shares in percentage points, without sign."""
    return f"{100 * abs(fraction):.1f}{_SPACE}percentage points"


def interval(bounds: tuple[float, float] | None) -> str:
    """A confidence interval of a share, such as "[97.1, 99.4]" in per cent; empty where there is none."""
    return "" if bounds is None else f"[{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def number(value: float | None, digits: int = 3) -> str:
    """A figure to so many significant digits, without exponent between 0.001 and a million."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def duration(seconds: float) -> str:
    """A time span in the units a person would say it in."""
    if seconds < 59.95:
        return f"{seconds:.1f}{_SPACE}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{_SPACE}min {whole % 60}{_SPACE}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}{_SPACE}h {minutes % 60}{_SPACE}min"


def exact(value: float | None, shown: str) -> Markup:
    """A rounded figure that carries its exact value in the page's source (the `data` element)."""
    return tag("data", shown, value=repr(value)) if value is not None else tag("span", shown)
