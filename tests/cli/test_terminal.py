"""Whatever files and classes are called, the terminal shows text and nothing else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from skipline.cli.console import SafeConsole, emit_json
from skipline.cli.names import harmless, harmless_json, one_line

STEERING = "\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\r\b\u202e\u2066\udcff"


def rendered(*objects: Any, **options: Any) -> str:
    file = io.StringIO()
    plain = {"highlight": False, "markup": False, "emoji": False}
    console = SafeConsole(file=file, width=200, force_terminal=True, color_system="truecolor", **plain)
    console.print(*objects, **options)
    return file.getvalue()


def test_steering_characters_are_shown_as_escapes() -> None:
    assert harmless(f"a{STEERING}b") == r"a\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\r\x08\u202e\u2066\udcffb"
    text = rendered(f"a{STEERING}b")
    assert not any(c in text for c in STEERING if not c.isprintable())


def test_ordinary_text_of_any_language_stays() -> None:
    text = "größe 猫 👨‍👩‍👧 naïve ± 95 % [bold]\tx\n"
    assert harmless(text) == text
    assert rendered(text.strip("\n")).split() == text.split()


def test_a_table_does_not_let_anything_through_but_its_own_colours() -> None:
    table = Table(box=None)
    table.add_column("class")
    table.add_row(Text(f"cat{STEERING}"))
    table.add_row(Text("dog", style="red"))
    text = rendered(table)
    assert "\x1b[31mdog" in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text


def test_square_brackets_are_no_markup() -> None:
    assert rendered("[red]cat[/red] [/] :smile:").strip() == "[red]cat[/red] [/] :smile:"


def test_a_name_cannot_pass_for_a_line_of_ours() -> None:
    assert one_line("cat\nskipline: done\r\nx\x1b[A") == r"cat skipline: done x\x1b[A"


def test_json_keeps_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": f"猫{STEERING}"}
    emit_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert not any(c in printed for c in STEERING if not c.isprintable())
    assert json.loads(harmless_json(json.dumps(value, ensure_ascii=False))) == value


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")
def test_the_command_line_survives_hostile_names(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat\x1b[2J", "dog\n[red]"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (number * 50, 0, 0)).save(
                tmp_path / "photos" / name / f"[{number}]\x1b.png"
            )
    (tmp_path / "photos" / "dog\n[red]" / "\x1b]0;owned\x07.png").write_bytes(b"no image")
    command = [sys.executable, "-m", "skipline", "data", "check", "photos"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\x07" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
