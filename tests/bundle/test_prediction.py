from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_examples import CLASSES, PLAIN, PREPROCESSING, TopLeftPixel, image_set, random_images
from PIL import Image

from skipline.bundle import Bundle, logits_of, prediction
from skipline.data import Preprocessing, decode_image
from skipline.errors import InputError, SourceError
from skipline.metrics import softmax

Files = Callable[..., list[Path]]


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Five photos of different sizes and formats."""
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    files = [
        folder / "a.png",
        folder / "b.jpg",
        folder / "deeper" / "ü c.webp",
        folder / "e.bmp",
        folder / "z.png",
    ]
    for number, file in enumerate(files):
        Image.fromarray(random_images(1, side=40, seed=number)[0][: 30 + number]).save(file)
    return files


def expected(bundle: Bundle, files: list[Path]) -> np.ndarray:
    """Probabilities by the long way: decode as training does, then run the network on all at once."""
    pre = bundle.preprocessing
    stored = [decode_image(f, name=f.name, channels=pre.channels, stored=pre.stored) for f in files]
    return softmax(logits_of(bundle.network, image_set(np.stack(stored)), pre))


def test_files_are_answered_in_order_as_training_would_see_them(bundle: Bundle, photos: list[Path]) -> None:
    answers = bundle.predict(photos, top=2, batch_size=2)
    probabilities = expected(bundle, photos)
    assert [a.file for a in answers] == [str(f) for f in photos]
    assert [a.index for a in answers] == [0, 1, 2, 3, 4]
    for answer, row in zip(answers, probabilities, strict=True):
        best = np.argsort(-row)
        assert answer.class_name == CLASSES[best[0]]
        assert answer.probability == pytest.approx(row[best[0]], abs=1e-5)
        assert [name for name, _ in answer.top] == [CLASSES[k] for k in best[:2]]
        assert [share for _, share in answer.top] == pytest.approx(row[best[:2]], abs=1e-5)
        assert answer.error is None


def test_a_loaded_bundle_needs_no_preprocessing_set_by_hand(bundle: Bundle, photos: list[Path]) -> None:
    """super-gradients#1899: a loaded checkpoint cannot predict until preprocessing is set by hand."""
    darker = replace(bundle, preprocessing=replace(PREPROCESSING, mean=(0.0, 0.0, 0.0)))
    right, wrong = bundle.predict(photos[0])[0], darker.predict(photos[0])[0]
    assert right.probability == pytest.approx(expected(bundle, photos[:1]).max(), abs=1e-5)
    assert right.top != wrong.top  # it is the bundle's own preprocessing that counts


def test_a_folder_stands_for_its_images_sorted_by_name(bundle: Bundle, photos: list[Path]) -> None:
    folder = photos[0].parent
    (folder / "notes.txt").write_text("not an image")
    by_folder = bundle.predict(folder)
    assert [a.index for a in by_folder] == [0, 1, 2, 3, 4]
    assert sorted(a.file for a in by_folder if a.file) == sorted(map(str, photos))
    assert [a.file for a in by_folder] == [a.file for a in bundle.predict(str(folder))]


def test_the_many_forms_of_one_image_get_one_answer(bundle: Bundle, photos: list[Path]) -> None:
    file = photos[0]
    opened = Image.open(file)
    array = np.asarray(opened)
    stored = decode_image(file, name="a", channels=3, stored=20)
    top = bundle.predict(file)[0].top
    for form in (str(file), file.read_bytes(), opened, array, array[None], [array], stored):
        (answer,) = bundle.predict(form)
        assert [name for name, _ in answer.top] == [name for name, _ in top]
        assert [share for _, share in answer.top] == pytest.approx([share for _, share in top], abs=1e-6)
    mixed = bundle.predict([file, array, opened, np.stack([array, array])])
    assert [a.index for a in mixed] == [0, 1, 2, 3, 4]
    assert [a.file for a in mixed] == [str(file), None, None, None, None]
    assert len({a.class_name for a in mixed}) == 1


def test_a_batch_array_is_answered_one_by_one(bundle: Bundle) -> None:
    images = random_images(7)
    answers = bundle.predict(images, batch_size=3)
    probabilities = softmax(logits_of(bundle.network, image_set(images), PREPROCESSING))
    assert [a.class_name for a in answers] == [CLASSES[k] for k in probabilities.argmax(1)]
    assert [a.probability for a in answers] == pytest.approx(probabilities.max(1), abs=1e-5)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_pil_images_of_every_mode_are_understood(bundle: Bundle, mode: str) -> None:
    (answer,) = bundle.predict(Image.new(mode, (30, 24)))
    assert answer.error is None
    assert answer.class_name in CLASSES


def test_an_image_that_lies_on_its_side_is_put_upright(photos: list[Path]) -> None:
    bundle = Bundle("top-left-pixel", TopLeftPixel(), CLASSES, PLAIN)
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[3, 0] = (0, 0, 255)  # stored bottom left, shown top left once turned by orientation 6
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(buffer, "png", exif=exif)
    assert bundle.predict(buffer.getvalue())[0].class_name == "owl"
    assert bundle.predict(Image.open(buffer))[0].class_name == "owl"


def test_grey_arrays_and_grey_networks_meet() -> None:
    grey = Bundle("g", Summing(), ("dark", "light"), Preprocessing(1, 4, 4, (0.0,), (1.0,)))
    assert grey.predict(np.full((4, 4), 255, np.uint8))[0].class_name == "light"
    assert grey.predict(np.full((9, 6, 3), 255, np.uint8))[0].class_name == "light"
    assert grey.predict(np.zeros((4, 4, 1), np.uint8))[0].class_name == "dark"
    coloured = Bundle("c", TopLeftPixel(), CLASSES, PLAIN)
    (answer,) = coloured.predict(np.full((4, 4), 7, np.uint8))
    assert [share for _, share in answer.top] == pytest.approx(
        [1 / 3] * 3
    )  # grey is the same in every channel


