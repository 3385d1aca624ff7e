from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Run
from PIL import Image

from skipline.bundle import load_bundle
from skipline.cli import console


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The network here is so small that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds photos/ with three images."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg", "Übung 3.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return Path("photos")


def answers(bundle: Path, *files: str, top: int = 3) -> list[dict[str, object]]:
    return [p.to_json() for p in load_bundle(bundle).predict(list(files), top=top)]


def test_json_is_one_object_with_the_contracts_names(run: Run, bundle: Path, photos: Path) -> None:
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:100])
    result = run("predict", bundle, photos, "--json")
    assert result.status == 0
    assert result.out.count("\n") == 1
    values = json.loads(result.out)
    assert list(values) == ["predictions"]
    files = ["photos/a.png", "photos/b.jpg", "photos/cut.png", "photos/Übung 3.png"]
    assert [p["file"] for p in values["predictions"]] == files
    assert values["predictions"] == answers(bundle, *files)
    assert list(values["predictions"][2]) == ["file", "error"]
    assert result.err == "1 of 4 images could not be read\n"
    assert run("predict", bundle, photos, "--format", "json").out == result.out


def test_csv_has_a_stable_header_and_a_row_an_image(run: Run, bundle: Path, photos: Path) -> None:
    (photos / 'odd, "name".png').write_bytes((photos / "a.png").read_bytes())
    result = run("predict", bundle, photos, "photos/gone.png", "--format", "csv", "--top", 2)
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert list(rows[0]) == ["file", "class", "probability", "error", "class_2", "probability_2"]
    assert [r["file"] for r in rows] == [
        "photos/a.png",
        "photos/b.jpg",
        'photos/odd, "name".png',
        "photos/Übung 3.png",
        "photos/gone.png",
    ]
    first = answers(bundle, "photos/a.png")[0]
    assert rows[0]["class"] == first["class"]
    assert float(rows[0]["probability"]) == pytest.approx(first["probability"], abs=1e-6)
    assert float(rows[0]["probability_2"]) == pytest.approx(first["top"][1]["probability"], abs=1e-6)  # type: ignore[index]
    assert rows[-1]["class"] == ""
    assert rows[-1]["error"] == "cannot be read: no such file or directory"
    many = run(
        "predict", bundle, "photos/a.png", "--format", "csv", "--top", 5
    )  # more than there are classes
    assert {len(row) for row in csv.reader(io.StringIO(many.out))} == {4 + 2 * 4}


