"""The surest mistakes on sounds: a labelled spectrogram and the sound itself, inside the page."""

from __future__ import annotations

import base64
import io
import json
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skipline.report import write_report
from skipline.report.sounds import LARGEST_SOUND, player, ticks


def wav(samples: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(np.arange(samples, dtype="<i2").tobytes())
    return buffer.getvalue()


@pytest.fixture
def run(runs: Any) -> Path:
    """A run with two mistakes on sounds; the second one's sound is gone."""
    folder: Path = runs.make(mistakes=2)
    file = folder / "evaluation.json"
    values = json.loads(file.read_text())
    for number, mistake in enumerate(values["mistakes"]):
        Image.fromarray(np.full((16, 16), 40 * number, np.uint8)).save(folder / mistake["image"])
        mistake["file"] = f"seven/{number}.wav"
        mistake["sound"] = f"mistakes/{number:02d}.wav"
        mistake["spectrogram"] = {
            "start": 0.5,
            "end": 1.524,
            "ticks": [[60, 0.01], [70, 0.02], [1000, 0.4], [2500, 0.75]],
            "top_db": 80.0,
        }
    (folder / "mistakes" / "00.wav").write_bytes(wav(8_000))
    file.write_text(json.dumps(values))
    return folder


def test_the_sound_is_inside_the_page(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    (uri,) = re.findall(r'<audio [^>]*src="data:audio/wav;base64,([^"]+)"', page)
    assert base64.b64decode(uri) == (run / "mistakes" / "00.wav").read_bytes()
    assert "media-src data:" in page
    assert "controls" in page


def test_axes_are_labelled_and_decibels_are_explained(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    drawn = re.findall(r"<svg viewBox=\"0 0 216 216\".*?</svg>", page, re.DOTALL)
    assert len(drawn) == 2
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", drawn[0])
    assert texts == ["2.5", "1", "0.07", "0.6", "0.8", "1", "1.2", "1.4", "kHz", "s"]
    assert "Test sounds that the network got wrong" in page
    assert "black lies 80 dB or more below it" in page


def test_ticks_are_round_and_few() -> None:
    assert ticks(0.0, 1.024) == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert ticks(-0.064, 0.192) == [-0.05, 0.0, 0.05, 0.1, 0.15]
    assert ticks(599.0, 604.0) == [599.0, 600.0, 601.0, 602.0, 603.0]
    assert ticks(1.0, 1.0) == ticks(2.0, 1.0) == []


def test_what_is_no_short_wav_stays_out(run: Path, tmp_path: Path) -> None:
    (run / "long.wav").write_bytes(wav(LARGEST_SOUND))
    (run / "script.wav").write_bytes(b"<script>alert(1)</script>")
    (tmp_path / "secret.wav").write_bytes(wav(10))
    for name in ("long.wav", "script.wav", "absent.wav", "../secret.wav", str(tmp_path / "secret.wav")):
        assert player(run, name, "x") is None
    assert player(run, "mistakes/00.wav", "x") is not None


def test_impossible_axes_do_not_break_the_page(run: Path) -> None:
    file = run / "evaluation.json"
    values = json.loads(file.read_text())
    values["mistakes"][0]["spectrogram"]["end"] = -3.0
    file.write_text(json.dumps(values))
    assert "<svg" in write_report(run).read_text(encoding="utf-8")


def test_a_browser_shows_and_would_play_it(run: Path, opened: Any) -> None:
    with opened(write_report(run)) as page:
        page.wait_for(
            "document.querySelector('audio').readyState > 0 || document.querySelector('audio').error"
        )
        assert page.value("document.querySelector('audio').duration") == pytest.approx(1.0)
        assert page.complaints == []
        assert page.value("document.querySelector('svg.spectrogram').getBoundingClientRect().width") > 200
    with opened(write_report(run), size=(360, 800)) as page:
        assert page.width <= 360