class Summing(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1)


def test_bad_files_are_named_with_a_reason_and_the_rest_go_on(bundle: Bundle, photos: list[Path]) -> None:
    """vision#864: one corrupt image stops everything and the error does not name the file."""
    folder = photos[0].parent
    (folder / "cut.png").write_bytes(photos[0].read_bytes()[:200])
    (folder / "fake.jpg").write_text("<html>not found</html>")
    files = [folder / "cut.png", photos[0], folder / "gone.png", folder / "fake.jpg", photos[4]]
    answers = bundle.predict(files, batch_size=2)
    assert [a.error is None for a in answers] == [False, True, False, False, True]
    assert [a.file for a in answers] == list(map(str, files))
    assert answers[2].error == "cannot be read: no such file or directory"
    assert "web page" in (answers[3].error or "")
    assert answers[0].to_json() == {"file": str(files[0]), "error": answers[0].error}
    assert answers[0].class_name is None
    alone = bundle.predict(photos[4])[0]
    assert answers[4].top == tuple((n, pytest.approx(p, abs=1e-5)) for n, p in alone.top)


def test_a_pil_image_that_breaks_on_loading_gets_an_error(bundle: Bundle, photos: list[Path]) -> None:
    cut = io.BytesIO(photos[0].read_bytes()[:1000])
    answers = bundle.predict([Image.open(cut), photos[1]])
    assert answers[0].error
    assert answers[1].error is None


def test_all_files_bad(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"nothing")
    (answer,) = bundle.predict(tmp_path / "x.png")
    assert answer.error


def test_json_has_the_contracts_names(bundle: Bundle, photos: list[Path]) -> None:
    (answer,) = bundle.predict(photos[0], top=2)
    values = answer.to_json()
    assert list(values) == ["file", "class", "probability", "top"]
    assert values["top"][0] == {"class": values["class"], "probability": values["probability"]}
    assert len(values["top"]) == 2


def test_top_is_at_most_the_number_of_classes_and_at_least_one(bundle: Bundle, photos: list[Path]) -> None:
    assert len(bundle.predict(photos[0], top=50)[0].top) == 3
    assert sum(share for _, share in bundle.predict(photos[0], top=50)[0].top) == pytest.approx(1)
    with pytest.raises(InputError, match="expected top and batch_size of at least 1, arrived 0 and 64"):
        bundle.predict(photos[0], top=0)


def test_a_network_whose_output_is_not_finite_does_not_invent_an_answer(
    bundle: Bundle, photos: list[Path]
) -> None:
    torch.nn.init.constant_(bundle.network.fc.bias, float("nan"))
    (answer,) = bundle.predict(photos[0])
    assert answer.error == "the network's output is not finite: its weights are damaged"
    assert answer.probability is None


def test_memory_is_bounded_and_the_network_does_not_wait_for_the_last_file(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, seen, lock = 0, 0, threading.Lock()
    waiting: list[int] = []

    class Counting(TopLeftPixel):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            nonlocal seen
            with lock:
                waiting.append(decoded - seen)
            seen += len(images)
            return super().forward(images)

    def counted(*args: object, **kwargs: object) -> np.ndarray:
        nonlocal decoded
        with lock:
            decoded += 1
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(prediction, "decode_image", counted)
    answers = Bundle("c", Counting(), CLASSES, PLAIN).predict([photos[0]] * 500, batch_size=10)
    assert len(answers) == 500
    assert max(waiting) <= 3 * 10 + 1  # a batch, and two more decoded ahead
    assert len(waiting) == 2 + 50  # on the first batch the network is timed, and tried for folding


def test_threads_end_when_something_fails(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(TopLeftPixel):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Bundle("f", Failing(), CLASSES, PLAIN).predict(photos * 20, batch_size=2)
    assert not [t for t in threading.enumerate() if t.name.startswith("skipline-decode")]


def test_progress_counts_images_and_ends(bundle: Bundle, photos: list[Path]) -> None:
    calls: list[tuple[str, int, int]] = []
    bundle.predict(photos, batch_size=2, progress=lambda *c: calls.append(c))
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert calls[-1] == ("predicting", 5, 5)


def test_nothing_to_do_is_an_empty_answer(bundle: Bundle) -> None:
    assert bundle.predict([]) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "expected an array of uint8 on 0-255, arrived float32"),
        (np.zeros((5, 16, 16), np.uint8), r"or \(N, H, W, C\), arrived \(5, 16, 16\): add or move the axes"),
        (np.zeros((16, 16, 5), np.uint8), r"arrived \(16, 16, 5\)"),
        ([3], "cannot read an image from int: expected a file, a folder, bytes"),
        (np.zeros((1, 9, 9, 5), np.uint8), r"image 0: expected an array \(H, W, C\) = \(20, 20, 3\)"),
    ],
)
def test_what_is_no_image_is_refused(bundle: Bundle, given: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bundle.predict(given)  # type: ignore[arg-type]


def test_a_folder_without_images(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no images in the folder '.*empty'"):
        bundle.predict(tmp_path / "empty")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_file_name_that_is_no_unicode(bundle: Bundle, photos: list[Path]) -> None:
    odd = photos[0].with_name(os.fsdecode(b"caf\xe9.png"))
    odd.write_bytes(photos[0].read_bytes())
    (answer,) = bundle.predict(odd)
    assert answer.error is None
    assert answer.file == str(odd)
