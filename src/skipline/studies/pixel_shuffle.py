"""Bicubic enlargement plus a pixel-shuffle network: are residual blocks needed?"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from skipline.models.upscaling import upscaler_spec
from skipline.report.panels import LinesPanel, TablePanel
from skipline.studies.spread import span
from skipline.studies.study import Claim, Context, Outcomes, Study, decided
from skipline.studies.upscaled import SCALE, above_bicubic, arm, arm_job, limits, steps_of
from skipline.training.jobs import Job

BLOCKS, EQUAL, SMALL = "edsr-baseline", "bicubic-shuffle-deep", "bicubic-shuffle"
MODELS = {
    BLOCKS: "16 residual blocks",
    EQUAL: "no residual blocks, as many parameters and multiply-adds",
    SMALL: "no residual blocks, small; trained for as many multiply-adds",
}
SOURCE = "a comment under the lecture: bicubic enlargement and pixel shuffle are enough, residual blocks are not needed"
CLOSE = 0.05  # dB that count as "not worse"


def steps_by_model(context: Context) -> dict[str, int]:
    """Steps of each network: those of the small one cost as much in all as those of the others."""
    steps = steps_of(context)
    costs = {model: upscaler_spec(model).macs_of(SCALE, 1, 1) for model in MODELS}
    return {
        model: steps if model != SMALL else round(steps * costs[BLOCKS] / costs[SMALL]) for model in MODELS
    }


def jobs(context: Context) -> list[Job]:
    """One job for each network and seed; all add to bicubic enlargement."""
    steps = steps_by_model(context)
    return [
        arm_job(context, model, seed, model, global_residual=True, steps=steps[model])
        for model in MODELS
        for seed in context.seeds
    ]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Arms, claims and panels."""
    table = {model: [results[f"{model}-seed{seed}"] for seed in context.seeds] for model in MODELS}
    steps = steps_by_model(context)
    return Outcomes(
        [arm(model, words, table[model]) for model, words in MODELS.items()],
        _claims(table),
        [_curves(table), _figures(table, steps)],
        [
            *limits(context, steps_of(context)),
            f"Equal time is counted in multiply-adds of training ({steps[SMALL]:,} steps of the small network against "
            f"{steps[BLOCKS]:,}), which do not depend on the machine; the seconds that it took stand in the table.",
        ],
    )


def _claims(table: dict[str, list[dict[str, Any]]]) -> list[Claim]:
    claims = []
    for statement, model in (
        ("With as many parameters, a network without residual blocks is as good", EQUAL),
        ("With as much computing, a small network without residual blocks is as good", SMALL),
    ):
        differences = [a["psnr"] - b["psnr"] for a, b in zip(table[model], table[BLOCKS], strict=True)]
        interval, outcome = decided(differences, above=-CLOSE)
        measured = f"{fmean(differences):+.2f} dB against {BLOCKS}; up to {CLOSE:g} dB less counts as equal"
        claims.append(Claim(statement, SOURCE, "", measured, interval, outcome))
    above = [one["psnr"] - one["bicubic_psnr"] for one in table[SMALL]]
    interval, outcome = decided(above)
    statement = "Bicubic enlargement plus a pixel-shuffle network beats bicubic enlargement"
    claims.append(Claim(statement, SOURCE, "", f"{fmean(above):+.2f} dB", interval, outcome))
    return claims


def _curves(table: dict[str, list[dict[str, Any]]]) -> LinesPanel:
    bands = []
    for model, found in table.items():
        share = [100 * step / found[0]["steps"][-1] for step in found[0]["steps"]]
        bands.append(span(model, share, [above_bicubic(one) for one in found], dashed=model != BLOCKS))
    return LinesPanel(
        title="PSNR over computing, above bicubic enlargement",
        explanation=(
            "PSNR on tiles of test photos less that of bicubic enlargement, all channels; the band spans the seeds.",
            "At the same place along the horizontal axis all networks have cost about the same.",
        ),
        x_label="share of the computing, %",
        y_label="dB above bicubic",
        series=tuple(bands),
        level=(0.0, "bicubic"),
    )


def _figures(table: dict[str, list[dict[str, Any]]], steps: dict[str, int]) -> TablePanel:
    rows = tuple(
        (
            model,
            f"{found[0]['params']:,}",
            f"{steps[model]:,}",
            f"{fmean(one['seconds'] for one in found):,.0f}",
            f"{fmean(one['psnr'] for one in found):.2f}",
            f"{fmean(one['psnr'] - one['bicubic_psnr'] for one in found):+.2f}",
        )
        for model, found in table.items()
    )
    return TablePanel(
        title="After all steps",
        explanation=("Means over seeds and test photos, on luma, as papers report them.",),
        headings=("network", "parameters", "steps", "seconds", "PSNR, dB", "above bicubic, dB"),
        rows=rows,
    )


STUDY = Study(
    name="pixel-shuffle",
    title="Are residual blocks needed to enlarge photos?",
    question="Does a network without residual blocks, added to bicubic enlargement, enlarge as well as one with them?",
    sources="A comment under the lecture; Shi et al. 2016 (1609.05158); Lim et al. 2017 (1707.02921)",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2)},
    jobs=jobs,
    read=read,
    default_source="photos",
    needs_images=False,
    takes_photos=True,
)
