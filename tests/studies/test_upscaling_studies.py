"""The studies on enlarging photos: the claims on figures whose answer is known, and one job for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.errors import InputError
from skipline.studies import pixel_shuffle, residual_sr
from skipline.studies.catalogue import study_named
from skipline.studies.run import run_study
from skipline.studies.study import Context
from skipline.studies.upscaled import train_arm


def context(tmp_path: Path, **changes: Any) -> Context:
    values: dict[str, Any] = {"budget": "quick", "seeds": (0, 1, 2), "epochs": None, "depths": None}
    return Context(dataset=None, source="photos", data_root=None, folder=tmp_path, **values | changes)


def result(psnr: float, curve: list[float]) -> dict[str, Any]:
    shown = {"file": "china", "gain": psnr - 30, "place": "gained most"}
    pictures = {kind: f"pictures/0-{kind}.png" for kind in ("bicubic", "residual", "sum", "truth")}
    return {
        **{"psnr": psnr, "ssim": 0.9, "bicubic_psnr": 30.0, "bicubic": 29.0, "seconds": 7.0},
        **{"steps": [10 * (i + 1) for i in range(len(curve))], "curve": curve, "params": 10, "macs": 20},
        "pictures": [{**shown, "pictures": pictures}],
    }


def test_every_network_has_its_twin_and_the_same_steps(tmp_path: Path) -> None:
    jobs = residual_sr.jobs(context(tmp_path))
    assert len(jobs) == 12
    assert {job.arguments["steps"] for job in jobs} == {100}
    kinds = {(job.arguments["model"], job.arguments["global_residual"]) for job in jobs}
    assert kinds == {(model, kind) for model in ("vdsr", "edsr-baseline") for kind in (True, False)}
    assert {job.arguments["steps"] for job in residual_sr.jobs(context(tmp_path, epochs=3))} == {30}
    with pytest.raises(InputError, match="leave --depths out"):
        residual_sr.jobs(context(tmp_path, depths=(20,)))


def test_a_network_that_learns_the_difference_better_is_said_to(tmp_path: Path) -> None:
    results = {}
    for seed in range(3):
        good, bad = [29.5, 29.8, 30.1, 30.2], [20.0 + seed, 24.0, 27.0, 28.0]
        for model in residual_sr.MODELS:
            results[f"{model}-residual-seed{seed}"] = result(31.0 + 0.1 * seed, good)
            results[f"{model}-direct-seed{seed}"] = result(28.0 + 0.1 * seed, bad)
    found = residual_sr.read(context(tmp_path), results)
    vdsr = found.claims[:3]
    assert [claim.outcome for claim in vdsr] == ["holds"] * 3
    assert vdsr[0].measured == "+3.00 dB higher after all steps"
    assert vdsr[0].interval == pytest.approx((3.0, 3.0))
    assert vdsr[1].measured == "+8.50 dB higher after a quarter of the steps"
    assert vdsr[2].measured == "+8.00 dB below bicubic enlargement"
    files = [picture.file for _, row in found.panels[2].rows for picture in row]
    assert files[0] == "runs/edsr-baseline-residual-seed0/pictures/0-bicubic.png"


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    results = {
        f"{model}-{kind}-seed0": result(30.0, [29.0])
        for model in residual_sr.MODELS
        for kind in residual_sr.KINDS
    }
    found = residual_sr.read(context(tmp_path, seeds=(0,)), results)
    assert {claim.outcome for claim in found.claims} == {"not decided"}
    assert found.notes[-1].startswith("One seed: nothing is decided")


def test_equal_computing_is_counted_in_multiply_adds(tmp_path: Path) -> None:
    steps = pixel_shuffle.steps_by_model(context(tmp_path))
    assert steps == {"edsr-baseline": 100, "bicubic-shuffle-deep": 100, "bicubic-shuffle": 597}
    assert pytest.approx(597 * 229_824, rel=1e-3) == 100 * 1_372_608
    results = {
        f"{model}-seed{seed}": result(psnr + 0.01 * seed, [29.5, psnr])
        for model, psnr in zip(pixel_shuffle.MODELS, (31.0, 30.98, 30.5), strict=True)
        for seed in range(3)
    }
    claims = pixel_shuffle.read(context(tmp_path), results).claims
    assert [claim.outcome for claim in claims] == ["holds", "does not hold", "holds"]
    assert claims[1].measured == "-0.50 dB against edsr-baseline; up to 0.05 dB less counts as equal"


def test_a_job_trains_and_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    arguments: dict[str, Any] = {
        **{"folder": str(tmp_path / "arm"), "source": "photos", "data_root": None, "seed": 1},
        **{"model": "espcn", "global_residual": True, "steps": 3},
    }
    first = train_arm(**arguments)
    assert first["steps"] == [1, 2, 3]
    assert len(first["curve"]) == 3
    assert 25 < first["bicubic"] < 40
    assert train_arm(**arguments) == first, "a finished run is read, not run again"
    assert {len(shown["pictures"]) for shown in first["pictures"]} == {4}


def test_they_take_photos_and_others_take_none() -> None:
    assert study_named("residual-sr").takes_photos
    with pytest.raises(InputError, match="the study 'toy' needs no images: leave 'photos' out"):
        run_study("toy", "photos")
