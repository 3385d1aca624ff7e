"""Which shortcut, and where the activations stand: the experiments of He et al. 1603.05027 and options A, B, C."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from skipline.models import cost
from skipline.report.panels import LinesPanel, Panel, TablePanel
from skipline.studies.arm import train_network
from skipline.studies.evidence import ONE_SEED, Evidence, difference, percent, points, reverse
from skipline.studies.sources import depth_sample, open_small, study_recipe, study_side
from skipline.studies.spread import span
from skipline.studies.study import Arm, Budget, Claim, Context, Outcomes, Study
from skipline.studies.variants import VARIANTS, build_variant, check_depth
from skipline.training.jobs import Job
from skipline.training.packing import Sample

DEPTH: dict[Budget, int] = {"quick": 44, "full": 110}
EPOCHS: dict[Budget, int] = {"quick": 10, "full": 30}
LIMIT: dict[Budget, tuple[int | None, int | None]] = {"quick": (768, 1_000), "full": (None, None)}
NEAR = 0.02  # "about as good" means: within two points
MAPPINGS = "He et al. 2016 (1603.05027), table 1: ResNet-110, CIFAR-10, median of 5"
ORDERS = "He et al. 2016 (1603.05027), table 2: ResNet-110, CIFAR-10, median of 5"
OPTIONS = "He et al. 2015 (1512.03385), table 3: ResNet-34, ImageNet"

HARMFUL = {
    "none": "Without shortcuts the same layers do worse",
    "half-shortcut": "Halving the shortcut does harm",
    "half-both": "Halving both paths does harm",
    "projection-C": "A 1x1 convolution on every shortcut does harm in so deep a network",
    "gate-0": "A gate on the shortcut that begins half open does harm",
    "dropout": "Dropout on the shortcut does harm",
    "bn-after": "BN after the addition does harm",
    "relu-before": "ReLU before the addition does harm",
}
HARMLESS = {
    "gate-6": "A gate that begins nearly open does little harm (within 2 points)",
    "relu-only": "ReLU-only pre-activation does about as well as the original (within 2 points)",
}
ORDER_ROWS = ("identity", "bn-after", "relu-before", "relu-only", "pre-activation")


def depth_of(context: Context) -> int:
    """The one depth of the study: the largest that was asked for, else the budget's.

    Raises:
        InputError: the family does not have it.
    """
    depth = max(context.depths) if context.depths else DEPTH[context.budget]
    check_depth(depth)
    return depth


def sample(context: Context) -> Sample:
    """One of the networks, which all cost about the same."""
    assert context.dataset is not None
    return depth_sample(context.dataset, depth_of(context))


def jobs(context: Context) -> list[Job]:
    """One job a variant and seed; all cost about the same."""
    assert context.dataset is not None
    train, test = LIMIT[context.budget]
    depth = depth_of(context)
    common = {
        "source": context.source,
        "data_root": context.data_root,
        "stored": study_side(context.dataset),
        "train": train,
        "test": test,
        "epochs": context.epochs or EPOCHS[context.budget],
        "depth": depth,
    }
    return [
        Job(
            _key(name, depth, seed),
            train_one,
            {
                **common,
                "variant": name,
                "seed": seed,
                "folder": str(context.folder / "runs" / _key(name, depth, seed)),
            },
        )
        for seed in context.seeds
        for name in VARIANTS
    ]


def train_one(
    *,
    source: str,
    data_root: str | None,
    stored: int | None,
    train: int | None,
    test: int | None,
    epochs: int,
    depth: int,
    variant: str,
    seed: int,
    folder: str,
) -> dict[str, Any]:
    """Train one variant; top-level, since another process imports it."""
    dataset = open_small(source, stored=stored, data_root=data_root, train=train, test=test)
    channels, height, width = dataset.train.shape
    network = build_variant(variant, depth, channels=channels, classes=len(dataset.classes), seed=seed)
    size = cost(network, (channels, height, width))
    recipe = study_recipe(dataset, epochs)
    figures = train_network(network, dataset, recipe, seed=seed, folder=Path(folder), keep=False)
    images = {"train": min(len(dataset.train), 5_000), "test": len(dataset.test)}
    return {**figures, "params": size.params, "macs": size.macs, "images": images}


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Errors by variant, and the paper's table as claims."""
    depth = depth_of(context)
    cells = {name: [results[_key(name, depth, seed)] for seed in context.seeds] for name in VARIANTS}
    arms = [_arm(name, found) for name, found in cells.items()]
    return Outcomes(arms, claims(cells), _panels(cells, arms), _notes(context, cells, depth))


Cells = dict[str, list[dict[str, Any]]]


def claims(cells: Cells) -> list[Claim]:
    """The published orderings, judged by test errors paired over seeds.

    Args:
        cells: by variant, one result of `train_one` a seed, the same seeds in the same order.
    """
    base = VARIANTS["identity"]
    found = []
    for name, statement in (*HARMFUL.items(), *HARMLESS.items()):
        row = VARIANTS[name]
        if name in HARMFUL:
            evidence = _more_error(cells, name, "identity", above=0.0)
        else:
            evidence = reverse(_more_error(cells, name, "identity", above=NEAR))
        error = "fails (above 20 %)" if row.fails else f"{row.published} %"
        published = f"test error {error} against {base.published} %"
        source = ORDERS if name in ORDER_ROWS else MAPPINGS
        found.append(_claim(statement, source, published, cells, name, evidence))
    better = _more_error(cells, "identity", "pre-activation", above=0.0)
    found.append(
        _claim(
            "Full pre-activation does better than the original",
            ORDERS,
            f"test error {VARIANTS['pre-activation'].published} % against {base.published} %",
            cells,
            "pre-activation",
            better,
            "original minus pre-activation",
        )
    )
    close = difference(
        _errors(cells, "identity", "test"),
        _errors(cells, "projection-B", "test"),
        images=_images(cells),
        above=NEAR,
    )
    found.append(
        _claim(
            "Zero padding (A) does about as well as projections where the shape changes (B): at most 2 points worse",
            OPTIONS,
            "top-1 error 25.03 % with A, 24.52 % with B",
            cells,
            "projection-B",
            reverse(close),
            "A minus B",
        )
    )
    return found


