"""`skipline upscale`: train, apply, evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Run
from PIL import Image

from skipline.models.upscaling import create_upscaler
from skipline.upscaling import save_upscaler


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds photos/ with four images and one that is cut short."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    folder.mkdir()
    for seed in range(4):
        coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize((60, 48), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:60])
    return folder


SMALL = (
    *("--model", "espcn", "--epochs", "1", "--threads", "1", "--set", "upscaling.steps_per_epoch=3"),
    *("--set", "batch_size=2", "--set", "upscaling.patch=24", "--set", "precision=fp32"),
)


def test_train_evaluate_and_apply(run: Run, photos: Path) -> None:
    status, out, err = run("upscale", "train", photos, "--out", "run", "--global-residual", "--json", *SMALL)
    assert status == 0, err
    values = json.loads(out)
    assert set(values) == {
        *("run", "bundle", "report", "status", "epochs", "seconds", "images_per_second", "test")
    }
    assert values["test"]["n"] == 1
    assert values["test"]["psnr"] >= values["test"]["bicubic_psnr"] - 1, "three steps from bicubic"
    assert Path(values["report"]).is_file()
    assert "photos       4 photos to learn from, 1 to test on, 1 left out (named in the run); 3 tiles" in err
    assert "held-out" in err
    assert " dB" in err

    status, out, err = run("upscale", "evaluate", "run", photos, "--json")
    assert status == 0, err
    values = json.loads(out)
    assert [image["file"] for image in values["images"]] == ["0.png", "1.png", "2.png", "3.png"]
    assert set(values["images"][0]) >= {"file", "psnr", "ssim", "bicubic_psnr", "bicubic_ssim"}
    assert values["mean"]["bicubic_psnr"] == pytest.approx(
        np.mean([image["bicubic_psnr"] for image in values["images"]])
    )

    status, out, err = run("upscale", "apply", "run", photos, "--out", "large")
    assert status == 0, err
    assert "photos/0.png  ->  large/0.png  120 x 96" in out
    assert "left out photos/cut.png: " in err
    with Image.open("large/3.png") as image:
        assert image.size == (120, 96)


def test_a_table_names_every_photo_and_the_mean(run: Run, photos: Path) -> None:
    save_upscaler("b", create_upscaler("espcn", scale=2, global_residual=True, seed=0), {}, {})
    status, out, _ = run("upscale", "evaluate", "b", photos, "--limit", "3", "--crop", "40")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["photo", "0.png", "2.png", "mean"]
    assert "mean of 2" in out
    assert " +0.0" in out or " -0.0" in out, "a network that has learned nothing is bicubic enlargement"


def test_mistakes_end_with_two_and_one_line(run: Run, photos: Path) -> None:
    for arguments, reason in [
        (("train", "fotos", "--out", "r"), "Did you mean 'photos/'?"),
        (("train", photos, "--model", "esdr-baseline"), "did you mean edsr-baseline?"),
        (("train", photos, "--scale", "5"), "the scale must be 2, 3 or 4, got 5"),
        (("train", photos, "--recipe", "fast"), "no recipe is called 'fast'"),
        (("train", photos, "--set", "upscaling.patch=25", *SMALL[:6]), "no multiple of the scale 2"),
        (("train", photos, "--resume", "r"), "--resume RUN, not both"),
        (("train", "--resume", "nothing"), "no run to resume in 'nothing'"),
        (("evaluate", "nothing", photos), "no such bundle or run 'nothing'"),
    ]:
        status, out, err = run("upscale", *arguments)
        lines = [line for line in err.splitlines() if line.startswith("skipline: ")]
        assert (status, out) == (2, ""), (arguments, err)
        assert len(lines) == 1
        assert reason.lower() in lines[0].lower(), lines
    assert not Path("r").exists()


def test_apply_fails_where_no_image_could_be_enlarged(run: Run, photos: Path) -> None:
    save_upscaler("b", create_upscaler("espcn", scale=2, seed=0), {}, {})
    status, out, _ = run("upscale", "apply", "b", photos / "cut.png", "--out", "x.png", "--json")
    assert status == 1
    assert "error" in json.loads(out)["images"][0]
    assert not Path("x.png").exists()
