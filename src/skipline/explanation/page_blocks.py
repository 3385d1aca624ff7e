"""The chart of what each residual block contributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from skipline.explanation.explainer import Answer
from skipline.explanation.explanation import Explanation
from skipline.report.drawing import draw_all
from skipline.report.markup import Markup, tag
from skipline.report.page import section
from skipline.report.panels import BarsPanel, Frame

MOST_IMAGES = 59  # positions of the slider beside the mean; see MOST_FRAMES of the bars


def blocks_section(found: Explanation) -> Markup:
    """The answer without each block, or why there is none."""
    title = "What each residual block contributes"
    why = found.without_blocks()
    if why is not None:
        return section(title, tag("p", why), name="blocks")
    answers = [answer for _, answer in found.answered]
    frames = (
        [Frame(name=f"mean of {len(answers):,} images", values={"fall": _mean(answers)})]
        if len(answers) > 1
        else []
    )
    frames += [
        Frame(name=item.file, values={"fall": _falls(answer)})
        for item, answer in found.answered[:MOST_IMAGES]
    ]
    panel = BarsPanel(
        title="How far the probability falls without a block",
        explanation=(
            "Each block in turn loses its residual branch: y = x, or the shortcut alone where the shape changes. Drawn "
            "is the probability of the explained class with all blocks minus that without the one, in percentage "
            "points; below zero the network is surer without it.",
            "Residual networks often lose little by a single block, most where the shape changes: their paths do not "
            "depend on each other much (Veit et al. 2016). A block that costs nothing here may matter elsewhere.",
        ),
        categories=found.blocks,
        y_label="fall of the probability, points",
        frames=tuple(frames),
    )
    changed = sum(without.top1 != answer.predicted for answer in answers for without in answer.blocks)
    trials = len(answers) * len(found.blocks)
    text = (
        f"{changed:,} of {trials:,} removals of one block ({len(found.blocks):,} blocks, {len(answers):,} "
        f"{'image' if len(answers) == 1 else 'images'}) change the answer of the network."
    )
    return section(
        title, tag("p", text), *draw_all([panel], Path(), "blocks", "explanation.json"), name="blocks"
    )


def _falls(answer: Answer) -> tuple[float, ...]:
    return tuple(round(100 * (answer.probability - without.probability), 4) for without in answer.blocks)


def _mean(answers: Sequence[Answer]) -> tuple[float, ...]:
    return tuple(round(fmean(column), 4) for column in zip(*map(_falls, answers), strict=True))
