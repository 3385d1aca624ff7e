from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from photo_examples import picture
from PIL import Image

from skipline.data.resizing import resize
from skipline.errors import InputError, SourceError
from skipline.models.upscaling import create_upscaler
from skipline.upscaling import Upscaler, apply_to_files


@pytest.fixture
def fresh() -> Upscaler:
    """A network that has learned nothing: with a global residual it is bicubic enlargement."""
    network = create_upscaler("espcn", scale=2, global_residual=True, seed=0).eval()
    return Upscaler("espcn", network, 2, {}, {})


def test_a_file_becomes_a_file(fresh: Upscaler, folder: Path, tmp_path: Path) -> None:
    source = folder / "b" / "0.png"
    (done,) = apply_to_files(fresh, [source], tmp_path / "large.png")
    assert (done.file, done.out, done.size, done.error) == (
        str(source),
        tmp_path / "large.png",
        (180, 140),
        None,
    )
    with Image.open(tmp_path / "large.png") as image:
        found = np.array(image).astype(np.int16)
    # In floats: of bytes, imresize clips what lies between its two passes.
    expected = resize(picture(0, 70, 90).astype(np.float64), 2).clip(0, 255).round()
    assert np.abs(found - expected).max() <= 1


def test_a_folder_keeps_names_kinds_and_places(fresh: Upscaler, folder: Path, tmp_path: Path) -> None:
    Image.fromarray(picture(9, 20, 20)).convert("L").save(folder / "grey.jpg")
    Image.fromarray(picture(9, 20, 20)).save(folder / "grey.bmp")
    results = apply_to_files(fresh, [folder], tmp_path / "out")
    assert {str(r.out.relative_to(tmp_path / "out")) for r in results if r.out is not None} == {
        *(f"a/{n}.png" for n in (1, 3, 5)),
        *(f"b/{n}.png" for n in (0, 2, 4)),
        *("grey.jpg", "grey.png"),
    }
    with Image.open(tmp_path / "out" / "grey.jpg") as image:
        assert (image.mode, image.size) == ("L", (40, 40))
    (broken,) = [result for result in results if result.error is not None]
    assert broken.file.endswith("broken.jpg")
    assert broken.to_json() == {"file": broken.file, "error": broken.error}


def test_nothing_is_replaced_unasked(fresh: Upscaler, folder: Path, tmp_path: Path) -> None:
    source, target = folder / "b" / "0.png", tmp_path / "large.png"
    apply_to_files(fresh, [source], target)
    before = target.read_bytes()
    with pytest.raises(
        InputError, match=r"large\.png' is there already: choose another --out, or give --overwrite"
    ):
        apply_to_files(fresh, [source], target)
    assert target.read_bytes() == before
    apply_to_files(fresh, [source], target, overwrite=True)
    (own,) = apply_to_files(fresh, [source], source, overwrite=True)
    assert own.error == "it would be replaced by its own enlargement: choose another --out"
    with Image.open(source) as image:
        assert image.size == (90, 70)


def test_mistakes_in_names_are_told_before_anything_is_computed(
    fresh: Upscaler, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        apply_to_files(fresh, [tmp_path / "nothing.png"], tmp_path / "out")
    with pytest.raises(InputError, match="is one file, but there are several images"):
        apply_to_files(fresh, [folder], tmp_path / "out.png")
    with pytest.raises(InputError, match=r"'\.gif' is no kind of image that can be written"):
        apply_to_files(fresh, [folder / "b" / "0.png"], tmp_path / "out.gif")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no images in"):
        apply_to_files(fresh, [empty], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_transparency_does_not_go_into_a_jpeg_unsaid(fresh: Upscaler, tmp_path: Path) -> None:
    pixels = np.dstack([picture(3, 24, 24), np.full((24, 24), 90, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "glass.png")
    (refused,) = apply_to_files(fresh, [tmp_path / "glass.png"], tmp_path / "glass.jpg")
    assert refused.error is not None
    assert "transparency, which JPEG cannot hold" in refused.error
    (done,) = apply_to_files(fresh, [tmp_path / "glass.png"], tmp_path / "large.png")
    with Image.open(done.out) as image:
        assert image.mode == "RGBA"
        assert np.array(image)[20, 20, 3] == 90
