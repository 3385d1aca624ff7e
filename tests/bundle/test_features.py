"""Embeddings: the input of the classifier, in memory and in files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_examples import PLAIN, PREPROCESSING, TopLeftPixel, random_images
from PIL import Image

from skipline.bundle import Bundle, FeatureBatch, check_feature_file, feature_batches, write_features
from skipline.data import silent
from skipline.errors import InputError, StorageError
from skipline.models import create


def bundle_of(name: str, side: int = 32) -> Bundle:
    preprocessing = PREPROCESSING.__class__(3, side, side, (0.5,) * 3, (0.25,) * 3)
    return Bundle(name, create(name, classes=3, seed=1).eval(), ("cat", "dog", "owl"), preprocessing)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos, one of them broken, in the order of their names."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, pixels in enumerate(random_images(4)):
        Image.fromarray(pixels).save(folder / f"{'abde'[index]}.png")
    (folder / "c.png").write_bytes(b"no image")
    return folder


def batches(bundle: Bundle, images: object, size: int = 2) -> Iterator[FeatureBatch]:
    return feature_batches(bundle.network, bundle.preprocessing, images, size, silent)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["resnet20", "preact-resnet20", "quick-resnet8"])
def test_the_last_layer_of_the_features_gives_the_logits(name: str) -> None:
    bundle = bundle_of(name)
    images = random_images(5, side=32)
    features = bundle.features(images, batch_size=2)
    with torch.no_grad():
        expected = bundle.network(bundle.preprocessing(images))
        scale = 1 / 9 if name == "quick-resnet8" else 1
        got = bundle.network.fc(torch.from_numpy(features.vectors)) * scale
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert features.vectors.shape == (5, bundle.network.fc.in_features)
    assert features.indices.tolist() == [0, 1, 2, 3, 4]
    assert features.files == (None,) * 5
    assert features.unreadable == ()


def test_a_classifier_that_is_a_convolution_has_one_vector_an_image() -> None:
    bundle = bundle_of("lecture-vgg-bn")
    images = random_images(2, side=32)
    features = bundle.features(images)
    weight = bundle.network.classifier[0].weight.detach()[:, :, 0, 0].numpy()
    bias = bundle.network.classifier[0].bias.detach().numpy()
    with torch.no_grad():
        expected = bundle.network(bundle.preprocessing(images)).numpy()
    assert features.vectors @ weight.T + bias == pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_read_is_named_and_the_rest_keeps_its_order(bundle: Bundle, photos: Path) -> None:
    features = bundle.features(photos, batch_size=2)
    assert [Path(str(file)).name for file in features.files] == ["a.png", "b.png", "d.png", "e.png"]
    assert features.indices.tolist() == [0, 1, 3, 4]
    (broken,) = features.unreadable
    assert Path(str(broken.file)).name == "c.png"
    assert broken.error == "not an image, although it is named like one"
    alone = bundle.features(photos / "d.png")
    assert alone.vectors[0] == pytest.approx(features.vectors[2], abs=1e-5)


def test_the_predictions_of_the_same_pass_are_those_of_predict(bundle: Bundle, photos: Path) -> None:
    answers = [a for batch in batches(bundle, photos) for a in batch.predictions(bundle.classes, 2)]
    expected = bundle.predict(photos, top=2)
    assert [(a.index, a.file, a.class_name, a.error) for a in answers] == [
        (e.index, e.file, e.class_name, e.error) for e in expected
    ]


def test_the_network_is_left_as_it_was(bundle: Bundle) -> None:
    bundle.network.train()
    bundle.features(random_images(70))
    assert bundle.network.training
    assert not bundle.network.fc._forward_pre_hooks


def test_features_that_are_not_finite_are_no_rows(bundle: Bundle) -> None:
    with torch.no_grad():
        bundle.network.bn1.bias[0] = float("nan")
    features = bundle.features(random_images(2))
    assert len(features.vectors) == 0
    assert [answer.error for answer in features.unreadable] == [
        "the network's features are not finite: its weights are damaged"
    ] * 2


def test_a_matrix_and_its_names(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "f.npy"
    written = write_features(file, batches(bundle, photos))
    assert (written.rows, written.dimensions, written.names) == (4, 64, tmp_path / "f.npy.json")
    matrix = np.load(file, mmap_mode="r")
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, bundle.features(photos, batch_size=2).vectors)
    names = json.loads(written.names.read_text())
    assert names == {
        "features": "f.npy",
        "shape": [4, 64],
        "files": [str(photos / f"{letter}.png") for letter in "abde"],
        "unreadable": [
            {"file": str(photos / "c.png"), "error": "not an image, although it is named like one"}
        ],
    }


def test_a_table(bundle: Bundle, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("skipline.bundle.feature_files.GROUP_BYTES", 600)  # 64 numbers are 256 bytes
    written = write_features(tmp_path / "f.parquet", batches(bundle, photos, size=1))
    assert (written.rows, written.names) == (4, tmp_path / "f.parquet")
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["file", "feature"]
    assert table["file"].to_pylist() == [str(photos / f"{letter}.png") for letter in "abde"]
    vectors = bundle.features(photos, batch_size=1).vectors
    assert np.array_equal(np.array(table["feature"].to_pylist(), np.float32), vectors)
    assert parquet.ParquetFile(tmp_path / "f.parquet").num_row_groups == 2


def test_nothing_is_written_where_nothing_could_be_read(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "f.npy").write_bytes(b"precious")
    assert write_features(tmp_path / "f.npy", batches(bundle, tmp_path / "x.png")).rows == 0
    assert (tmp_path / "f.npy").read_bytes() == b"precious"


def test_a_failure_on_the_way_leaves_the_earlier_file(bundle: Bundle, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "f.npy").write_bytes(b"precious")

    def failing() -> Iterator[FeatureBatch]:
        yield next(batches(bundle, photos))
        raise OSError("no space left on device")

    with pytest.raises(StorageError, match=r"no space left on device; the earlier f\.npy is intact"):
        write_features(tmp_path / "f.npy", failing())
    assert (tmp_path / "f.npy").read_bytes() == b"precious"
    assert [path.name for path in tmp_path.glob("*f.npy*")] == ["f.npy"]


def test_no_more_than_a_few_batches_wait(bundle: Bundle, photos: Path) -> None:
    """Memory does not grow with the number of files: those far ahead are not read yet."""
    reader = batches(bundle, [*([photos / "a.png"] * 40), photos / "late.png"], size=2)
    next(reader)
    Image.fromarray(random_images(1)[0]).save(photos / "late.png")
    assert all(not batch.unreadable for batch in reader)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f.npz", r"expected a file \.npy or \.parquet .* arrived 'f\.npz' \(an \.npz is one archive, .*\)$"),
        ("f.csv", r"expected a file \.npy or \.parquet for the features, arrived 'f\.csv'$"),
        ("nowhere/f.npy", r"there is no folder '.*nowhere' for the features: create it, or choose another$"),
    ],
)
def test_a_file_that_could_not_be_written_is_refused_at_once(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_feature_file(tmp_path / name)


def test_a_network_that_names_no_classifier_is_refused() -> None:
    unnamed = Bundle("x", TopLeftPixel(), ("a", "b", "c"), PLAIN)
    with pytest.raises(InputError, match="this network names none of its layers so"):
        unnamed.features(random_images(1, side=4))


def test_batches_of_no_image_are_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="expected a batch_size of at least 1, arrived 0"):
        bundle.features(random_images(1), batch_size=0)