def test_the_table_in_a_pipe_has_one_line_an_image_however_long(run: Run, bundle: Path, photos: Path) -> None:
    deep = photos / ("d" * 100) / ("e" * 60)
    deep.mkdir(parents=True)
    (photos / "a.png").rename(deep / "a.png")
    lines = run("predict", bundle, photos).out.splitlines()
    assert len(lines) == 4
    assert lines[0].split() == ["file", "class", "probability", "next"]
    assert any(line.startswith(str(deep / "a.png")) for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert lines[1].split()[2:4] == [f"{100 * answers(bundle, 'photos/b.jpg')[0]['probability']:.1f}", "%"]  # type: ignore[operator]


def test_the_table_in_a_terminal_fits_its_width(
    run: Run, bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    (photos / ("long " * 20 + ".png")).write_bytes((photos / "a.png").read_bytes())
    screen = io.StringIO()
    narrow = Console(
        file=screen, force_terminal=True, width=80, color_system=None, highlight=False, soft_wrap=True
    )
    for module in (console, sys.modules["skipline.cli.predict"]):
        monkeypatch.setattr(module, "out", narrow)
    run("predict", bundle, photos)
    assert max(len(line) for line in screen.getvalue().splitlines()) <= 80


def test_names_that_would_steer_a_terminal_are_escaped(run: Run, bundle: Path, photos: Path) -> None:
    (photos / "a.png").rename(photos / "\x1b[31mred\n.png")
    result = run("predict", bundle, photos)
    assert "\x1b" not in result.out
    assert "photos/\\x1b[31mred\\n.png" in result.out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_unicode_do_not_stop_it(run: Run, bundle: Path, photos: Path) -> None:
    odd = os.fsdecode(b"photos/caf\xe9.png")
    (photos / "a.png").rename(odd)
    for form in ("table", "json", "csv"):
        result = run("predict", bundle, "-", "--format", form, stdin=os.fsencode(odd) + b"\n")
        assert result.status == 0
        assert "caf\\udce9.png" in result.out.replace("\\\\", "\\")


def test_file_names_come_from_standard_input(run: Run, bundle: Path, photos: Path) -> None:
    expected = answers(bundle, "photos/a.png", "photos/Übung 3.png")
    lines = "photos/a.png\n\nphotos/Übung 3.png\n".encode()
    nul = "photos/a.png\0photos/Übung 3.png\0".encode()  # as find -print0 writes them
    for given in (lines, lines.replace(b"\n", b"\r\n"), nul):
        assert json.loads(run("predict", bundle, "-", "--json", stdin=given).out)["predictions"] == expected


def test_one_image_on_standard_input(run: Run, bundle: Path, photos: Path) -> None:
    for name in ("a.png", "b.jpg"):
        result = run("predict", bundle, "-", "--json", stdin=(photos / name).read_bytes())
        (answer,) = json.loads(result.out)["predictions"]
        assert answer == {**answers(bundle, f"photos/{name}")[0], "file": "-"}


def test_a_missing_file_among_several_is_an_error_row(run: Run, bundle: Path, photos: Path) -> None:
    result = run("predict", bundle, "photos/gone.png", "photos/a.png", "--json")
    assert result.status == 0
    assert ["error" in p for p in json.loads(result.out)["predictions"]] == [True, False]


def test_nothing_readable_is_status_1_with_rows(run: Run, bundle: Path, photos: Path) -> None:
    (photos / "x.jpg").write_text("<html>no image</html>")
    result = run("predict", bundle, "photos/x.jpg", "photos/gone.jpg", "--json")
    assert result.status == 1
    assert len(json.loads(result.out)["predictions"]) == 2
    assert result.err == "2 of 2 images could not be read\n"


@pytest.mark.parametrize("arguments", [["gone.png"], ["gone.png", "also-gone.png"], ["empty"], ["-"]])
def test_nothing_found_at_all_is_status_2_in_one_line(
    run: Run, bundle: Path, photos: Path, arguments: list[str]
) -> None:
    Path("empty").mkdir()
    result = run("predict", bundle, *arguments, "--json")
    assert result.status == 2
    assert result.out == ""
    last = result.err.splitlines()[-1]
    assert last.startswith(f"skipline: found no images at '{arguments[0]}'")
    assert last.endswith("Expected image files, a folder of them, or - for names")


def test_an_empty_folder_beside_images_is_mentioned(run: Run, bundle: Path, photos: Path) -> None:
    Path("empty").mkdir()
    result = run("predict", bundle, "empty", photos)
    assert result.status == 0
    assert result.err == "no images in the folder empty\n"


def test_out_writes_a_file_whose_suffix_chooses_the_format(run: Run, bundle: Path, photos: Path) -> None:
    assert run("predict", bundle, photos, "--out", "r.csv").out == ""
    assert Path("r.csv").read_text(encoding="utf-8") == run("predict", bundle, photos, "--format", "csv").out
    result = run("predict", bundle, photos, "--out", "r.json")
    assert result.err == "3 predictions written to r.json\n"
    assert len(json.loads(Path("r.json").read_text(encoding="utf-8"))["predictions"]) == 3
    run("predict", bundle, photos, "--out", "r.txt")
    assert Path("r.txt").read_text(encoding="utf-8").startswith("file ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "xml"], "no format is called 'xml'. Known: csv, json, table"),
        (["--json", "--format", "csv"], "expected --json or --format csv, not both"),
        (["--out", "nowhere/r.csv"], "there is no folder 'nowhere' for --out: create it, or choose another"),
        (["--top", "0"], "expected top and batch_size of at least 1, arrived 0 and 64"),
    ],
)
def test_mistakes_in_the_options_are_one_line(
    run: Run, bundle: Path, photos: Path, arguments: list[str], message: str
) -> None:
    result = run("predict", bundle, photos, *arguments)
    assert (result.status, result.out, result.err) == (2, "", f"skipline: {message}\n")


def test_a_bundle_that_is_none(run: Run, photos: Path) -> None:
    result = run("predict", "gone", photos)
    assert result.status == 2
    assert result.err.startswith("skipline: no such bundle or run 'gone'. Expected a bundle")
    assert result.err.count("\n") == 1


def test_importing_the_commands_does_not_load_torch() -> None:
    code = "import sys, skipline.cli.predict, skipline.cli.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
