from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipline.data import ImageSet, silent
from skipline.data import duplicates as module
from skipline.data.duplicates import average_hash, bit_count, close_pairs, find_duplicates

CLASSES = ("cat", "dog")


def texture(seed: int, side: int = 32) -> np.ndarray:
    """An image of large random patches, unlike every other."""
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cells.repeat(side // 8, axis=0).repeat(side // 8, axis=1)


def image_set(images: list[np.ndarray], split: str = "train", labels: list[int] | None = None) -> ImageSet:
    numbers = np.array(labels if labels is not None else [0] * len(images), dtype=np.int64)
    files = tuple(f"{split}/{i}.png" for i in range(len(images)))
    return ImageSet(np.stack(images), numbers, CLASSES, split, "", files)


def test_average_hash_of_a_known_image():
    image = np.zeros((1, 16, 16, 1), dtype=np.uint8)
    image[0, :, 8:] = 200  # the right half is light: bits 00001111 in every row
    codes, deviation = average_hash(image)
    assert codes.tolist() == [0x0F0F0F0F0F0F0F0F]
    assert deviation.tolist() == [100.0]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_bit_count(values: list[int]):
    assert bit_count(np.array(values, dtype=np.uint64)).tolist() == [value.bit_count() for value in values]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_close_pairs_are_those_of_comparing_all_with_all(seed: int):
    generator = np.random.default_rng(seed)
    bases = generator.integers(0, 2**64, 6, dtype=np.uint64)
    codes = generator.choice(bases, 60)
    for _ in range(4):  # up to four flipped bits: some pairs are just close enough, some just too far
        codes = codes ^ (np.uint64(1) << generator.integers(0, 64, 60, dtype=np.uint64))
    found = [
        (min(i, j), max(i, j))
        for a, b in close_pairs(codes)
        for i, j in zip(a.tolist(), b.tolist(), strict=True)
    ]
    expected = {(i, j) for i, j in combinations(range(60), 2) if int(codes[i] ^ codes[j]).bit_count() < 4}
    assert set(found) == expected
    assert len(found) == len(expected)  # each once


def test_equal_images_within_and_between_splits():
    train = image_set([texture(0), texture(1), texture(0), texture(0), texture(2)])
    test = image_set([texture(3), texture(1), texture(1)], "test")
    result = find_duplicates([train, test], silent)
    assert result.exact_within == {"train": 2, "test": 1}
    assert result.exact_between == 2
    assert result.conflicting == 0
    assert result.near_within == {"train": 0, "test": 0}
    assert [(p.first, p.second, p.exact) for p in result.examples] == [
        ("train/1.png", "test/1.png", True),
        ("train/1.png", "test/2.png", True),
        ("train/0.png", "train/2.png", True),
        ("train/0.png", "train/3.png", True),
    ]


def test_equal_images_of_different_classes_conflict():
    result = find_duplicates([image_set([texture(0), texture(0), texture(1)], labels=[0, 1, 1])], silent)
    assert result.conflicting == 2
    assert result.examples[0].labels == ("cat", "dog")


def test_slightly_changed_copies_are_found_and_strangers_are_not():
    base = [texture(seed) for seed in range(40)]
    noise = np.random.default_rng(9).integers(-6, 7, base[7].shape)
    darker = (base[7] * 0.9).astype(np.uint8)
    noisy = (base[11] + noise).clip(0, 255).astype(np.uint8)
    result = find_duplicates([image_set([*base, darker]), image_set([texture(99), noisy], "test")], silent)
    assert result.near_within == {"train": 2, "test": 0}
    assert result.near_between == 1
    assert {(p.first, p.second) for p in result.examples} == {
        ("train/11.png", "test/1.png"),
        ("train/7.png", "train/40.png"),
    }
    assert not any(p.exact for p in result.examples)


def test_equal_hashes_of_unlike_images_do_not_count():
    light = texture(0).astype(int)
    grey = light.mean(axis=2, keepdims=True)
    bits = grey > grey.mean()  # the same hash, painted in other colours
    other = np.where(bits, [255, 120, 40], [0, 40, 90]).astype(np.uint8)
    images = image_set([texture(0), other])
    codes, _ = average_hash(images.images)
    assert int(codes[0] ^ codes[1]).bit_count() < 4
    assert find_duplicates([images], silent).near_within == {"train": 0}


def test_flat_images_do_not_match_everything():
    generator = np.random.default_rng(0)
    flat = [(128 + generator.integers(-3, 4, (32, 32, 3))).astype(np.uint8) for _ in range(30)]
    result = find_duplicates([image_set([*flat, texture(1)])], silent)
    assert result.low_detail == 30
    assert result.near_within == {"train": 0}


def test_thousands_of_like_images_stay_countable():
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3)
    generator = np.random.default_rng(0)
    frames = [
        (ramp + generator.integers(-2, 3, ramp.shape)).clip(0, 255).astype(np.uint8) for _ in range(600)
    ]
    result = find_duplicates([image_set(frames)], silent)
    assert result.near_within == {"train": 600}
    assert len(result.examples) == module.EXAMPLES


def test_tiny_images_are_compared_for_equality_only():
    tiny = [texture(seed, 8) for seed in (0, 1, 0)]
    result = find_duplicates([image_set(tiny)], silent)
    assert not result.searched_near
    assert result.exact_within == {"train": 1}


@pytest.mark.parametrize("chunk", [1, 5000])
def test_portions_do_not_change_the_result(chunk: int, monkeypatch: pytest.MonkeyPatch):
    sets = [image_set([texture(0), texture(1), texture(0)]), image_set([texture(1)], "test")]
    expected = find_duplicates(sets, silent)
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert find_duplicates(sets, silent) == expected


def test_images_without_files_are_named_by_their_place():
    images = ImageSet(np.stack([texture(0)] * 2), np.zeros(2, dtype=np.int64), CLASSES, "train", "")
    assert find_duplicates([images], silent).examples[0].second == "train[1]"
