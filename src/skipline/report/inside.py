"""The section on what happened inside the network, from what the probes wrote into a run's events."""

from __future__ import annotations

from skipline.report.drawing import draw_all
from skipline.report.layers import layer_panels
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact, percent
from skipline.report.page import section
from skipline.report.record import RunRecord


def inside_section(run: RunRecord) -> Markup | None:
    """Gradients, activations and blocks over the run, and what measuring them cost; None without readings."""
    failure = (
        [tag("p", f"The probes could not measure this network, {run.probe_failure}.", class_="note")]
        if run.probe_failure
        else []
    )
    if not run.probes:
        return section("What happened inside", *failure, name="inside") if failure else None
    first, last = run.probes[0], run.probes[-1]
    when = (
        f"once, at step {first.step:,}, at"
        if first is last
        else f"{len(run.probes):,} times, from step {first.step:,} to step {last.step:,}, each time at the same"
    )
    batch = "one batch of" if first is last else "batch of"
    text = tag("p", f"The probes looked into the network {when} {batch} {last.images:,} images.")
    panels = draw_all(layer_panels(run.probes), run.folder, "inside", "events.jsonl")
    return section("What happened inside", text, *_cost(run), *failure, *panels, name="inside")


def _cost(run: RunRecord) -> list[Markup]:
    cost = run.overhead
    if cost is None or cost.seconds is None:
        return []
    words: list[str] = ["Measuring took ", exact(cost.seconds, duration(cost.seconds))]
    if cost.share is not None:
        words += [", ", exact(cost.share, percent(cost.share)), " of the training time"]
    if cost.skipped:
        words.append(f"; {cost.skipped:,} more readings were left out to keep that share small")
    return [tag("p", *words, ".", class_="quiet")]
