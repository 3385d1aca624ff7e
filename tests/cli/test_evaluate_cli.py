from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Run
from PIL import Image
from rich.console import Console

from skipline.bundle import evaluate, load_bundle, save_bundle
from skipline.data import Preprocessing, open_source
from skipline.models import create

CLASSES = ("cat", "dog", "owl")
SEED = 5
PREPROCESSING = Preprocessing(3, 20, 16, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The network here is so small that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_photos(folder: Path, classes: tuple[str, ...], each: int) -> Path:
    generator = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02d}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder per class, without splits of its own."""
    return write_photos(tmp_path / "photos", CLASSES, 10)


def save(folder: Path, classes: tuple[str, ...] = CLASSES, **provenance: Any) -> Path:
    save_bundle(
        folder, create("resnet20", classes=len(classes), seed=1), classes, PREPROCESSING, {}, provenance
    )
    return folder


def test_json_has_the_contracts_figures(run: Run, photos: Path, tmp_path: Path) -> None:
    bundle = save(tmp_path / "bundle", split_seed=SEED)
    result = run("evaluate", bundle, photos, "--json")
    assert result.status == 0
    assert result.out.count("\n") == 1
    values = json.loads(result.out)
    names = ["n", "top1", "top1_interval", "top5", "loss", "ece", "classes", "confusion", "notes"]
    assert list(values)[: len(names)] == names
    test = open_source(photos, channels=3, stored=20, seed=SEED).test
    expected = evaluate(load_bundle(bundle).network, test, PREPROCESSING).to_json()
    assert {key: values[key] for key in names[:-1]} == {key: expected[key] for key in names[:-1]}
    assert values["n"] == len(test) == 6
    assert (values["split"], values["tta"], values["precision"]) == ("test", "none", "fp32")


def test_a_source_without_splits_is_split_as_at_training(run: Run, photos: Path, tmp_path: Path) -> None:
    """Else the network would be measured on images that it was trained on."""
    figures = {}
    for seed in (SEED, 6):
        bundle = save(tmp_path / f"bundle-{seed}", split_seed=seed)
        test = open_source(photos, channels=3, stored=20, seed=seed).test
        figures[seed] = json.loads(run("evaluate", bundle, photos, "--json").out)["loss"]
        assert figures[seed] == evaluate(load_bundle(bundle).network, test, PREPROCESSING).loss
    assert figures[SEED] != figures[6]


def test_every_split_can_be_asked_for(run: Run, photos: Path, tmp_path: Path) -> None:
    bundle = save(tmp_path / "bundle")
    figures = {
        s: json.loads(run("evaluate", bundle, photos, "--split", s, "--json").out) for s in ("train", "all")
    }
    assert (figures["train"]["n"], figures["all"]["n"]) == (24, 30)
    assert [c["n"] for c in figures["all"]["classes"]] == [10, 10, 10]
    result = run("evaluate", bundle, photos, "--split", "validation")
    message = "skipline: photos has no validation split: expected --split train or test\n"
    assert (result.status, result.out, result.err.splitlines(keepends=True)[-1]) == (2, "", message)


def test_test_time_augmentation_and_precision_are_used_and_named(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    bundle = save(tmp_path / "bundle")
    values = json.loads(
        run("evaluate", bundle, photos, "--tta", "flip-shift", "--precision", "bf16", "--json").out
    )
    plain = json.loads(run("evaluate", bundle, photos, "--json").out)
    assert (values["tta"], values["precision"]) == ("flip-shift", "bf16")
    assert values["loss"] != plain["loss"]


def test_classes_in_another_order_are_matched_and_noted(run: Run, photos: Path, tmp_path: Path) -> None:
    straight = save(tmp_path / "straight")
    turned = tmp_path / "turned"
    network = load_bundle(straight).network
    order = [2, 0, 1]
    network.fc.weight.data = network.fc.weight.data[order]  # type: ignore[union-attr, operator, index]
    network.fc.bias.data = network.fc.bias.data[order]  # type: ignore[union-attr, operator, index]
    save_bundle(turned, network, [CLASSES[k] for k in order], PREPROCESSING, {}, {})
    one, other = (json.loads(run("evaluate", b, photos, "--json").out) for b in (straight, turned))
    assert other["confusion"] == one["confusion"]
    assert other["loss"] == pytest.approx(one["loss"], abs=1e-6)
    assert any("matched by name" in note for note in other["notes"])
    assert not any("matched by name" in note for note in one["notes"])


def test_other_classes_are_status_2_and_one_line(run: Run, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", ("cat", "hund", "owl"), 5)
    result = run("evaluate", save(tmp_path / "bundle"), photos)
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "skipline: expected the model's 3 classes, arrived 3: missing in the source: dog; unknown to the model: hund. "
        "Rename the source's class folders, or train a model on this source\n"
    )


def test_images_are_decoded_as_the_bundle_says(run: Run, tmp_path: Path) -> None:
    """A network for small grey images measures large coloured ones without being told how."""
    photos = write_photos(tmp_path / "photos", CLASSES, 5)
    grey = create("resnet20", classes=3, channels=1, seed=1)
    save_bundle(tmp_path / "b", grey, CLASSES, Preprocessing(1, 12, 10, (0.5,), (0.25,)), {}, {})
    assert json.loads(run("evaluate", tmp_path / "b", photos, "--json").out)["n"] == 3


def test_a_corrupt_file_is_left_out_and_named(run: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "zz.png").write_bytes(b"\x89PNG broken")
    bundle = save(tmp_path / "bundle")
    result = run("evaluate", bundle, photos)
    assert result.status == 0
    assert "left out     cat/zz.png: " in result.err
    (problem,) = json.loads(run("evaluate", bundle, photos, "--json").out)["problems"]
    assert problem["file"] == "cat/zz.png"


def test_a_changed_source_and_training_images_are_cautioned_about(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    seen = open_source(photos, channels=3, stored=20, seed=SEED)
    bundle = save(tmp_path / "bundle", split_seed=SEED, source="photos", fingerprint=seen.fingerprint)
    assert "trained" not in run("evaluate", bundle, photos).err
    assert (
        "the network was trained on these images" in run("evaluate", bundle, photos, "--split", "train").err
    )
    (photos / "cat" / "00.png").unlink()
    assert "photos has changed since the network was trained" in run("evaluate", bundle, photos).err


def test_a_strange_split_seed_in_a_bundle_is_ignored(run: Run, photos: Path, tmp_path: Path) -> None:
    for number, seed in enumerate(("five", -1, None, [1])):
        assert run("evaluate", save(tmp_path / f"b{number}", split_seed=seed), photos, "--json").status == 0


def test_what_a_person_reads(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = (
        "cat",
        "dog",
        "owl",
        "a [bold]very long name of a class that does not end " * 2,
        "e",
        "f",
    )
    photos = write_photos(tmp_path / "photos", classes, 5)
    screen = io.StringIO()
    narrow = Console(
        file=screen, force_terminal=True, width=80, color_system=None, highlight=False, soft_wrap=True
    )
    monkeypatch.setattr(sys.modules["skipline.cli.evaluate"], "out", narrow)
    result = run("evaluate", save(tmp_path / "bundle", tuple(sorted(classes))), photos)
    lines = screen.getvalue().splitlines()
    assert result.status == 0
    assert lines[0] == "resnet20 on photos, test split: 6 images, fp32, no test-time augmentation"
    top1 = next(line for line in lines if line.startswith("top-1"))
    assert top1.endswith("(95 % interval)")
    assert any(line.startswith("top-5") for line in lines)
    assert max(map(len, lines)) <= 80
    assert "[bold]" in screen.getvalue()  # names are shown, not interpreted
    assert "taken for" in screen.getvalue()


def test_many_classes_are_cut_to_the_worst(run: Run, tmp_path: Path) -> None:
    classes = tuple(f"class {k:02d}" for k in range(40))
    photos = write_photos(tmp_path / "photos", classes, 2)
    out = run("evaluate", save(tmp_path / "bundle", classes), photos).out
    assert "the worst 30 of 40 classes; all of them with --json" in out
    assert sum(line.startswith("class ") for line in out.splitlines()) >= 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "tset"], "no split is called 'tset'. Did you mean test?"),
        (["--tta", "flop"], "no test-time augmentation is called 'flop'. Did you mean flip?"),
        (["--precision", "int8"], "no precision is called 'int8'. Known: bf16, fp32"),
    ],
)
def test_mistakes_in_the_options_are_one_line(
    run: Run, photos: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run("evaluate", save(tmp_path / "bundle"), photos, *arguments)
    assert (result.status, result.out, result.err) == (2, "", f"skipline: {message}\n")


def test_wrong_paths_are_one_line(run: Run, photos: Path, tmp_path: Path) -> None:
    for target, source, message in (
        ("gone", photos, "no such bundle or run 'gone'"),
        (save(tmp_path / "bundle"), tmp_path / "fotos", "no such source"),
    ):
        result = run("evaluate", target, source)
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
        assert result.err.startswith(f"skipline: {message}")
