"""How much memory is said to be left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skipline.machine import memory


def test_what_linux_says_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       8000 kB\nMemFree:  10 kB\nMemAvailable:   3000 kB\n")
    monkeypatch.setattr(memory, "Path", lambda name: tmp_path / Path(name).name)
    assert memory.available_bytes() == 3000 * 1024


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="this system does not say how much memory it has")
def test_elsewhere_it_is_all_that_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "Path", lambda name: Path("/nowhere"))
    assert memory.available_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_system_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "Path", lambda name: Path("/nowhere"))
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert memory.available_bytes() is None
