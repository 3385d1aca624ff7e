"""Panels on residual blocks and batch normalisations, from the probes' readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skipline.report.charts import thinned
from skipline.report.numbers import number, percent
from skipline.report.panels import Band, BarsPanel, Frame, LinesPanel, Panel, TablePanel
from skipline.report.probe_record import BlockProbe, Probe

MOST_NORMS = 15  # the farthest from their batch
MOST_LINES = 4


def block_panels(readings: Sequence[Probe]) -> list[Panel | None]:
    """Charts of residual blocks; None for each without figures."""
    names = list(dict.fromkeys(block.name for reading in readings for block in reading.blocks))
    if not names:
        return []
    return [_rho(readings, names), _responses(readings, names), _lesions(readings, names), _sums(readings)]


def _values(
    reading: Probe, names: Sequence[str], figure: Callable[[BlockProbe], float | None]
) -> tuple[float | None, ...]:
    known = {block.name: block for block in reading.blocks}
    return tuple(figure(known[name]) if name in known else None for name in names)


def _rho(readings: Sequence[Probe], names: Sequence[str]) -> BarsPanel | None:
    frames = [
        Frame(name=f"step {reading.step:,}", values={"rho": _values(reading, names, lambda block: block.rho)})
        for reading in readings
        if reading.blocks
    ]
    return BarsPanel(
        title="How much each block adds",
        explanation=(
            "rho = std(F(x)) / std(h(x)) for each residual block y = F(x) + h(x): how large the branch's output "
            "is against what the shortcut carries. No bar: the branch adds nothing, or was not measured.",
            "Around 1 both count alike; well below 1 the block makes a small change to what passes through it, "
            "as the blocks of trained residual networks tend to, those of deep ones most (He et al. 2015).",
            "Below about 1e-3 after warm-up a block does next to nothing. At step 0 that is by design where a "
            "block's last normalisation starts with gain zero.",
        ),
        categories=tuple(names),
        y_label="rho",
        log=True,
        frames=tuple(frames),
    )


def _responses(readings: Sequence[Probe], names: Sequence[str]) -> LinesPanel | None:
    with_blocks = [reading for reading in readings if reading.blocks]
    series = [
        Band(
            name=f"step {with_blocks[i].step:,}",
            x=tuple(float(place) for place in range(1, len(names) + 1)),
            y=_values(with_blocks[i], names, lambda block: block.response),
            dashed=i == 0 and len(with_blocks) > 1,
        )
        for i in thinned(len(with_blocks), MOST_LINES)
    ]
    return LinesPanel(
        title="Response of each block",
        explanation=(
            "Standard deviation of F(x), the branch's output before the addition, block by block from the input. "
            "He et al. (2015, figure 7) draw the same for every 3x3 layer, after its normalisation and before "
            "ReLU and addition, in trained networks.",
            "They found smaller responses in residual networks than in plain ones, and the smaller the deeper "
            "the network: each block then changes the signal less. Compare networks, and steps of the same "
            "network; a single line is neither healthy nor ill.",
        ),
        x_label="block, from the input",
        y_label="std of F(x)",
        series=tuple(series),
    )


def _lesions(readings: Sequence[Probe], names: Sequence[str]) -> BarsPanel | None:
    frames = [
        Frame(
            name=f"step {reading.step:,}",
            values={"rise of the loss": _values(reading, names, lambda block: block.lesion)},
        )
        for reading in readings
        if any(block.lesion is not None for block in reading.blocks)
    ]
    if not frames:
        return None
    return BarsPanel(
        title="What removing each block costs",
        explanation=(
            "Loss of the same batch with the block's branch removed (its shortcut kept), minus the loss with it; "
            "one block at a time.",
            "Near zero: the network does without this block, on this batch. Trained residual networks often "
            "lose little by a single removal, most where the shape changes (Veit et al. 2016). At step 0 the "
            "figure says nothing about what is learned.",
        ),
        categories=tuple(names),
        y_label="rise of the loss, nats",
        log=False,
        frames=tuple(frames),
    )


def _sums(readings: Sequence[Probe]) -> TablePanel:
    last = next(reading for reading in reversed(readings) if reading.blocks)
    rows = [
        (
            block.name,
            "shape changes" if block.fidelity is None else number(block.fidelity),
            percent(block.negative),
            "yes" if block.trainable else "no: nothing in this branch is trained",
        )
        for block in last.blocks
    ]
    return TablePanel(
        title=f"Shortcuts and sums at step {last.step:,}",
        explanation=(
            "Distance of the shortcut from an identity, |h(x) - x| / |x|: 0 where it passes its input on "
            "unchanged, which is what trains best in He et al. (2016). Negative sums: share of F(x) + h(x) below "
            "zero, which a ReLU after the addition would cut off.",
        ),
        headings=("Block", "Distance from identity", "Negative sums", "Branch trained"),
        rows=tuple(rows),
        texts=1,
    )


def norm_panel(readings: Sequence[Probe]) -> TablePanel | None:
    """The batch normalisations whose running statistics are farthest from the batch's; None without any."""
    last = next((reading for reading in reversed(readings) if reading.norms), None)
    if last is None:
        return None
    worst = sorted(last.norms, key=lambda norm: -(norm.mean_distance or 0.0))[:MOST_NORMS]
    rest = len(last.norms) - len(worst)
    losses = (
        f" On this batch the loss is {number(last.loss)} with the batch's own statistics and "
        f"{number(last.eval_loss)} with the running ones."
        if last.loss is not None and last.eval_loss is not None
        else ""
    )
    return TablePanel(
        title=f"Running statistics of the normalisations at step {last.step:,}",
        explanation=(
            "Batch normalisation trains with the statistics of the batch and predicts with running ones. Shown: "
            "the mean distance of the running mean from the batch's, in deviations of the batch, and the median "
            f"ratio of the variances; the farthest first{f', {rest} closer ones are left out' if rest else ''}."
            f"{losses}",
            "Healthy after training: distances well below 1, ratios near 1. At step 0 the running statistics "
            "have not been measured yet, so they lie far off.",
        ),
        headings=("Normalisation", "Distance of means", "Ratio of variances", "Uses the batch in training"),
        rows=tuple(
            (
                norm.name,
                number(norm.mean_distance),
                number(norm.variance_ratio),
                "yes" if norm.training else "no",
            )
            for norm in worst
        ),
    )
