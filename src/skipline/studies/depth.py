"""Plain against residual networks by depth: degradation, and whether shortcuts remove it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from skipline.models import cost
from skipline.models.shortcuts import Shortcut
from skipline.report.panels import LinesPanel, Panel, TablePanel
from skipline.studies.arm import train_network
from skipline.studies.evidence import ONE_SEED, Evidence, difference, percent, points
from skipline.studies.sources import depth_sample, open_small, study_recipe, study_side
from skipline.studies.spread import span
from skipline.studies.study import Arm, Budget, Claim, Context, Outcomes, Study
from skipline.studies.variants import check_depth, cifar_network
from skipline.training.jobs import Job
from skipline.training.packing import Sample

KINDS: dict[str, Shortcut] = {"residual": "A", "plain": "none"}
DEPTHS: dict[Budget, tuple[int, ...]] = {"quick": (20, 56), "full": (20, 32, 44, 56, 110)}
EPOCHS: dict[Budget, int] = {"quick": 20, "full": 30}
LIMIT: dict[Budget, tuple[int | None, int | None]] = {"quick": (1_500, 1_000), "full": (None, None)}
MARGIN = 0.02  # "no worse" and "as good" mean: within two points

# Test error in percent on CIFAR-10 (1512.03385, table 6); of the plain twins test and training error by single runs of
# a reproduction. The paper itself prints of plain-110 only that its error is above 60 %.
PUBLISHED_RESIDUAL = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43}
REPRODUCED_PLAIN = {20: (9.63, 1.23), 32: (9.92, 1.35), 44: (10.36, 2.38), 56: (14.22, 5.24)}


def depths_of(context: Context) -> tuple[int, ...]:
    """The depths, ascending.

    Raises:
        InputError: one that the family does not have.
    """
    chosen = context.depths or DEPTHS[context.budget]
    for depth in chosen:
        check_depth(depth)
    return tuple(sorted(chosen))


def sample(context: Context) -> Sample:
    """The deepest network."""
    assert context.dataset is not None
    return depth_sample(context.dataset, max(depths_of(context)))


def jobs(context: Context) -> list[Job]:
    """One job a network and seed, the deepest first."""
    assert context.dataset is not None
    train, test = LIMIT[context.budget]
    common = {
        "source": context.source,
        "data_root": context.data_root,
        "stored": study_side(context.dataset),
        "train": train,
        "test": test,
        "epochs": context.epochs or EPOCHS[context.budget],
    }
    return [
        Job(
            f"{kind}-{depth}-{seed}",
            train_one,
            {
                **common,
                "kind": kind,
                "depth": depth,
                "seed": seed,
                "folder": str(context.folder / "runs" / f"{kind}-{depth}-{seed}"),
            },
        )
        for depth in reversed(depths_of(context))
        for kind in KINDS
        for seed in context.seeds
    ]


def train_one(
    *,
    source: str,
    data_root: str | None,
    stored: int | None,
    train: int | None,
    test: int | None,
    epochs: int,
    kind: str,
    depth: int,
    seed: int,
    folder: str,
) -> dict[str, Any]:
    """Train one network; top-level, since another process imports it."""
    dataset = open_small(source, stored=stored, data_root=data_root, train=train, test=test)
    channels, height, width = dataset.train.shape
    network = cifar_network(
        depth, shortcut=KINDS[kind], channels=channels, classes=len(dataset.classes), seed=seed
    )
    size = cost(network, (channels, height, width))
    figures = train_network(
        network, dataset, study_recipe(dataset, epochs), seed=seed, folder=Path(folder), keep=False
    )
    images = {"train": len(dataset.train), "test": len(dataset.test)}
    return {**figures, "params": size.params, "macs": size.macs, "images": images}


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Errors by depth, and the verdict on degradation."""
    depths = depths_of(context)
    table = Errors(
        {
            (kind, depth): [results[f"{kind}-{depth}-{seed}"] for seed in context.seeds]
            for kind in KINDS
            for depth in depths
        }
    )
    return Outcomes(
        arms=[table.arm(kind, depth) for kind in KINDS for depth in depths],
        claims=claims(table, depths),
        panels=_panels(table, depths),
        notes=_notes(context, table),
    )


