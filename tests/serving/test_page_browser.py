"""The page in a real browser, against a real server: a photo goes in, classes and a heat map come out."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipline.bundle import load_bundle, save_bundle
from skipline.data import decode_image
from skipline.serving import heat_map

sys.path.insert(
    0, str(Path(__file__).parent)
)  # pytest's importlib mode leaves helpers beside tests unfindable

from servers import Running, running

HOSTILE = "<img src=x onerror='window.hacked=1'>"
DESKTOP, PHONE = (1280, 900), (390, 844)
TOKEN = "s3cret-0123456789abcdef"


@pytest.fixture(scope="module")
def folder(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, with a class whose name is code."""
    bundle = load_bundle(bundle_folder)
    folder = tmp_path_factory.mktemp("page") / "bundle"
    save_bundle(folder, bundle.network, ("cat", HOSTILE, "owl"), bundle.preprocessing, {}, {})
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    """A server that asks for a token, on which all tests here share one process."""
    with running(folder, "--precision", "fp32", environment={"SKIPLINE_TOKEN": TOKEN}) as started:
        yield started


class Page:
    """The opened page, and all that the browser asked for and said.

    Args:
        page: playwright's.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def wait_for(self, script: str) -> None:
        """Wait until a script gives true; the browser tool's own waiting is stopped by the page's policy."""
        for _ in range(400):
            if self.page.evaluate(script):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"never came true: {script}; {self.complaints}")

    def text(self, element: str) -> str:
        return str(self.page.inner_text(f"#{element}"))

    def choose(self, name: str, content: bytes) -> None:
        """Choose a file as with the dialog."""
        self.page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})

    def show_token(self, token: str) -> None:
        self.wait_for("!document.getElementById('ask-token').hidden")
        self.page.fill("#token", token)
        self.page.click("#ask-token button")

    def answered(self) -> None:
        self.wait_for(
            "!document.getElementById('answer').hidden && document.getElementById('photo').complete"
        )


@pytest.fixture
def opened(browser: Any, server: Running) -> Iterator[Callable[..., Page]]:
    contexts = []

    def open_page(size: tuple[int, int] = DESKTOP, theme: str = "light") -> Page:
        contexts.append(
            browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
        )
        page = Page(contexts[-1].new_page())
        page.page.goto(server.address + "/")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop, light", "phone, dark"]
)
def test_a_photo_gets_its_classes_and_its_heat_map(
    opened: Callable[..., Page],
    server: Running,
    folder: Path,
    photo: Callable[..., bytes],
    size: tuple[int, int],
    theme: str,
) -> None:
    bundle, content = load_bundle(folder), photo(5, width=200, height=120)
    page = opened(size, theme)
    assert page.page.title() == "skipline"
    page.choose("a.png", content)
    page.show_token(TOKEN)
    page.answered()

    (expected,) = bundle.predict(content)
    assert page.text("class") == expected.class_name
    assert page.text("probability") == f"{100 * (expected.probability or 0):.1f} %"
    shown = page.page.eval_on_selector_all("#classes li", "items => items.map(i => i.innerText.split('\\n'))")
    assert [row[:2] for row in shown] == [[name, f"{100 * share:.1f} %"] for name, share in expected.top]
    assert page.page.evaluate("window.hacked") is None
    assert page.text("model").lower() == "resnet20"

    pixels = page.page.evaluate(
        "(() => { const c = document.getElementById('heat');"
        " return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; })()"
    )
    drawn = np.array(pixels).reshape(16, 16, 4)
    stored = decode_image(content, name="a", channels=3, stored=20)
    heat = heat_map(bundle, stored)
    assert np.abs(drawn[..., 0] - 255 * heat).max() <= 1
    hottest = np.unravel_index(heat.argmax(), heat.shape)
    assert drawn[hottest].tolist() == [255, 233, 69, 255]
    covers = page.page.evaluate(
        "(() => { const [a, b] = ['frame', 'heat'].map(id => document.getElementById(id).getBoundingClientRect());"
        " return [a.width - b.width, a.height - b.height, a.width, a.width - a.height]; })()"
    )
    assert covers[:2] == [0, 0]
    assert covers[2] > 200
    assert abs(covers[3]) < 1
    assert page.page.evaluate("document.getElementById('photo').naturalWidth") == 200
    assert page.page.evaluate("document.getElementById('photo').style.transform") == "scale(1.25)"

    assert page.page.evaluate("document.documentElement.scrollWidth") == size[0]
    allowed = ("data:", "blob:", server.address)
    assert [url for url in page.requests if not url.startswith(allowed)] == []
    # The browser itself mentions the answer 401, after which the page asked for the token.
    assert [text for text in page.complaints if "401" not in text and not text.startswith("verbose")] == []


def test_photos_can_be_dropped_anywhere_on_the_page(
    opened: Callable[..., Page], photo: Callable[..., bytes]
) -> None:
    page = opened()
    page.page.evaluate(
        """content => {
          const file = new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], "dropped.png");
          const transfer = new DataTransfer();
          transfer.items.add(file);
          document.querySelector("h1").dispatchEvent(
            new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        base64.b64encode(photo(1)).decode(),
    )
    page.show_token(TOKEN)
    page.answered()
    assert page.page.get_attribute("#photo", "alt") == "dropped.png"
    assert page.page.eval_on_selector_all("#classes li", "items => items.length") == 3


