"""The folder of an explanation: maps, values and page; whatever the images are called and however broken they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import skipline
from skipline.bundle import Bundle
from skipline.errors import InputError, SourceError
from skipline.explanation import overlay


def test_a_folder_with_maps_values_and_page(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = skipline.explain(bundle, photos, out=out)
    files = ["maps/001-a.png", "maps/002-b.png", "maps/004-Übung-3.png"]
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()) == sorted(
        ["explanation.json", *files, "report.html"]
    )
    assert [item.file for item in found.items] == [
        str(photos / name) for name in ("a.png", "b.jpg", "cut.png", "Übung 3.png")
    ]
    assert [item.map for item, _ in found.answered] == files
    assert found.items[2].error == "cut short: the end of the file is missing"
    values = json.loads((out / "explanation.json").read_text(encoding="utf-8"))
    assert values["images"][2] == {"file": str(photos / "cut.png"), "error": found.items[2].error}
    assert values["images"][0]["map"] == files[0]
    assert found.to_json(out)["images"][0]["map"] == str(out / files[0])
    keys = ["file", "class", "probability", "logit", "predicted", "peak", "map", "blocks", "sanity"]
    assert list(values["images"][0]) == keys
    assert list(values["images"][0]["blocks"][0]) == ["block", "probability", "logit", "top1"]
    assert list(values["images"][0]["sanity"]) == [
        "rank_correlation",
        "structural_similarity",
        "networks",
        "changed",
    ]


def test_batches_give_what_single_images_give(bundle: Bundle, tmp_path: Path) -> None:
    images = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(19)]
    together = skipline.explain(bundle, images, out=tmp_path / "together", blocks=False)  # 16 and 3
    assert [item.file for item in together.items] == [f"image {index}" for index in range(19)]
    alone = skipline.explain(bundle, images[17], out=tmp_path / "alone", blocks=False)
    pictures = [
        Image.open(tmp_path / name) for name in ("together/maps/018-image.png", "alone/maps/001-image.png")
    ]
    difference = np.abs(np.subtract(*(np.asarray(picture, int) for picture in pictures)))
    assert difference.max() <= 2
    assert together.items[17].answer.probability == pytest.approx(alone.items[0].answer.probability, abs=1e-6)


def test_the_overlay_is_grey_where_the_map_is_dark_and_yellow_where_it_is_bright() -> None:
    pixels = np.full((8, 8, 3), (200, 100, 0), np.uint8)
    map_ = np.zeros((8, 8), np.float32)
    map_[2:4, 5:7] = 1
    picture = np.asarray(overlay(pixels, map_), int)
    assert picture.shape == (224, 224, 3)  # 8 pixels are enlarged to be seen
    red, green, blue = picture[0, 0]
    assert red == green == blue
    bright = picture[3 * 28, 6 * 28]
    assert bright.min() > 120
    assert bright[0] > bright[2] + 50
    rows, columns = np.nonzero(np.ptp(picture, 2))
    assert rows.min() >= 28
    assert rows.max() < 5 * 28
    assert columns.min() >= 4 * 28
    assert columns.max() < 8 * 28


@pytest.mark.parametrize(
    ("side", "channels", "shown"), [(16, 1, 224), (96, 4, 288), (224, 3, 224), (300, 3, 300)]
)
def test_overlays_of_every_size_and_kind(side: int, channels: int, shown: int) -> None:
    picture = overlay(np.zeros((side, side, channels), np.uint8), np.ones((side, side), np.float32))
    assert picture.mode == "RGB"
    assert picture.size == (shown, shown)


def test_names_of_files_that_are_no_names(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    for old, new in (("a.png", "<b>&amp;" * 9 + ".png"), ("b.jpg", "c\\x:y.jpg")):
        (photos / old).rename(photos / new)
    found = skipline.explain(bundle, photos, out=tmp_path / "out", blocks=False)
    assert [item.map for item, _ in found.answered] == [
        "maps/001--b--amp--b--amp--b--amp--b--amp--b--amp-.png",
        "maps/002-c-x-y.png",
        "maps/004-Übung-3.png",
    ]
    assert all((tmp_path / "out" / item.map).is_file() for item, _ in found.answered)


def test_an_earlier_explanation_is_replaced_and_other_folders_are_not(
    bundle: Bundle, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    skipline.explain(bundle, photos, out=out, blocks=False)
    skipline.explain(bundle, photos / "b.jpg", out=out, blocks=False)
    assert [file.name for file in (out / "maps").iterdir()] == ["001-b.png"]
    assert len(json.loads((out / "explanation.json").read_text())["images"]) == 1
    with pytest.raises(InputError) as error:
        skipline.explain(bundle, photos, out=photos, blocks=False)
    assert str(error.value) == (
        f"expected a new folder or an earlier explanation for --out, but '{photos}' holds other things, such as a.png: "
        "choose a new folder"
    )
    with pytest.raises(InputError, match=r"expected a folder for --out, but '.*b\.jpg' is a file"):
        skipline.explain(bundle, photos, out=photos / "b.jpg", blocks=False)
    assert sorted(file.name for file in photos.iterdir()) == ["a.png", "b.jpg", "cut.png", "Übung 3.png"]


def test_nothing_is_written_where_nothing_can_be_read(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    found = skipline.explain(bundle, [photos / "cut.png", photos / "gone.png"], out=tmp_path / "out")
    assert [item.error for item in found.items] == [
        "cut short: the end of the file is missing",
        "cannot be read: no such file or directory",
    ]
    assert found.folder is None
    assert found.page is None
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no images in the folder"):
        skipline.explain(bundle, tmp_path / "empty", out=tmp_path / "out")


def test_the_usual_folder_is_called_after_the_run(
    bundle_folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [
        skipline.explain(target, photos / "a.png", blocks=False).folder for target in (bundle_folder,) * 2
    ]
    folders.append(skipline.explain(bundle_folder.parent, photos / "a.png", blocks=False).folder)
    assert folders == [Path(f"runs/explanation-owls-{number}") for number in (1, 2, 3)]
    assert (tmp_path / folders[2] / "report.html").is_file()


def test_one_sentence_says_which_maps_not_to_trust(
    bundle: Bundle, photos: Path, tmp_path: Path, edge_method: str
) -> None:
    one = skipline.explain(bundle, photos / "a.png", method=edge_method, out=tmp_path / "one", blocks=False)
    assert one.warning() == (
        f"The map of {photos / 'a.png'} did not change when all weights were drawn anew (rank correlation 1.00): it "
        "shows the image, not what the network has learned. Do not trust it."
    )
    both = skipline.explain(bundle, photos, method=edge_method, out=tmp_path / "all", blocks=False)
    assert both.warning() == (
        "None of the 3 maps changed when all weights were drawn anew: they show the image, not what the network has "
        "learned. Do not trust them."
    )
    assert both.to_json(None)["notes"][0] == both.warning()
    good = skipline.explain(bundle, photos, out=tmp_path / "good", blocks=False)
    changed = [answer.sanity.changed for _, answer in good.answered]
    assert (good.warning() is None) == all(changed)


def test_networks_without_blocks_say_so(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    plain = Bundle(
        "plain20", skipline.create("plain20", classes=3).eval(), bundle.classes, bundle.preprocessing
    )
    found = skipline.explain(plain, photos, out=tmp_path / "plain")
    assert found.without_blocks() == "plain20 has no residual blocks: there is no branch to remove."
    assert found.without_blocks() in (tmp_path / "plain" / "report.html").read_text(encoding="utf-8")
    assert found.to_json(None)["notes"] == [found.without_blocks()]
    unasked = skipline.explain(bundle, photos, out=tmp_path / "unasked", blocks=False)
    assert unasked.without_blocks() == "The contributions of the residual blocks were not asked for."
