"""`skipline explain`: one JSON object, a table, exit codes, and what is said to people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Run
from PIL import Image

from skipline.explanation import METHODS, Method


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds photos/ with two images and one that is cut short."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg")):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(
            folder / name
        )
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:100])
    return folder


def test_json_is_one_object_with_everything_of_each_image(run: Run, bundle: Path, photos: Path) -> None:
    result = run("explain", bundle, photos, "--json")
    assert result.status == 0
    assert result.err == "1 of 3 images could not be explained\n"
    assert result.out.count("\n") == 1
    values = json.loads(result.out)
    assert values["folder"] == "runs/explanation-owls-1"
    assert Path(values["page"]).is_file()
    assert (values["method"], values["layer"], values["map_size"]) == ("gradcam", "layer3", [4, 4])
    first, _, broken = values["images"]
    assert broken == {"file": "photos/cut.png", "error": "cut short: the end of the file is missing"}
    assert first["file"] == "photos/a.png"
    assert first["class"] in ("cat", "dog", "owl")
    assert 0 < first["probability"] < 1
    with Image.open(first["map"]) as picture:
        assert picture.size == (224, 224)
    assert [block["block"] for block in first["blocks"]][:4] == [
        "layer1.0",
        "layer1.1",
        "layer1.2",
        "layer2.0",
    ]
    assert first["sanity"]["networks"] == 5
    assert -1 <= first["sanity"]["rank_correlation"] <= 1
    stored = json.loads(Path(values["folder"], "explanation.json").read_text())
    assert stored["images"][0]["sanity"] == first["sanity"]


@pytest.mark.parametrize("method", ["gradcam++", "occlusion"])
def test_class_method_and_folder_are_chosen(run: Run, bundle: Path, photos: Path, method: str) -> None:
    arguments = ("--method", method, "--class", "owl", "--out", "there", "--no-blocks", "--json")
    values = json.loads(run("explain", bundle, photos / "a.png", *arguments).out)
    assert (values["method"], values["folder"]) == (method, "there")
    assert values["layer"] == (None if method == "occlusion" else "layer3")
    (image,) = values["images"]
    assert image["class"] == "owl"
    assert image["blocks"] == []
    assert Path(image["map"]).is_file()


def test_people_read_a_table_and_where_the_page_is(run: Run, bundle: Path, photos: Path) -> None:
    result = run("explain", bundle, photos, "--out", "there")
    lines = result.out.splitlines()
    assert lines[0].split() == ["file", "class", "probability", "map", "needs", "most"]
    assert lines[1].startswith("photos/a.png")
    assert "with the weights (" in lines[1] or "unchanged by" in lines[1]
    assert "cut short: the end of the file is missing" in lines[3]
    assert lines[-3:] == [
        "method       Grad-CAM, layer layer3, 4 x 4 cells",
        "maps         there/maps",
        "report       there/report.html",
    ]


def test_a_map_that_does_not_depend_on_the_weights_is_said_in_a_sentence(
    run: Run, bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Method(
        "edges",
        "Edges",
        "a test",
        "Bright: it is bright.",
        False,
        lambda _: lambda n, x, c: x.sum(1) + 6,
        1,
        9,
        0,
    )
    monkeypatch.setitem(METHODS, "edges", row)
    result = run("explain", bundle, photos / "a.png", "--method", "edges", "--no-blocks")
    assert (
        "The map of photos/a.png did not change when all weights were drawn anew (rank correlation 1.00): it shows the "
        "image, not what the network has learned. Do not trust it."
    ) in result.out.splitlines()
    assert "unchanged by random weights (1.00)" in result.out


def test_mistakes_are_one_red_line(run: Run, bundle: Path, photos: Path) -> None:
    for arguments, message in (
        ((photos, "--class", "cow"), "skipline: no class is called 'cow'. Did you mean owl?"),
        (
            (photos, "--method", "cam"),
            "skipline: no method is called 'cam'. Did you mean gradcam or gradcam++?",
        ),
        (
            (photos, "--out", photos),
            "skipline: expected a new folder or an earlier explanation for --out, but ",
        ),
        (
            ("gone",),
            "skipline: found no images at 'gone'. Expected image files, a folder of them, or - for names",
        ),
    ):
        result = run("explain", bundle, *arguments)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith(message)
        assert result.err.count("\n") == 1
    assert run("explain", "nowhere", photos).status == 2
    assert not Path("runs").exists()


def test_status_1_where_nothing_could_be_read(run: Run, bundle: Path, photos: Path) -> None:
    result = run("explain", bundle, photos / "cut.png", "--json")
    assert result.status == 1
    values = json.loads(result.out)
    assert (values["folder"], values["page"]) == (None, None)
    assert values["images"][0]["error"] == "cut short: the end of the file is missing"
    assert not Path("runs").exists()


def test_an_image_on_standard_input(run: Run, bundle: Path, photos: Path) -> None:
    result = run("explain", bundle, "-", "--json", "--no-blocks", stdin=(photos / "a.png").read_bytes())
    (image,) = json.loads(result.out)["images"]
    assert image["file"] == "image 0"
    assert Path(image["map"]).name == "001-image.png"


def test_names_that_would_steer_a_terminal_are_escaped(run: Run, bundle: Path, photos: Path) -> None:
    (photos / "a.png").rename(photos / "\x1b[31mred\n.png")
    result = run("explain", bundle, photos, "--no-blocks")
    assert "\x1b" not in result.out
    assert "\\x1b[31mred\\n.png" in result.out