def test_a_wrong_token_is_told_and_a_second_photo_needs_no_token(
    opened: Callable[..., Page], photo: Callable[..., bytes]
) -> None:
    page = opened()
    page.choose("a.png", photo(1))
    page.show_token("wrong-0123456789abcdef")
    page.wait_for("document.getElementById('error').textContent !== ''")
    assert page.text("error") == "The token is wrong."
    page.show_token(TOKEN)
    page.answered()
    assert page.page.evaluate("document.getElementById('ask-token').hidden")
    page.choose("b.png", photo(2))
    page.wait_for("document.getElementById('photo').alt === 'b.png'")
    assert page.page.evaluate("document.getElementById('ask-token').hidden")


def test_a_file_that_is_no_photo_gets_the_servers_reason(
    opened: Callable[..., Page], photo: Callable[..., bytes]
) -> None:
    page = opened()
    page.choose("a.png", b"<html>not found</html>")
    page.show_token(TOKEN)
    page.wait_for("document.getElementById('error').textContent !== ''")
    assert page.text("error").splitlines() == [
        "a.png: not an image but a web page saved under this name",
        "Expected: whole images, such as JPEG, PNG or WebP files",
    ]
    assert page.page.evaluate("document.getElementById('answer').hidden")
    page.choose("b.png", photo(1))
    page.answered()
    assert page.page.evaluate("document.getElementById('error').hidden")


def test_a_format_that_the_browser_does_not_know_is_shown_as_the_network_saw_it(
    opened: Callable[..., Page], photo: Callable[..., bytes]
) -> None:
    page = opened()
    page.choose("a.tif", photo(3, kind="TIFF"))
    page.show_token(TOKEN)
    page.answered()
    page.wait_for("document.getElementById('photo').naturalWidth === 16")
    assert page.page.evaluate("document.getElementById('photo').style.transform") == ""


def test_the_heat_map_can_be_faded_by_keyboard(
    opened: Callable[..., Page], photo: Callable[..., bytes]
) -> None:
    page = opened()
    page.choose("a.png", photo(1))
    page.show_token(TOKEN)
    page.answered()
    opacity = "getComputedStyle(document.getElementById('heat')).opacity"
    assert page.page.evaluate(opacity) == "0.5"
    page.page.focus("#strength")
    page.page.keyboard.press("Home")
    assert page.page.evaluate(opacity) == "0"
