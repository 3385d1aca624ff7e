"""Enlarging photos: learning the difference from bicubic enlargement, or the image itself."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from skipline.report.panels import LinesPanel, TablePanel
from skipline.studies.spread import span
from skipline.studies.study import Claim, Context, Outcomes, Study, decided
from skipline.studies.upscaled import above_bicubic, arm, arm_job, limits, pictures_panel, steps_of
from skipline.training.jobs import Job

MODELS = ("vdsr", "edsr-baseline")
KINDS = {"residual": True, "direct": False}
SOURCE = "Kim et al., VDSR (1511.04587), section 4.2"
EARLY = 4  # the first quarter of the steps


def _key(model: str, kind: str) -> str:
    return f"{model}-{kind}"


def jobs(context: Context) -> list[Job]:
    """One job for each network, kind and seed."""
    return [
        arm_job(context, _key(model, kind), seed, model, global_residual=residual, steps=steps_of(context))
        for model in MODELS
        for kind, residual in KINDS.items()
        for seed in context.seeds
    ]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Arms, claims and panels."""
    table = {
        (model, kind): [results[f"{_key(model, kind)}-seed{seed}"] for seed in context.seeds]
        for model in MODELS
        for kind in KINDS
    }
    words = {"residual": "bicubic + f(x)", "direct": "f(x)"}
    arms = [arm(f"{model}, {kind}", words[kind], found) for (model, kind), found in table.items()]
    run = f"runs/{_key('edsr-baseline', 'residual')}-seed{context.seeds[0]}"
    return Outcomes(
        arms,
        [claim for model in MODELS for claim in _claims(model, table)],
        [
            *(_curves(model, table) for model in MODELS),
            pictures_panel(run, table["edsr-baseline", "residual"][0]),
            _figures(table),
        ],
        limits(context, steps_of(context)),
    )


Table = dict[tuple[str, str], list[dict[str, Any]]]


def _claims(model: str, table: Table) -> list[Claim]:
    ours, direct = table[model, "residual"], table[model, "direct"]
    final = [a["psnr"] - b["psnr"] for a, b in zip(ours, direct, strict=True)]
    early = [_early(a) - _early(b) for a, b in zip(ours, direct, strict=True)]
    below = [a["bicubic"] - _early(a) for a in direct]
    claims = []
    for statement, published, values, text in (
        (
            f"{model} reaches a higher PSNR when it learns the difference from bicubic enlargement",
            "a residual network reaches a higher PSNR",
            final,
            "dB higher after all steps",
        ),
        (
            f"{model} learns faster when it learns the difference",
            "a residual network converges much faster",
            early,
            "dB higher after a quarter of the steps",
        ),
        (
            f"{model} without it is below bicubic enlargement after a quarter of the steps",
            "",
            below,
            "dB below bicubic enlargement",
        ),
    ):
        interval, outcome = decided(values)
        measured = f"{fmean(values):+.2f} {text}"
        claims.append(Claim(statement, SOURCE, published, measured, interval, outcome))
    return claims


def _early(result: dict[str, Any]) -> float:
    curve: list[float] = result["curve"]
    return curve[max(0, len(curve) // EARLY - 1)]


def _curves(model: str, table: Table) -> LinesPanel:
    steps = table[model, "residual"][0]["steps"]
    bands = [
        span(kind, steps, [above_bicubic(found) for found in table[model, kind]], dashed=kind == "direct")
        for kind in KINDS
    ]
    return LinesPanel(
        title=f"{model}: PSNR over steps, above bicubic enlargement",
        explanation=(
            "PSNR on tiles of test photos less that of bicubic enlargement, all channels; the band spans the seeds.",
            "With the global residual a network begins at bicubic enlargement, since its last layer begins at zero; "
            "without, it has to learn the whole image before it is worth anything.",
        ),
        x_label="step",
        y_label="dB above bicubic",
        series=tuple(bands),
        level=(0.0, "bicubic"),
    )


def _figures(table: Table) -> TablePanel:
    rows = []
    for (model, kind), found in table.items():
        psnr, above = (
            fmean(value)
            for value in (
                [one["psnr"] for one in found],
                [one["psnr"] - one["bicubic_psnr"] for one in found],
            )
        )
        rows.append(
            (f"{model}, {kind}", f"{psnr:.2f}", f"{above:+.2f}", f"{fmean(one['ssim'] for one in found):.4f}")
        )
    return TablePanel(
        title="After all steps",
        explanation=("Means over seeds and test photos, on luma, as papers report them.",),
        headings=("network", "PSNR, dB", "above bicubic, dB", "SSIM"),
        rows=tuple(rows),
    )


STUDY = Study(
    name="residual-sr",
    title="Learn the difference, not the picture",
    question="Is it easier to learn what bicubic enlargement leaves out than to learn the large image?",
    sources="Kim et al. 2016 (VDSR, 1511.04587); Lim et al. 2017 (EDSR, 1707.02921)",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2)},
    jobs=jobs,
    read=read,
    default_source="photos",
    needs_images=False,
    takes_photos=True,
)
