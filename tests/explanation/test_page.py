"""The page of an explanation in a real browser: without network, at two widths, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import skipline
from skipline.bundle import Bundle
from skipline.data import Preprocessing
from skipline.explanation import page_images

Open = Callable[..., Any]
DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.mark.parametrize(
    ("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop, light", "phone, dark"]
)
def test_it_opens_whole_without_network(
    bundle: Bundle, photos: Path, tmp_path: Path, opened: Open, size: tuple[int, int], theme: str
) -> None:
    found = skipline.explain(bundle, photos, out=tmp_path / "out")
    assert found.page is not None
    with opened(found.page, size, theme) as report:
        assert [url for url in report.requests if not url.startswith("data:")] == [found.page.as_uri()]
        assert report.complaints == []
        report.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert report.width == size[0]
        assert report.page.title() == "What resnet20 looks at"
        headings = report.value("[...document.querySelectorAll('.explained > h3')].map(h => h.textContent)")
        assert headings == [item.file for item, _ in found.answered]
        # Every picture is there and large enough to be seen: the image and its map side by side.
        boxes = report.value(
            "[...document.querySelectorAll('.explained > img')].map(i => [i.naturalWidth, i.clientWidth, i.offsetTop])"
        )
        assert [box[0] for box in boxes] == [16, 224] * 3
        assert all(box[1] > 150 for box in boxes)
        assert all(left[2] == right[2] for left, right in zip(boxes[::2], boxes[1::2], strict=True))
        assert "cut short" in report.value("document.querySelector('#unreadable').textContent")
        assert report.value("document.querySelectorAll('#blocks .bars path').length") == 9


def test_the_figures_shown_are_those_of_the_answers(
    bundle: Bundle, photos: Path, tmp_path: Path, opened: Open
) -> None:
    found = skipline.explain(bundle, photos, out=tmp_path / "out")
    with opened(found.page) as report:
        shares = report.value(
            "[...document.querySelectorAll('.reading > p:first-child data')].map(d => d.value)"
        )
        assert [float(share) for share in shares] == [answer.probability for _, answer in found.answered]
        falls = "document.querySelector('#blocks .graph').data[0].y"
        answers = [answer for _, answer in found.answered]
        mean = [
            np.mean([100 * (answer.probability - answer.blocks[i].probability) for answer in answers])
            for i in range(9)
        ]
        assert report.value(falls) == pytest.approx(mean, abs=1e-3)
        report.value(
            "(s => { s.value = 2; s.dispatchEvent(new Event('input')); })(document.querySelector('.slider input'))"
        )
        own = [100 * (answers[1].probability - block.probability) for block in answers[1].blocks]
        assert report.value(falls) == pytest.approx(own, abs=1e-3)
        assert report.value("document.querySelector('.slider output').textContent") == found.items[1].file
        correlations = report.value(
            "[...document.querySelectorAll('#trust tbody tr')].map(r => r.cells[2].textContent)"
        )
        assert correlations == [f"{answer.sanity.rank_correlation:.2f}" for answer in answers]
        assert report.complaints == []


def test_maps_that_do_not_depend_on_the_weights_are_marked(
    bundle: Bundle, photos: Path, tmp_path: Path, opened: Open, edge_method: str
) -> None:
    found = skipline.explain(bundle, photos, method=edge_method, blocks=False, out=tmp_path / "out")
    with opened(found.page, PHONE) as report:
        notes = report.value("[...document.querySelectorAll('.note')].map(n => n.textContent)")
        assert notes[0] == found.warning()
        assert len(notes) == 4
        assert all(note.endswith("do not trust it.") for note in notes[1:])
        figure = report.value("document.querySelector('header .figures > div').innerText")
        assert re.sub(r"\s+", " ", figure).strip() in (
            "maps depend on what was learned 0 of 3",
            "0 of 3 maps depend on what was learned",
        )
        assert report.complaints == []
        assert report.width == PHONE[0]


def test_a_page_without_charts_carries_no_plotly(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    with_chart = skipline.explain(bundle, photos, out=tmp_path / "with")
    without = skipline.explain(bundle, photos, blocks=False, out=tmp_path / "without")
    assert with_chart.page.stat().st_size > 4_000_000
    assert without.page.stat().st_size < 200_000


def test_names_that_are_code_are_shown_and_not_run(
    bundle: Bundle, photos: Path, tmp_path: Path, opened: Open
) -> None:
    hostile = "<img src=x onerror='window.hacked=1'>"
    (photos / "a.png").rename(photos / f"{hostile}{'long ' * 30}.png")
    classes = ("<script>window.hacked=2</script>", "<b>" + "w" * 120, "owl")
    named = Bundle("resnet20", bundle.network, classes, bundle.preprocessing)
    found = skipline.explain(named, photos, out=tmp_path / "out")
    with opened(found.page, PHONE) as report:
        report.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert report.value("window.hacked") is None
        assert report.complaints == []
        assert report.width == PHONE[0]
        assert any(
            hostile in text
            for text in report.value("[...document.querySelectorAll('h3')].map(h => h.innerText)")
        )


def test_many_images_fit_a_page(
    bundle: Bundle, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_images, "PICTURES_BUDGET", 60_000)
    images = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(20)]
    found = skipline.explain(bundle, images, blocks=False, out=tmp_path / "out")
    with opened(found.page, PHONE) as report:
        shown = report.value("document.querySelectorAll('.explained').length")
        assert 1 <= shown < 20
        summary = report.value("document.querySelector('#images details summary').textContent")
        assert summary == f"{20 - shown} more images"
        names = report.value("[...document.querySelectorAll('#images tbody th')].map(t => t.textContent)")
        assert names == [item.file for item in found.items[shown:]]
        assert report.width == PHONE[0]


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_images(channels: int, tmp_path: Path, opened: Open) -> None:
    network = skipline.create("resnet20", classes=2, channels=channels, seed=0).eval()
    preprocessing = Preprocessing(channels, 80, 80, (0.5,) * channels, (0.25,) * channels)
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 4), dtype=np.uint8)).save(file)
    found = skipline.explain(
        Bundle("resnet20", network, ("a", "b"), preprocessing), file, blocks=False, out=tmp_path / "out"
    )
    with opened(found.page) as report:
        assert report.complaints == []
        assert report.value(
            "[...document.querySelectorAll('.explained > img')].map(i => i.naturalWidth)"
        ) == [80, 240]