def _more_error(cells: Cells, name: str, than: str, above: float) -> Evidence:
    first, second = _errors(cells, name, "test"), _errors(cells, than, "test")
    return difference(first, second, images=_images(cells), above=above)


def _errors(cells: Cells, name: str, split: str) -> list[float]:
    return [1 - cell[split]["top1"] for cell in cells[name]]


def _images(cells: Cells) -> int:
    count: int = cells["identity"][0]["images"]["test"]
    return count


def _claim(
    statement: str,
    source: str,
    published: str,
    cells: Cells,
    name: str,
    evidence: Evidence,
    sense: str = "variant minus original",
) -> Claim:
    tested, trained = (
        f"{percent(fmean(_errors(cells, name, split)))} against {percent(fmean(_errors(cells, 'identity', split)))}"
        for split in ("test", "train")
    )
    measured = f"test error {tested} (training error {trained}); {points(evidence.mean)}, {sense}"
    return Claim(statement, source, published, measured, evidence.interval, evidence.outcome)


def _arm(name: str, cells: list[dict[str, Any]]) -> Arm:
    results = {
        f"{split} {label}": [cell[split][key] for cell in cells if cell[split][key] is not None]
        for split in ("train", "test")
        for label, key in (("top-1", "top1"), ("loss", "loss"))
    }
    results["seconds"] = [cell["seconds"] for cell in cells]
    return Arm(name, VARIANTS[name].description, results, cells[0]["params"], cells[0]["macs"])


def _panels(cells: Cells, arms: list[Arm]) -> list[Panel]:
    rows = []
    for arm in arms:
        row = VARIANTS[arm.name]
        train, test = ([1 - value for value in arm.results[f"{split} top-1"]] for split in ("train", "test"))
        published = "fails" if row.fails else f"{row.published} %" if row.published else "-"
        spread = f"{100 * min(test):.1f} to {100 * max(test):.1f} %"
        texts = (arm.name, arm.description, f"{arm.params:,}", percent(fmean(train)), percent(fmean(test)))
        rows.append((*texts, spread, published))
    table = TablePanel(
        title="Every shortcut and order",
        explanation=(
            "Means over the seeds, and the span of the test error. The published column is ResNet-110 on CIFAR-10 "
            "(median of five runs of 164 epochs): compare the order of the rows, not the figures.",
        ),
        headings=("variant", "what it is", "parameters", "training error", "test error", "span", "published"),
        rows=tuple(rows),
        texts=2,
    )
    others = [name for name in VARIANTS if name not in (*ORDER_ROWS, "projection-B")]  # eight colours
    return [
        table,
        _curves("Shortcuts: training error by epoch", cells, ["identity", *others]),
        _curves("Activation orders: training error by epoch", cells, list(ORDER_ROWS)),
    ]


def _curves(title: str, cells: Cells, names: list[str]) -> LinesPanel:
    series = []
    for index, name in enumerate(names):
        curves = [[1 - epoch["train"]["top1"] for epoch in cell["epochs"]] for cell in cells[name]]
        length = min(map(len, curves))
        if length:
            cut = [curve[:length] for curve in curves]
            x = range(1, length + 1)
            series.append(span(name, x, cut, factor=100, dashed=name == "none", color=index % 8))
    return LinesPanel(
        title=title,
        explanation=(
            "Mean over the batches of each epoch, while the weights moved.",
            "The identity is the only shortcut through which a signal and its gradient pass unchanged, however many "
            "blocks follow; everything multiplied onto it acts once a block.",
        ),
        x_label="epoch",
        y_label="training error",
        unit=" %",
        markers=False,
        series=tuple(series),
    )


def _notes(context: Context, cells: Cells, depth: int) -> list[str]:
    assert context.dataset is not None
    images = cells["identity"][0]["images"]
    notes = [
        f"{depth} layers, {context.epochs or EPOCHS[context.budget]} epochs of one-cycle SGD on {images['train']:,} "
        f"images of {context.dataset.name}; the paper trains 110 layers for 164 epochs on CIFAR-10. Another data "
        "set and a shorter run: what can carry over is the direction.",
        "Option C has BN behind its 1x1 convolutions, and stands for the paper's '1x1 conv shortcut'.",
        *([ONE_SEED] if len(context.seeds) == 1 else []),
    ]
    for name, found in cells.items():
        failed = sum(cell["diverged"] is not None for cell in found)
        if failed:
            notes.append(f"{name}: the loss became infinite in {failed} of {len(found)} runs.")
    return notes


def _key(name: str, depth: int, seed: int) -> str:
    return f"{name}-{depth}-{seed}"


STUDY = Study(
    name="shortcuts",
    title="Shortcuts and activation orders",
    question="Is the plain identity the best shortcut, and where should the activations stand?",
    sources="He et al. 2016 (1603.05027), tables 1 and 2; He et al. 2015 (1512.03385), table 3",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2, 3, 4)},
    jobs=jobs,
    read=read,
    sample=sample,
)
