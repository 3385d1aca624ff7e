"""Batches: order, purity, resumption, and a thread that never outlives its use."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skipline.data import batches as module
from skipline.data.augmentation import Augmentation
from skipline.data.batches import AHEAD, Batch, Batches
from skipline.data.imageset import ImageSet
from skipline.data.preprocessing import Preprocessing
from skipline.errors import InputError, ShapeMismatchError

EVERYTHING = Augmentation(
    pad_crop=2, flip="alternating", cutout=2, mixup=0.3, cutmix=1.0, auto="trivialaugment"
)


def some_images(n: int = 20, side: int = 8, channels: int = 3, classes: int = 4) -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    return ImageSet(pixels, rng.integers(0, classes, n), tuple("abcdefgh"[:classes]), "train", "none")


def scale(side: int = 8, channels: int = 3, stored: int | None = None) -> Preprocessing:
    return Preprocessing(channels, stored or side, side, (0.4,) * channels, (0.2,) * channels)


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("images", "targets", "indices", "labels"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def makers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("skipline-batches")]


# --- one batch ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "stored"), [(8, 8), (6, 8), (5, 8)])
def test_without_augmentation_a_batch_is_what_evaluation_sees(side: int, stored: int) -> None:
    images, preprocessing = some_images(), scale(side, stored=stored)
    batch = Batches(images, preprocessing, batch_size=7).batch(0, 1)
    assert torch.equal(batch.images, preprocessing(images.images[batch.indices.numpy()]))
    assert torch.equal(batch.labels, torch.from_numpy(images.labels)[batch.indices])
    assert torch.equal(batch.targets, batch.labels)


def test_types_and_memory_order() -> None:
    batch = Batches(some_images(), scale(), batch_size=7, augmentation=EVERYTHING).batch(0, 0)
    assert batch.images.shape == (7, 3, 8, 8)
    assert batch.images.dtype == batch.targets.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.shape == (7, 4)
    assert batch.labels.dtype == batch.indices.dtype == torch.int64
    assert Batches(some_images(), scale(), batch_size=7).batch(0, 0).targets.dtype == torch.int64


def test_mixed_targets_name_the_classes_of_the_images() -> None:
    batch = Batches(some_images(), scale(), batch_size=20, augmentation=Augmentation(mixup=0.4)).batch(0, 0)
    own = batch.targets[torch.arange(20), batch.labels]
    assert torch.allclose(batch.targets.sum(1), torch.ones(20), atol=1e-6)
    assert (own > 0).all()
    assert ((batch.targets > 0).sum(1) <= 2).all()


@pytest.mark.parametrize("augmentation", [Augmentation(pad_crop=2), Augmentation(random_resized_crop=0.5)])
@pytest.mark.parametrize("side", [5, 8, 11])
def test_side_is_the_size_of_the_images(augmentation: Augmentation, side: int) -> None:
    batch = Batches(some_images(), scale(), batch_size=4, augmentation=augmentation).batch(0, 0, side)
    assert batch.images.shape == (4, 3, side, side)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


@given(
    n=st.integers(1, 30),
    side=st.integers(2, 9),
    channels=st.sampled_from([1, 3, 4]),
    batch_size=st.integers(1, 40),
    leftover=st.sampled_from(["drop", "spread"]),
    multiple=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_an_epoch_shows_each_image_once(
    n: int, side: int, channels: int, batch_size: int, leftover: Literal["drop", "spread"], multiple: int
) -> None:
    batches = Batches(
        some_images(n, side, channels),
        scale(side, channels),
        batch_size=batch_size,
        leftover=leftover,
        multiple_of=multiple,
        augmentation=Augmentation(pad_crop=1, flip="random"),
    )
    sizes, seen = [], []
    for step in range(batches.steps_per_epoch):
        batch = batches.batch(3, step)
        sizes.append(len(batch.images))
        seen += batch.indices.tolist()
    assert len(seen) == len(set(seen))
    if leftover == "drop" and n >= batch_size:
        assert sizes == [batch_size] * (n // batch_size)
    else:  # nothing is dropped: neither where it is spread nor from fewer images than a batch
        assert sorted(seen) == list(range(n))
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
        assert leftover == "drop" or len(sizes) % multiple == 0 or len(sizes) == n


@pytest.mark.parametrize(
    "augmentation",
    [
        EVERYTHING,
        Augmentation(mixup=0.2),
        Augmentation(cutmix=1.0, random_resized_crop=0.3, flip="random", random_erasing=0.5),
    ],
)
@given(
    n=st.integers(1, 30), batch_size=st.integers(1, 9), processes=st.integers(1, 4), seed=st.integers(0, 99)
)
@settings(max_examples=15, deadline=None)
def test_the_parts_of_processes_are_the_whole_batch_to_the_bit(
    augmentation: Augmentation, n: int, batch_size: int, processes: int, seed: int
) -> None:
    assume(min(n, batch_size) >= processes)

    def batches(share: tuple[int, int]) -> Batches:
        return Batches(
            some_images(n), scale(), batch_size=batch_size, augmentation=augmentation, seed=seed, share=share
        )

    whole = batches((0, 1))
    parts = [batches((process, processes)) for process in range(processes)]
    for step in range(whole.steps_per_epoch):
        expected, made = whole.batch(1, step), [part.batch(1, step) for part in parts]
        assert {batch.whole for batch in made} == {len(expected.labels)} == {expected.whole}
        sizes = [len(batch.labels) for batch in made]
        assert max(sizes) - min(sizes) <= 1
        for name in ("images", "targets", "indices", "labels"):
            assert torch.equal(
                torch.cat([getattr(batch, name) for batch in made]), getattr(expected, name)
            ), name


def test_more_processes_than_images_in_a_batch_are_refused() -> None:
    with pytest.raises(InputError, match="3 processes cannot share a batch of 2: take fewer processes"):
        Batches(some_images(), scale(), batch_size=2, share=(0, 3))


def test_the_order_changes_with_epoch_and_seed() -> None:
    orders = {
        tuple(Batches(some_images(), scale(), batch_size=20, seed=seed).batch(epoch, 0).indices.tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_order_and_draws_are_uniform() -> None:
    batches = Batches(some_images(5), scale(), batch_size=5)
    first = np.bincount([int(batches.batch(epoch, 0).indices[0]) for epoch in range(1_000)], minlength=5)
    assert first.min() > 150  # 200 expected, s = 12.6
    assert first.max() < 250


# --- purity -------------------------------------------------------------------------------------


def test_a_batch_depends_on_nothing_but_seed_epoch_and_step() -> None:
    one = Batches(some_images(), scale(), batch_size=6, augmentation=EVERYTHING, seed=5)
    other = Batches(some_images(), scale(), batch_size=6, augmentation=EVERYTHING, seed=5)
    places = [(epoch, step) for epoch in range(3) for step in range(3)]
    forward = {place: one.batch(*place) for place in places}
    torch.manual_seed(99)
    np.random.seed(99)
    for place in reversed(places):
        assert_same(forward[place], other.batch(*place))


def test_alternating_flip_shows_the_other_side_in_the_next_epoch() -> None:
    batches = Batches(some_images(), scale(), batch_size=20, augmentation=Augmentation(flip="alternating"))
    views = [
        batch.images[batch.indices.argsort()] for batch in (batches.batch(epoch, 0) for epoch in range(3))
    ]
    assert torch.equal(views[0], views[1].flip(3))
    assert torch.equal(views[0], views[2])


def test_the_data_is_not_changed() -> None:
    images = some_images()
    before = images.images.copy()
    for step in range(3):
        Batches(images, scale(), batch_size=6, augmentation=EVERYTHING).batch(0, step)
    np.testing.assert_array_equal(images.images, before)


def test_a_read_only_memory_map_gives_the_same_batches(tmp_path: Path) -> None:
    images = some_images()
    images.images.tofile(tmp_path / "pixels")
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "r", shape=images.images.shape)
    lazy = ImageSet(mapped, images.labels, images.classes, "train", "none")
    for augmentation in (Augmentation(), EVERYTHING, Augmentation(random_resized_crop=0.3)):
        expected = Batches(images, scale(), batch_size=6, augmentation=augmentation).batch(1, 2)
        assert_same(Batches(lazy, scale(), batch_size=6, augmentation=augmentation).batch(1, 2), expected)
    assert (tmp_path / "pixels").read_bytes() == images.images.tobytes()


# --- the thread ---------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 2, 3])
def test_the_iterator_gives_the_batches_from_its_start(start: int) -> None:
    batches = Batches(some_images(), scale(), batch_size=6, augmentation=EVERYTHING)
    made = list(batches.epoch(4, start_step=start, side=5))
    assert len(made) == 3 - start
    for step, batch in enumerate(made, start):
        assert_same(batch, batches.batch(4, step, side=5))
    assert not makers()


def test_prefetching_leaves_the_generators_of_training_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(9)
    torch.manual_seed(3)
    stream = Batches(some_images(), scale(), batch_size=2, augmentation=EVERYTHING).epoch(0)
    drawn = [torch.rand(1) for _ in stream]  # as dropout would, while the thread makes the next batches
    assert torch.equal(torch.cat(drawn)[:9], expected)


def test_no_more_than_a_few_batches_are_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    augment = module.augment
    monkeypatch.setattr(
        module, "augment", lambda *given, **named: (made.append(named["step"]), augment(*given, **named))[1]
    )
    stream = Batches(some_images(), scale(), batch_size=1).epoch(0)
    next(stream)
    next(stream)
    stream.close()  # waits for what is being made
    assert made == list(range(len(made)))
    assert 2 <= len(made) <= 2 + AHEAD


def test_closing_early_ends_the_thread() -> None:
    stream = Batches(some_images(), scale(), batch_size=2).epoch(0)
    next(stream)
    assert len(makers()) == 1
    stream.close()
    assert not makers()


def test_dropping_the_iterator_ends_the_thread() -> None:
    stream = Batches(some_images(), scale(), batch_size=2).epoch(0)
    next(stream)
    del stream
    gc.collect()
    assert not makers()


def test_an_iterator_that_was_never_used_starts_no_thread() -> None:
    stream = Batches(some_images(), scale(), batch_size=2).epoch(0)
    assert not makers()
    stream.close()


def test_an_exception_in_the_thread_reaches_the_loop_at_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    augment = module.augment

    def failing(*given, **named):
        if named["step"] == 2:
            raise OSError("the disk went away")
        return augment(*given, **named)

    monkeypatch.setattr(module, "augment", failing)
    stream = Batches(some_images(), scale(), batch_size=4).epoch(0)
    assert len(next(stream).images) == len(next(stream).images) == 4  # made before the failure
    with pytest.raises(OSError, match="the disk went away"):
        next(stream)
    assert not makers()


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "the batch size must be at least 1, not 0"),
        ({"seed": -1}, "the seed must be at least 0, not -1"),
        ({"images": some_images(0)}, "the train split holds no images: training needs at least one"),
        (
            {
                "images": some_images(channels=4),
                "preprocessing": scale(channels=4),
                "augmentation": Augmentation(auto="randaugment"),
            },
            "augmentation.auto = 'randaugment' edits grey or RGB images, these have 4 channels: "
            "leave it out, or open the source with 1 or 3 channels",
        ),
    ],
)
def test_mistakes_say_what_to_do(change: dict[str, object], message: str) -> None:
    arguments = {"images": some_images(), "preprocessing": scale(), "batch_size": 4} | change
    with pytest.raises(InputError) as raised:
        Batches(arguments.pop("images"), arguments.pop("preprocessing"), **arguments)
    assert str(raised.value) == message


@pytest.mark.parametrize("preprocessing", [scale(channels=1), scale(side=7), scale(side=7, stored=9)])
def test_images_of_another_shape_are_refused_with_both_shapes(preprocessing: Preprocessing) -> None:
    with pytest.raises(ShapeMismatchError, match=r"the train split holds 3 x 8 x 8") as raised:
        Batches(some_images(), preprocessing, batch_size=4)
    stored = preprocessing.stored
    assert f"expects images of {preprocessing.channels} x {stored} x {stored}" in str(raised.value)


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (0, 5)])
def test_a_step_that_does_not_exist_is_refused(place: tuple[int, int]) -> None:
    with pytest.raises(AssertionError):
        Batches(some_images(), scale(), batch_size=4).batch(*place)
