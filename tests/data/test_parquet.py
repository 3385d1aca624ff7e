from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skipline.data import open_source
from skipline.errors import CorruptImageError, MissingExtraError, SourceError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["zebra", "ant", "bee"]  # not in the order of the alphabet, and bee is never used


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write(
    path: Path, images: list[Any], labels: list[Any], names: list[str] | None = None, **more: list[Any]
) -> Path:
    """A file as `datasets` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "image": pa.array([{"bytes": i, "path": None} for i in images], struct),
        "label": pa.array(labels),
    }
    table = pa.table({**columns, **{name: pa.array(values) for name, values in more.items()}})
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if names is not None:
        features["label"] = {"names": names, "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=4)
    return path


@pytest.fixture
def images(picture) -> list[bytes]:
    return [png(picture(seed, 24, 24)) for seed in range(20)]


def test_class_names_come_from_the_schema_in_the_order_of_the_labels(
    tmp_path: Path, images: list[bytes], picture
):
    dataset = open_source(write(tmp_path / "pets.parquet", images, [0, 1] * 10, NAMES))
    assert dataset.name == "pets"
    assert dataset.classes == ("zebra", "ant")
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    for pixels, label, file in zip(
        dataset.train.images, dataset.train.labels, dataset.train.files, strict=True
    ):
        row = int(file.removeprefix("pets.parquet#"))
        assert label == row % 2
        np.testing.assert_array_equal(pixels, np.asarray(picture(row, 24, 24)))


def test_folder_of_files_named_after_splits(tmp_path: Path, images: list[bytes]):
    folder = tmp_path / "pets"
    write(folder / "data" / "train-00000-of-00002.parquet", images[:8], [0, 1] * 4, NAMES)
    write(folder / "data" / "train-00001-of-00002.parquet", images[8:12], [0, 1] * 2, NAMES)
    write(folder / "data" / "test-00000-of-00001.parquet", images[12:16], [1, 1, 0, 0], NAMES)
    write(folder / "data" / "validation-00000-of-00001.parquet", images[16:], [0, 1, 0, 1], NAMES)
    dataset = open_source(folder)
    assert dataset.name == "pets"
    assert dataset.validation is not None
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 4, 4)
    assert dataset.test.labels.tolist() == [1, 1, 0, 0]
    assert dataset.train.files[8] == "data/train-00001-of-00002.parquet#0"


def test_other_columns_do_not_confuse(tmp_path: Path, images: list[bytes]):
    path = write(tmp_path / "x.parquet", images, [0, 1] * 10, NAMES, id=list(range(20)), caption=["a"] * 20)
    assert open_source(path).classes == ("zebra", "ant")


def test_labels_as_text_and_as_bare_numbers(tmp_path: Path, images: list[bytes]):
    assert open_source(write(tmp_path / "a.parquet", images, ["dog", "cat"] * 10)).classes == ("cat", "dog")
    assert open_source(write(tmp_path / "b.parquet", images, [2, 10] * 10)).classes == ("2", "10")


def test_plain_binary_column(tmp_path: Path, images: list[bytes]):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"img": images, "class": ["dog", "cat"] * 10}), path)
    assert open_source(path).train.shape == (3, 24, 24)


def test_rows_without_label_or_image_are_left_out(tmp_path: Path, images: list[bytes]):
    contents = [*images[:18], b"broken", None]
    dataset = open_source(write(tmp_path / "x.parquet", contents, [-1, None, *([0, 1] * 9)], NAMES))
    assert len(dataset.train) + len(dataset.test) == 16
    assert {problem.file: problem.reason for problem in dataset.problems} == {
        "x.parquet": "2 rows without a label",
        "x.parquet#18": "not an image, although it is named like one",
        "x.parquet#19": "cannot be read: the table holds no bytes for it",
    }


def test_strict_names_the_row(tmp_path: Path, images: list[bytes]):
    path = write(tmp_path / "x.parquet", [*images, b"broken"], [0, 1] * 10 + [0], NAMES)
    with pytest.raises(CorruptImageError, match=r"^x\.parquet#20: not an image"):
        open_source(path, strict=True)


def test_second_open_comes_from_the_cache(
    tmp_path: Path, images: list[bytes], monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "x.parquet", images, [0, 1] * 10, NAMES)
    first = open_source(path)
    monkeypatch.setattr("skipline.data.caching.decode_all", None)
    assert open_source(path).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"a": [1], "b": [2]},
            "has no single image column (a struct with bytes) called as expected; it has a: int64, b: int64",
        ),
        (
            {"image": [b"x"], "a": [1], "b": [2]},
            "has no single label column (integers or strings) called as expected; it has image: binary, a: int64, "
            "b: int64",
        ),
    ],
)
def test_missing_columns(columns: dict[str, list[Any]], message: str, tmp_path: Path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert str(caught.value) == f"'{path}' {message}"


def test_a_label_beyond_the_class_names(tmp_path: Path, images: list[bytes]):
    with pytest.raises(SourceError, match=r"^'x\.parquet' has the label 7, but only 3 class names$"):
        open_source(write(tmp_path / "x.parquet", images[:2], [0, 7], NAMES))


def test_mixed_named_and_unnamed_splits(tmp_path: Path, images: list[bytes]):
    write(tmp_path / "pets" / "train.parquet", images[:8], [0, 1] * 4, NAMES)
    write(tmp_path / "pets" / "rest.parquet", images[:8], [0, 1] * 4, NAMES)
    with pytest.raises(SourceError, match=r"has files of named splits beside 'rest\.parquet'"):
        open_source(tmp_path / "pets")


@pytest.mark.parametrize("keep", [0, 10, -100])
def test_a_file_that_is_no_parquet(keep: int, tmp_path: Path, images: list[bytes]):
    path = write(tmp_path / "x.parquet", images, [0, 1] * 10, NAMES)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"^'.*x\.parquet' cannot be read as parquet: "):
        open_source(path)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.parquet"
    path.touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        open_source(path)
    assert str(caught.value) == (
        f"reading '{path}' needs pyarrow, which is not installed: pip install 'skipline[parquet]'"
    )