class Errors:
    """The results of all networks.

    Args:
        cells: by (kind, depth), one result of `train_one` a seed.
    """

    def __init__(self, cells: dict[tuple[str, int], list[dict[str, Any]]]) -> None:
        self.cells = cells

    def errors(self, kind: str, depth: int, split: str) -> list[float]:
        """Share of wrongly classified images by seed; `split` is "train" or "test"."""
        return [1 - cell[split]["top1"] for cell in self.cells[kind, depth]]

    def images(self, split: str) -> int:
        """How many images an error was measured on."""
        count: int = next(iter(self.cells.values()))[0]["images"][split]
        return min(count, 5_000) if split == "train" else count

    def arm(self, kind: str, depth: int) -> Arm:
        """One network over its seeds."""
        cells = self.cells[kind, depth]
        results = {
            f"{split} {label}": [cell[split][key] for cell in cells if cell[split][key] is not None]
            for split in ("train", "test")
            for label, key in (("top-1", "top1"), ("loss", "loss"))
        }
        results["seconds"] = [cell["seconds"] for cell in cells]
        description = f"{depth} layers, {'identity shortcuts (A)' if kind == 'residual' else 'no shortcuts'}"
        return Arm(f"{kind}-{depth}", description, results, cells[0]["params"], cells[0]["macs"])


def claims(table: Errors, depths: tuple[int, ...]) -> list[Claim]:
    """What He et al. say about depth, judged by errors paired over seeds.

    Args:
        table: all errors.
        depths: ascending; one depth allows only the comparison of the two kinds.
    """
    low, high = depths[0], depths[-1]
    n = table.images("train")
    found = []
    if low < high:
        worse = difference(
            table.errors("plain", high, "train"), table.errors("plain", low, "train"), images=n
        )
        found.append(
            _claim(
                f"Degradation: the plain network of {high} layers fits the training images worse than that of {low}",
                "He et al. 2015, section 4.2, figure 6; single runs of a reproduction",
                _plain_published(low, high),
                f"training error {_mean(table, 'plain', low)} -> {_mean(table, 'plain', high)}",
                worse,
            )
        )
        kept = difference(
            table.errors("residual", low, "train"),
            table.errors("residual", high, "train"),
            images=n,
            above=-MARGIN,
        )
        found.append(
            _claim(
                f"With shortcuts {high} layers fit the training images as well as {low} (within 2 points)",
                "He et al. 2015, section 4.2, figure 6",
                "training error falls with depth",
                f"training error {_mean(table, 'residual', low)} -> {_mean(table, 'residual', high)}",
                kept,
            )
        )
    gain = difference(table.errors("plain", high, "train"), table.errors("residual", high, "train"), images=n)
    found.append(
        _claim(
            f"At {high} layers shortcuts lower the training error",
            "He et al. 2015, section 4.2",
            "plain-110 fails (error above 60 %), ResNet-110 trains" if high == 110 else "",
            f"training error {_mean(table, 'plain', high)} plain, {_mean(table, 'residual', high)} residual",
            gain,
        )
    )
    if low < high:
        better = difference(
            table.errors("residual", low, "test"),
            table.errors("residual", high, "test"),
            images=table.images("test"),
        )
        figures = (PUBLISHED_RESIDUAL.get(low), PUBLISHED_RESIDUAL.get(high))
        found.append(
            _claim(
                f"With shortcuts {high} layers generalise better than {low}",
                "He et al. 2015, table 6 (CIFAR-10)",
                "" if None in figures else f"test error {figures[0]} % -> {figures[1]} %",
                f"test error {_mean(table, 'residual', low, 'test')} -> {_mean(table, 'residual', high, 'test')}",
                better,
            )
        )
    return found


def _claim(statement: str, source: str, published: str, measured: str, evidence: Evidence) -> Claim:
    text = f"{measured}; difference {points(evidence.mean)}"
    return Claim(statement, source, published, text, evidence.interval, evidence.outcome)


def _plain_published(low: int, high: int) -> str:
    if high == 110:
        return "plain-110: error above 60 %"
    if low in REPRODUCED_PLAIN and high in REPRODUCED_PLAIN:
        return f"training error {REPRODUCED_PLAIN[low][1]} % -> {REPRODUCED_PLAIN[high][1]} % (CIFAR-10)"
    return "higher training error of the deeper plain net"


