"""Fixtures that several rooms share; among them a browser for pages."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

# pytest's importlib mode leaves helpers beside tests unfindable.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and published weights; tests that need it skip where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SKIPLINE_SHARED", beside))
    if not (folder / "data" / "cifar10-jpeg.tar").is_file():
        pytest.skip(f"no shared data at {folder} (set SKIPLINE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SKIPLINE_HOME that the tests of one session share, so that the 60,000 photos are decoded once."""
    return tmp_path_factory.mktemp("skipline-home")


@pytest.fixture(scope="session")
def compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled kernels are kept: compiling takes seconds, so all tests of a session share them."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, compiled_kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "kernels").symlink_to(compiled_kernels)
    monkeypatch.setenv("SKIPLINE_HOME", str(home))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests compute on one thread: on a busy machine two that wait for each other are many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _same_randomness() -> None:
    """Every test begins from the same generator state."""
    torch.manual_seed(0)


FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Opened:
    """An opened report and all that the browser said about it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._refuse)

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)

    def wait_for(self, script: str) -> None:
        """Wait until a script gives true; the browser tool's own waiting is stopped by the page's policy."""
        for _ in range(200):
            if self.value(script):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"never came true: {script}")

    @property
    def width(self) -> int:
        """Pixels that the page takes; more than the window's means that it scrolls sideways."""
        return int(self.value("document.documentElement.scrollWidth"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser on this machine; looked for {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Callable[..., Any]:
    @contextmanager
    def open_report(
        file: Path, size: tuple[int, int] = (1280, 900), theme: str = "light"
    ) -> Iterator[Opened]:
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, color_scheme=theme, offline=True)
        report = Opened(context.new_page())
        report.page.goto(file.as_uri())
        report.page.wait_for_function(
            "[...document.querySelectorAll('.graph')].every(p => p.querySelector('svg'))"
        )
        yield report
        context.close()

    return open_report


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones of three classes, eight files each, of 0.1 to 2.5 seconds at 8 kHz."""
    soundfile = pytest.importorskip("soundfile", reason="the extra audio is not installed")
    folder = tmp_path_factory.mktemp("sound") / "tones"
    generator = np.random.default_rng(0)
    for name, frequency in (("high", 2_000), ("low", 300), ("mid", 900)):
        (folder / name).mkdir(parents=True)
        for number, seconds in enumerate((0.1, 0.3, 0.5, 0.7, 1.0, 1.2, 2.0, 2.5)):
            time = np.arange(round(seconds * 8_000)) / 8_000
            tone = 0.3 * np.sin(2 * np.pi * (frequency + generator.uniform(-50, 50)) * time)
            noise = 0.05 * generator.standard_normal(len(time))
            soundfile.write(folder / name / f"{number}.wav", tone + noise, 8_000)
    return folder
