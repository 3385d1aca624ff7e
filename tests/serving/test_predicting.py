"""Answers over HTTP are those of `Bundle.predict`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from skipline.bundle import Bundle

Photo = Callable[..., bytes]


def expected(bundle: Bundle, contents: list[bytes], names: list[str | None], top: int = 5) -> list[Any]:
    """What the bundle itself says, as JSON, with probabilities to 5 digits."""
    predictions = bundle.predict(contents, top=top)
    values = [replace(p, file=name).to_json() for p, name in zip(predictions, names, strict=True)]
    return [approximate(value) for value in values]


def approximate(value: dict[str, Any]) -> dict[str, Any]:
    if "error" in value:
        return value
    top = [{**entry, "probability": pytest.approx(entry["probability"], abs=1e-5)} for entry in value["top"]]
    return {**value, "probability": pytest.approx(value["probability"], abs=1e-5), "top": top}


def test_files_of_a_form_are_answered_in_order(bundle: Bundle, served: Any, photo: Photo) -> None:
    contents = [photo(0), photo(1, kind="JPEG"), photo(2, kind="WEBP")]
    names = ["a.png", "b.jpg", "ü c.webp"]
    files = [("file", (name, content)) for name, content in zip(names, contents, strict=True)]
    response = served(bundle).ask("POST", "/predict", files=files)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"predictions": expected(bundle, contents, names)}


def test_the_name_of_the_form_field_does_not_matter_and_other_fields_do_not_disturb(
    bundle: Bundle, served: Any, photo: Photo
) -> None:
    files = [("upload[]", ("a.png", photo(0))), ("image", ("b.png", photo(1)))]
    response = served(bundle).ask("POST", "/predict", files=files, data={"comment": "two of them"})
    assert [p["file"] for p in response.json()["predictions"]] == ["a.png", "b.png"]


def test_json_with_base64_is_answered_like_a_form(
    bundle: Bundle, served: Any, photo: Photo, encoded: Callable[[bytes], str]
) -> None:
    one, two, three = photo(0), photo(1), photo(2)
    broken_lines = "\n".join(encoded(two)[i : i + 76] for i in range(0, len(encoded(two)), 76))
    images = [
        encoded(one),
        {"name": "b.png", "data": broken_lines},
        {"name": "c.png", "data": f"data:image/png;base64,{encoded(three)}"},
    ]
    response = served(bundle).ask("POST", "/predict", json={"images": images})
    assert response.json() == {"predictions": expected(bundle, [one, two, three], [None, "b.png", "c.png"])}


def test_top_chooses_how_many_classes_are_named(bundle: Bundle, served: Any, photo: Photo) -> None:
    files = {"file": ("a.png", photo(0))}
    one, all_of_them = served(bundle).ask_all(
        [("POST", "/predict?top=1", {"files": files}), ("POST", "/predict?top=999", {"files": files})]
    )
    assert one.json() == {"predictions": expected(bundle, [photo(0)], ["a.png"], top=1)}
    assert len(all_of_them.json()["predictions"][0]["top"]) == 3


def test_unreadable_images_are_named_and_the_others_answered(
    bundle: Bundle, served: Any, photo: Photo
) -> None:
    contents = [photo(0), photo(1)[:200], b"<html>no photo</html>", photo(3)]
    names = ["a.png", "cut.png", "page.jpg", "d.png"]
    files = [("file", (name, content)) for name, content in zip(names, contents, strict=True)]
    response = served(bundle).ask("POST", "/predict", files=files)
    assert response.status_code == 200
    assert response.json() == {"predictions": expected(bundle, contents, names)}
    assert response.json()["predictions"][2] == {
        "file": "page.jpg",
        "error": "not an image but a web page saved under this name",
    }


def test_names_that_are_no_text_are_escaped(bundle: Bundle, served: Any, photo: Photo) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="caf\xe9 \xed\xa0\x80 \x1b[31m.png"\r\n\r\n'
    body = head + photo(0) + b"\r\n--x--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    response = served(bundle).ask("POST", "/predict", content=body, headers=form)
    assert response.json()["predictions"][0]["file"] == "caf\\xe9 \\xed\\xa0\\x80 \x1b[31m.png"
    response.content.decode("utf-8")


def test_lone_surrogates_in_class_names_do_not_spoil_the_answer(
    bundle: Bundle, served: Any, photo: Photo
) -> None:
    odd = replace(bundle, classes=("caf\udce9", "hibou \ud800", "\U0001f989"))
    server = served(odd)
    answers = server.ask_all(
        [
            ("POST", "/predict", {"files": {"file": ("a.png", photo(0))}}),
            ("GET", "/v2/models/resnet20", {}),
            ("POST", "/explain", {"files": {"file": ("a.png", photo(0))}}),
        ]
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    names = {entry["class"] for entry in answers[0].json()["predictions"][0]["top"]}
    assert names == {"caf\\udce9", "hibou \\ud800", "\U0001f989"}
    assert set(answers[1].json()["classes"]) == names


def test_a_grey_network_takes_colour_photos_as_prediction_does(served: Any, photo: Photo) -> None:
    from skipline.data import Preprocessing
    from skipline.models import create

    network = create("resnet20", classes=2, channels=1, seed=3).eval()
    grey = Bundle("resnet20", network, ("dark", "light"), Preprocessing(1, 16, 16, (0.5,), (0.5,)))
    response = served(grey).ask("POST", "/predict", files={"file": ("a.png", photo(0))})
    assert response.json() == {"predictions": expected(grey, [photo(0)], ["a.png"])}


def test_an_explanation_holds_the_prediction_and_two_pictures(
    bundle: Bundle, served: Any, photo: Photo
) -> None:
    response = served(bundle).ask("POST", "/explain?top=2", files={"file": ("a.png", photo(0))})
    values = response.json()
    assert list(values) == [
        *("model", "file", "class", "probability", "top", "method", "heat_map", "view", "seen"),
    ]
    prediction = {key: values[key] for key in ("file", "class", "probability", "top")}
    assert [prediction] == expected(bundle, [photo(0)], ["a.png"], top=2)
    assert values["model"] == "resnet20"
    assert values["method"] == "Grad-CAM"
    assert values["seen"] == 16 / 20
    assert values["heat_map"].startswith("data:image/png;base64,iVBOR")