def _mean(table: Errors, kind: str, depth: int, split: str = "train") -> str:
    return percent(fmean(table.errors(kind, depth, split)))


def _panels(table: Errors, depths: tuple[int, ...]) -> list[Panel]:
    found: list[Panel] = [_by_depth(table, depths, split) for split in ("train", "test")]
    found.append(_curves(table, depths))
    rows = tuple(
        (
            arm.name,
            f"{arm.params:,}",
            percent(1 - fmean(arm.results["train top-1"])),
            percent(1 - fmean(arm.results["test top-1"])),
            _published(kind, depth),
            f"{fmean(arm.results['seconds']):.1f}",
        )
        for kind in KINDS
        for depth in depths
        for arm in [table.arm(kind, depth)]
    )
    found.append(
        TablePanel(
            title="Every network",
            explanation=(
                "Means over the seeds. The published figures are test errors on CIFAR-10 after 164 epochs; those of "
                "plain networks are single runs of a reproduction.",
            ),
            headings=("network", "parameters", "training error", "test error", "published", "seconds a run"),
            rows=rows,
        )
    )
    return found


def _by_depth(table: Errors, depths: tuple[int, ...], split: str) -> LinesPanel:
    return LinesPanel(
        title=f"{'Training' if split == 'train' else 'Test'} error by depth",
        explanation=(
            "Plain networks and their residual twins have the same layers; only the additions differ.",
            "A plain line that rises with depth on the training images is degradation: the deeper network could "
            "copy the shallower one and set the rest to the identity, yet training does not find that. It is not "
            "overfitting, which would lower the training error."
            if split == "train"
            else "On images that were not trained on. Where training fails, this fails with it.",
        ),
        x_label="layers",
        y_label="error",
        unit=" %",
        series=tuple(
            span(
                kind,
                depths,
                list(zip(*(table.errors(kind, depth, split) for depth in depths), strict=True)),
                factor=100,
                dashed=kind == "plain",
                color=index,
            )
            for index, kind in enumerate(KINDS)
        ),
    )


def _curves(table: Errors, depths: tuple[int, ...]) -> LinesPanel:
    series = []
    for index, depth in enumerate(depths):
        for kind in KINDS:
            curves = [[1 - e["train"]["top1"] for e in cell["epochs"]] for cell in table.cells[kind, depth]]
            length = min(map(len, curves))
            if length:
                cut = [curve[:length] for curve in curves]
                line = span(
                    f"{kind}-{depth}",
                    range(1, length + 1),
                    cut,
                    factor=100,
                    dashed=kind == "plain",
                    color=index % 8,
                )
                series.append(line)
    return LinesPanel(
        title="Training error by epoch",
        explanation=(
            "Mean over the batches of each epoch, while the weights moved. One colour a depth, plain networks dashed.",
        ),
        x_label="epoch",
        y_label="training error",
        unit=" %",
        markers=False,
        series=tuple(series),
    )


def _published(kind: str, depth: int) -> str:
    if kind == "residual":
        return f"{PUBLISHED_RESIDUAL[depth]} %" if depth in PUBLISHED_RESIDUAL else "-"
    if depth == 110:
        return "> 60 %"
    return f"{REPRODUCED_PLAIN[depth][0]} %" if depth in REPRODUCED_PLAIN else "-"


def _notes(context: Context, table: Errors) -> list[str]:
    assert context.dataset is not None
    epochs = context.epochs or EPOCHS[context.budget]
    notes = [
        f"{epochs} epochs of one-cycle SGD, fp32, one thread a run; the papers train for 164 epochs on CIFAR-10, so "
        f"compare directions, not figures: these are {context.dataset.name}.",
        *([ONE_SEED] if len(context.seeds) == 1 else []),
    ]
    for (kind, depth), cells in table.cells.items():
        failed = sum(cell["diverged"] is not None for cell in cells)
        if failed:
            notes.append(f"{kind}-{depth}: the loss became infinite in {failed} of {len(cells)} runs.")
    return notes


STUDY = Study(
    name="depth",
    title="Depth: plain against residual",
    question="Does a deeper network fit the training images worse, and do shortcuts change that?",
    sources="He et al. 2015 (1512.03385), sections 1 and 4.2",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2, 3, 4)},
    jobs=jobs,
    read=read,
    sample=sample,
)
