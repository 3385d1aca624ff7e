from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shlex
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from skipline.errors import InputError, StorageError
from skipline.report import write_report
from skipline.report.page import write_page
from skipline.report.provenance import command_line, machine_section
from skipline.report.reading import read_run
from skipline.report.results import PICTURE_BUDGET

LIMIT = 6_000_000  # bytes
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "<!-- <script>",
    "{{7*7}} & <b>bold</b>",
    '<a href="javascript:alert(4)">link</a>',
]


class _Page(HTMLParser):
    """A page as a browser's parser sees it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts).replace("\N{NO-BREAK SPACE}", " ")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def figures(self) -> list[dict[str, Any]]:
        kinds = self.all("script")
        return [json.loads(text) for text, kind in zip(self.scripts, kinds, strict=True) if kind.get("type")]


def _report(folder: Path) -> _Page:
    return _Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_sections_in_their_order(runs: Any) -> None:
    finding = {
        "diagnosis": "stall",
        "severity": "warning",
        "where": None,
        "value": 0.0004,
        "threshold": 0.001,
    }
    finding |= {"source": "SageMaker", "remedy": "rate sweep"}
    folder = runs.make(twin_top1=0.572, findings=[finding])
    page = _report(folder)
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == [
        *("twin", "findings", "curves", "classes", "confusions", "calibration", "mistakes"),
        *("source", "recipe", "machine", "reproduce"),
    ]
    names = [attributes["id"] for attributes in page.all("figure") if "id" in attributes]
    assert names == ["accuracy", "loss", "rate", "confusion"]
    assert len(page.figures) == 4
    assert "stall" in page.text
    assert "rate sweep" in page.text
    assert "0.001 (SageMaker)" in page.text.replace("0.00100", "0.001")


def test_the_headline_is_the_evaluation(runs: Any) -> None:
    folder = runs.make()
    test = json.loads((folder / "evaluation.json").read_text())["test"]
    page = _report(folder)
    assert repr(test["top1"]) in [attributes["value"] for attributes in page.all("data")]
    low, high = test["top1_interval"]
    assert f"{100 * test['top1']:.1f} %top-1" not in page.text  # name and figure are separate elements
    for text in ("resnet56 on digits", f"{100 * test['top1']:.1f} %", f"[{100 * low:.1f}, {100 * high:.1f}]"):
        assert text in page.text
    assert "12.0 s" in page.text
    assert "2,395" in page.text


def test_every_class_and_every_confusion_is_there_as_text(runs: Any) -> None:
    names = [f"class-{i}" for i in range(20)]
    folder = runs.make(classes=names, test_top1=0.9)
    page = _report(folder)
    assert all(name in page.text for name in names)
    matrix = json.loads((folder / "evaluation.json").read_text())["test"]["confusion"]
    heat = next(figure for figure in page.figures if figure["data"][0]["type"] == "heatmap")["data"][0]
    assert [[int(cell.split()[0]) for cell in row] for row in heat["customdata"]] == matrix


def test_the_curves_are_those_of_the_events_with_the_twin_dashed(runs: Any) -> None:
    folder = runs.make(epochs=4, twin_top1=0.6)
    accuracy = _report(folder).figures[0]["data"]
    epochs = [event for event in runs.events(folder) if event["kind"] == "epoch"]
    assert [line["name"] for line in accuracy] == [
        *("resnet56, training", "resnet56, test", "plain56, training", "plain56, test"),
    ]
    assert [line["line"]["dash"] for line in accuracy] == ["solid", "solid", "dash", "dash"]
    assert accuracy[0]["y"] == pytest.approx([100 * epoch["train"]["top1"] for epoch in epochs], abs=1e-5)
    assert accuracy[1]["y"] == pytest.approx([100 * epoch["test"]["top1"] for epoch in epochs], abs=1e-5)


def test_untrusted_names_stay_text(runs: Any) -> None:
    folder = runs.make(
        classes=HOSTILE,
        source="</title><script>alert(5)</script>",
        files=[*HOSTILE, "\udcff.png"],
        notes=[f"left out {HOSTILE[0]}: not an image"],
        test_top1=0.6,
        twin_top1=0.3,
    )
    (folder / "recipe.toml").write_text("# </pre><script>alert(6)</script>\n")
    page = _report(folder)
    types = [attributes.get("type") for attributes in page.all("script")]
    assert types == ["application/json"] * 4 + [None, None]
    assert all(
        "alert(" not in script for script, kind in zip(page.scripts, types, strict=True) if kind is None
    )
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert not page.all("a")
    assert len(page.all("img")) == 12
    for name in HOSTILE:
        assert name in page.text
    assert "</pre><script>alert(6)</script>" in page.text
    assert "?.png" in page.text  # a byte that is no UTF-8
    assert page.all("title") == [{}]


def test_only_its_own_scripts_may_run_and_nothing_may_be_requested(runs: Any) -> None:
    page = _report(runs.make(epochs=2))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    code = page.scripts[-2:]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)


def test_structure_for_readers_and_search(runs: Any) -> None:
    page = _report(runs.make(epochs=2))
    assert page.elements[0] == ("html", {"lang": "en"})
    assert len(page.all("h1")) == 1
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert all(attributes.get("alt") for attributes in page.all("img"))
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    plots = [attributes for attributes in page.all("div") if attributes.get("class") == "graph"]
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in plots)
    assert len(page.all("details")) >= len(plots)


def test_an_interrupted_run(runs: Any) -> None:
    page = _report(runs.make(epochs=3, planned=10, end="interrupted", evaluated=False))
    assert "This run was interrupted: 3 of 10 epochs are finished." in page.text
    assert "test accuracy after epoch 3" in page.text
    assert [a["id"] for a in page.all("section")] == ["curves", "source", "recipe", "machine", "reproduce"]


def test_a_run_that_has_only_begun(runs: Any) -> None:
    folder = runs.make(epochs=1, planned=10, end=None, evaluated=False)
    runs.rewrite(folder, runs.events(folder)[:1])
    (folder / "recipe.toml").unlink()
    page = _report(folder)
    assert "This run has no recorded end" in page.text
    assert "0 of 10 epochs are finished." in page.text
    assert "not measured" in page.text
    assert "No epoch was finished, so there are no curves." in page.text
    assert "holds no recipe.toml" in page.text
    assert page.figures == []


def test_a_resumed_run_with_repeated_epochs(runs: Any) -> None:
    folder = runs.make(epochs=4)
    events = runs.events(folder)
    third = [event for event in events if event["kind"] == "epoch"][2]
    again = {**third, "train": {"top1": 0.4321, "loss": 1.0}}
    runs.rewrite(folder, [*events[:-1], {"kind": "resume", "time": 0.0, "step": 44}, again, events[-1]])
    page = _report(folder)
    line = page.figures[0]["data"][0]
    assert line["x"] == [1, 2, 3]
    assert line["y"][2] == 43.21
    assert "Taken up againonce" in page.text


def test_epochs_without_a_measurement_leave_gaps(runs: Any) -> None:
    page = _report(runs.make(epochs=5, test_every=2))
    values = page.figures[0]["data"][1]["y"]
    assert [value is None for value in values] == [True, False, True, False, False]


def test_a_run_that_measured_on_validation_images_says_so(runs: Any) -> None:
    page = _report(runs.make(epochs=3, validation=144))
    assert [line["name"] for line in page.figures[0]["data"]] == ["training", "validation"]
    assert "144 for validation" in page.text


def test_a_loss_that_is_not_finite_leaves_a_gap(runs: Any) -> None:
    folder = runs.make(epochs=3, end="failed", evaluated=False)
    events = runs.events(folder)
    next(event for event in reversed(events) if event["kind"] == "epoch")["train"]["loss"] = float("nan")
    runs.rewrite(folder, events)
    page = _report(folder)
    assert page.figures[1]["data"][0]["y"][2] is None
    assert "This run failed" in page.text


def test_a_run_without_any_finite_loss_has_no_loss_chart(runs: Any) -> None:
    folder = runs.make(epochs=1, end="failed", evaluated=False)
    events = runs.events(folder)
    for event in events:
        if event["kind"] == "epoch":
            event["train"]["loss"] = event["test"]["loss"] = None
    runs.rewrite(folder, events)
    names = [attributes.get("id") for attributes in _report(folder).all("figure")]
    assert names == ["accuracy", "rate"]


def test_one_epoch_and_two_classes(runs: Any) -> None:
    page = _report(runs.make(classes=["cat", "dog"], epochs=1, test_top1=0.9))
    assert "for 1 epoch on" in page.text
    assert page.figures[0]["data"][0]["x"] == [1]
    assert "ln 2 = 0.69" in page.text


def test_a_hundred_classes_stay_below_the_limit(runs: Any) -> None:
    names = [f"a rather long name of a species, number {i:02d}" for i in range(100)]
    long_run = {"epochs": 600, "mistakes": 24, "picture_side": 224, "per_class": 100, "twin_top1": 0.5}
    folder = runs.make(classes=names, test_top1=0.7, **long_run)
    page = write_report(folder)
    assert page.stat().st_size <= LIMIT
    read = _Page(page.read_text(encoding="utf-8"))
    assert len(read.figures[3]["data"][0]["z"]) == 100
    assert len(read.figures[0]["data"][0]["x"]) == 400  # thinned
    assert "The other 88 classes" in read.text


def test_more_classes_than_a_heat_map_can_show(runs: Any) -> None:
    page = _report(runs.make(classes=[f"c{i}" for i in range(120)], per_class=10, test_top1=0.5, epochs=2))
    assert len(page.figures) == 3
    assert "A heat map of 120 classes could not be read." in page.text
    assert "More confusions" in page.text


def test_a_perfect_run_says_so(runs: Any) -> None:
    page = _report(runs.make(test_top1=1.0, mistakes=0, epochs=2))
    assert "No test image was confused." in page.text
    assert "mistakes" not in [attributes["id"] for attributes in page.all("section")]


def test_small_pictures_keep_their_pixels(runs: Any) -> None:
    folder = runs.make(epochs=2, mistakes=3)
    images = _report(folder).all("img")
    assert [attributes["class"] for attributes in images] == ["tiny"] * 3
    for rank, attributes in enumerate(images):
        uri = attributes["src"] or ""
        assert uri.startswith("data:image/png;base64,")
        embedded = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
        original = Image.open(folder / "mistakes" / f"{rank:02d}.png")
        assert embedded.tobytes() == original.tobytes()
        assert (attributes["width"], attributes["height"]) == ("8", "8")


def test_large_pictures_become_small_jpegs_within_the_budget(runs: Any) -> None:
    images = _report(runs.make(epochs=2, mistakes=3, picture_side=900)).all("img")
    assert all("class" not in attributes for attributes in images)
    assert [attributes["width"] for attributes in images] == ["160"] * 3
    assert sum(len(attributes["src"] or "") for attributes in images) < PICTURE_BUDGET


def test_pictures_outside_the_run_are_not_taken_in(runs: Any, tmp_path: Path) -> None:
    folder = runs.make(epochs=2, mistakes=4)
    Image.new("L", (8, 8)).save(tmp_path / "private.png")
    (folder / "mistakes" / "link.png").symlink_to(tmp_path / "private.png")
    (folder / "mistakes" / "torn.png").write_bytes((folder / "mistakes" / "00.png").read_bytes()[:40])
    values = json.loads((folder / "evaluation.json").read_text())
    places = ["../private.png", str(tmp_path / "private.png"), "mistakes/link.png", "mistakes/torn.png"]
    for mistake, place in zip(values["mistakes"], places, strict=True):
        mistake["image"] = place
    (folder / "evaluation.json").write_text(json.dumps(values))
    page = _report(folder)
    assert page.all("img") == []
    assert page.text.count("is missing.") == 4


def test_files_left_out_and_notes_are_told(runs: Any) -> None:
    notes = [f"left out photo{i}.jpg: truncated" for i in range(600)]
    folder = runs.make(epochs=1, notes=notes)
    events = runs.events(folder)
    events[0]["source"]["problems"] = 600
    runs.rewrite(folder, events)
    page = _report(folder)
    assert "600 files were left out because they could not be read as images." in page.text
    assert "592 more notes" in page.text
    assert "left out photo499.jpg" in page.text
    assert "and 100 more" in page.text


def test_the_command_to_run_it_again(runs: Any) -> None:
    folder = runs.make(epochs=1)
    recipe = (folder / "recipe.toml").read_text().replace('"digits"', '"/data/my photos; rm -rf"')
    (folder / "recipe.toml").write_text(recipe)
    line = command_line(read_run(folder))
    assert shlex.split(line) == [
        *("skipline", "train", "/data/my photos; rm -rf", "--model", "resnet56", "--recipe", "recipe.toml"),
        *("--seed", "0", "--shortcut", "A", "--threads", "2", "--twin"),
    ]
    (folder / "recipe.toml").unlink()
    assert "train digits --model resnet56 --recipe tiny --epochs 1 --seed 0" in command_line(read_run(folder))


def test_several_processes_are_named_and_wanted_again(runs: Any) -> None:
    folder = runs.make(epochs=1)
    events = (folder / "events.jsonl").read_text().replace('"threads": 2', '"threads": 1, "processes": 4')
    (folder / "events.jsonl").write_text(events)
    run = read_run(folder)
    assert command_line(run).endswith("--threads 1 --nproc 4 --twin")
    assert "4, which share every batch" in machine_section(run)


def test_a_report_is_replaced_whole_or_not_at_all(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs.make(epochs=1)
    (folder / "report.html").write_text("earlier")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"the earlier report\.html is intact"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "earlier"
    assert sorted(path.name for path in folder.glob("*.tmp")) == []
    monkeypatch.undo()
    assert write_report(folder) == folder / "report.html"
    assert (folder / "report.html").stat().st_size <= LIMIT


def test_a_page_holds_text_of_any_kind(tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.html", "Größe \udcff")
    assert page.read_bytes() == "Größe ?".encode()


def test_a_folder_that_is_no_run_gets_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
