"""Every augmentation against windows cut by hand, torchvision, and what it must conserve."""

from __future__ import annotations

import random
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from torchvision.transforms import v2

from skipline.data.augmentation import Augmentation, augment, normalise
from skipline.data.augmentations import auto, boxes, cropping, erasing, flipping, mixing
from skipline.data.augmentations.mixing import draw_mixing
from skipline.data.augmentations.part import part_of
from skipline.data.augmentations.randomness import generator
from skipline.data.preprocessing import Preprocessing


def random_images(n: int, height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def plain(side: int, channels: int = 3, stored: int | None = None) -> Preprocessing:
    """A scale on which a normalised pixel is the pixel itself (to 1e-4)."""
    return Preprocessing(channels, stored or side, side, (0.0,) * channels, (1 / 255,) * channels)


# --- the type -----------------------------------------------------------------------------------


def test_the_defaults_change_nothing() -> None:
    images = random_images(5, 9, 9)
    seen, targets = run(Augmentation(), images, plain(9))
    np.testing.assert_allclose(seen, images, atol=1e-3)
    np.testing.assert_array_equal(targets, np.arange(5) % 3)


@pytest.mark.parametrize(
    "mistake",
    [
        {"pad_crop": -1},
        {"padding": "wrap"},
        {"random_resized_crop": 0.0},
        {"random_resized_crop": 1.5},
        {"flip": "vertical"},
        {"cutout": -2},
        {"random_erasing": 1.1},
        {"mixup": -0.1},
        {"cutmix": float("nan")},
        {"mixup": float("inf")},
        {"auto": "autoaugment"},
        {"pad_corp": 4},
        {"pad_crop": 4, "random_resized_crop": 0.3},
    ],
)
def test_mistakes_are_refused(mistake: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Augmentation).validate_python(mistake)


def test_two_crops_at_once_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match="keep one, leave the other out"):
        Augmentation(pad_crop=4, random_resized_crop=0.5)


def test_it_survives_plain_values_and_is_frozen() -> None:
    given = Augmentation(pad_crop=4, flip="alternating", mixup=0.2)
    assert TypeAdapter(Augmentation).validate_python(asdict(given)) == given
    with pytest.raises(AttributeError):
        given.pad_crop = 2  # type: ignore[misc]


# --- cropping -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("padding", "mode"), [("reflect", "reflect"), ("zeros", "constant")])
def test_every_offset_of_pad_crop_hits_its_window(padding: cropping.Padding, mode: str) -> None:
    p, image = 3, random_images(1, 6, 6)
    padded = np.pad(image[0], ((p, p), (p, p), (0, 0)), mode=mode)
    offsets = np.array([(y, x) for y in range(2 * p + 1) for x in range(2 * p + 1)])
    crops = cropping.pad_crop(image.repeat(len(offsets), 0), offsets, pixels=p, side=6, padding=padding)
    for (y, x), crop in zip(offsets, crops, strict=True):
        np.testing.assert_array_equal(crop, padded[y : y + 6, x : x + 6])
    np.testing.assert_array_equal(crops[p * (2 * p + 1) + p], image[0])  # (p, p) is the image itself


def test_pad_crop_of_larger_images_shows_their_pixels_before_any_padding() -> None:
    image = random_images(1, 12, 12)  # the view of 8 is the centre, with 2 real pixels on each side
    moved = cropping.pad_crop(image, np.array([[0, 4]]), pixels=2, side=8)
    np.testing.assert_array_equal(moved[0], image[0, 0:8, 4:12])
    further = cropping.pad_crop(image, np.array([[0, 3]]), pixels=3, side=8, padding="zeros")
    np.testing.assert_array_equal(further[0, 0], 0)
    np.testing.assert_array_equal(further[0, 1:], image[0, 0:7, 2:10])


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3, 4]),
    pixels=st.integers(0, 12),
    padding=st.sampled_from(["reflect", "zeros"]),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_pad_crop_is_a_window_of_the_padded_image(height, width, channels, pixels, padding, data) -> None:
    side = data.draw(st.integers(1, min(height, width)))
    images = random_images(4, height, width, channels)
    offsets = cropping.draw_offsets(np.random.default_rng(data.draw(st.integers(0, 99))), 4, pixels)
    crops = cropping.pad_crop(images, offsets, pixels=pixels, side=side, padding=padding)
    mode = "reflect" if padding == "reflect" else "constant"
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode=mode)
    top, left = (height - side) // 2, (width - side) // 2
    for image, crop, (y, x) in zip(padded, crops, offsets, strict=True):
        np.testing.assert_array_equal(crop, image[top + y : top + y + side, left + x : left + x + side])


def test_offsets_are_uniform_and_drawn_for_each_image_and_direction() -> None:
    offsets = cropping.draw_offsets(np.random.default_rng(0), 81_000, 4)
    cells = np.bincount(offsets[:, 0] * 9 + offsets[:, 1], minlength=81)  # 1,000 expected in each, s = 31
    assert cells.min() > 850
    assert cells.max() < 1_150


@pytest.mark.parametrize("channels", [1, 3])
def test_resized_crop_equals_torchvision(channels: int) -> None:
    images = random_images(6, 40, 40, channels)
    drawn = cropping.draw_resized_crops(np.random.default_rng(0), 6, 40, 40, 0.2)
    crops = cropping.resized_crop(images, drawn, 17)
    for image, (top, left, bottom, right), crop in zip(images, drawn, crops, strict=True):
        expected = v2.functional.resized_crop(
            Image.fromarray(image.squeeze()), top, left, bottom - top, right - left, [17, 17]
        )
        difference = crop.squeeze().astype(int) - np.asarray(expected)
        assert np.abs(difference).max() <= 1  # the last bit of a rounded weight


@given(side=st.integers(1, 40), channels=st.sampled_from([1, 3, 4]), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_crop_of_one_colour_keeps_the_colour(side: int, channels: int, seed: int) -> None:
    colour = np.random.default_rng(seed).integers(0, 256, channels, dtype=np.uint8)
    images = np.broadcast_to(colour, (3, 21, 21, channels))
    drawn = cropping.draw_resized_crops(np.random.default_rng(seed), 3, 21, 21, 0.05)
    assert (cropping.resized_crop(images, drawn, side) == colour).all()
    assert (cropping.resize(images, side) == colour).all()


def test_resized_crops_keep_to_area_ratio_and_image() -> None:
    drawn = cropping.draw_resized_crops(np.random.default_rng(0), 20_000, 256, 256, 0.35)
    heights, widths = drawn[:, 2] - drawn[:, 0], drawn[:, 3] - drawn[:, 1]
    assert drawn.min() >= 0
    assert drawn.max() <= 256
    share, ratio = boxes.areas(drawn) / 256**2, widths / heights
    assert 0.345 < share.min() < 0.36
    assert share.max() <= 1
    assert 0.74 < ratio.min() < 0.76
    assert 1.32 < ratio.max() < 1.35
    # Uniform in area where every ratio fits (up to 0.75): as many between 0.4 and 0.5 as between 0.6 and 0.7.
    low, high = ((share > 0.4) & (share < 0.5)).sum(), ((share > 0.6) & (share < 0.7)).sum()
    assert abs(low - high) < 5 * np.sqrt(low + high)


def test_the_whole_image_is_seen_where_no_crop_fits() -> None:
    drawn = cropping.draw_resized_crops(np.random.default_rng(0), 50, 5, 64, 0.9)  # ratio 12.8: none fits
    np.testing.assert_array_equal(drawn, [[0, 0, 5, 64]] * 50)


def test_resize_equals_torch_on_floats_to_one_level() -> None:
    images = random_images(3, 16, 16)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(planes, (11, 11), mode="bilinear", antialias=True)
    # Rows and columns are each rounded, by half a level at most.
    np.testing.assert_allclose(cropping.resize(images, 11), expected.permute(0, 2, 3, 1), atol=1.001)


def test_resize_to_the_same_size_is_the_same_array() -> None:
    images = random_images(2, 7, 7)
    assert cropping.resize(images, 7) is images


# --- flipping -----------------------------------------------------------------------------------


@given(
    n=st.integers(1, 6), side=st.integers(1, 9), channels=st.sampled_from([1, 3, 4]), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_flip_mirrors_the_chosen_ones_only(n: int, side: int, channels: int, seed: int) -> None:
    images = random_images(n, side, side + 1, channels, seed)
    chosen = np.random.default_rng(seed).random(n) < 0.5
    flipped = flipping.flip(images.copy(), chosen)
    np.testing.assert_array_equal(flipped[~chosen], images[~chosen])
    np.testing.assert_array_equal(flipped[chosen], images[chosen][:, :, ::-1])


def test_alternating_flips_show_every_image_flipped_in_exactly_every_second_epoch() -> None:
    indices = np.arange(1_000)
    epochs = np.stack([flipping.alternating_flips(indices, 7, epoch) for epoch in range(6)])
    np.testing.assert_array_equal(epochs[0], ~epochs[1])
    np.testing.assert_array_equal(epochs[:-2], epochs[2:])
    assert 430 < epochs[0].sum() < 570  # half of the images, s = 16


def test_alternating_flips_depend_on_image_and_seed_and_not_on_the_batch() -> None:
    indices = np.arange(4_096)
    first, other = (flipping.alternating_flips(indices, seed, 0) for seed in (0, 1))
    shuffled = np.random.default_rng(0).permutation(4_096)
    np.testing.assert_array_equal(flipping.alternating_flips(shuffled, 0, 0), first[shuffled])
    assert 0.45 < (first == other).mean() < 0.55  # s = 0.008
    assert 0.45 < (first[1:] == first[:-1]).mean() < 0.55  # neighbours are independent


# --- hiding -------------------------------------------------------------------------------------


@given(
    side=st.integers(1, 20),
    size=st.integers(0, 30),
    channels=st.sampled_from([1, 3, 4]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_cutout_hides_one_square_that_the_edge_cuts_off(
    side: int, size: int, channels: int, seed: int
) -> None:
    drawn = erasing.draw_cutout(np.random.default_rng(seed), 8, side, size)
    images = erasing.erase(np.ones((8, side, side, channels), np.float32), drawn)
    for image, (top, left, bottom, right) in zip(images, drawn, strict=True):
        hidden = np.zeros((side, side), bool)
        hidden[top:bottom, left:right] = True
        np.testing.assert_array_equal(image == 0, np.broadcast_to(hidden[:, :, None], image.shape))
        assert min(side, (size + 1) // 2) <= bottom - top <= size
        assert min(side, (size + 1) // 2) <= right - left <= size
        if min(top, left) > 0 and max(bottom, right) < side:  # nothing was cut off
            assert (bottom - top, right - left) == (size, size)


def test_cutout_reaches_every_pixel() -> None:
    drawn = erasing.draw_cutout(np.random.default_rng(0), 4_000, 8, 4)
    hidden = 1 - erasing.erase(np.ones((4_000, 8, 8, 1), np.float32), drawn).mean(axis=(0, 3))
    assert hidden.min() > 0.05  # a corner is hidden by (2 / 8) ** 2 of the centres at least
    assert 0.2 < hidden[3:5, 3:5].mean() < 0.3  # the middle by (4 / 8) ** 2


def test_random_erasing_spares_the_share_it_should_and_keeps_to_its_area() -> None:
    drawn = erasing.draw_random_erasing(np.random.default_rng(0), 10_000, 32, 0.3)
    chosen = drawn.any(axis=1)
    assert 0.28 < chosen.mean() < 0.32  # s = 0.005
    share = boxes.areas(drawn)[chosen] / 32**2
    assert 0.01 < share.min() < 0.03
    assert 0.32 < share.max() < 0.36
    assert drawn.min() >= 0
    assert drawn.max() <= 32
    assert boxes.areas(drawn)[~chosen].sum() == 0
    assert not erasing.draw_random_erasing(np.random.default_rng(0), 50, 32, 0.0).any()


# --- mixing -------------------------------------------------------------------------------------


def floats(n: int, side: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, side, side, channels)).astype(np.float32)


def test_mixup_by_hand() -> None:
    images = np.array([1.0, 3.0], np.float32).reshape(2, 1, 1, 1)
    targets = mixing.one_hot(np.array([0, 2]), 3)
    mixed, shares = mixing.mixup(images, targets, np.array([0.25, 1.0]), np.array([1, 0]))
    np.testing.assert_array_equal(mixed.ravel(), [0.25 * 1 + 0.75 * 3, 3.0])
    np.testing.assert_array_equal(shares, [[0.25, 0, 0.75], [0, 0, 1]])


@given(n=st.integers(1, 6), channels=st.sampled_from([1, 3, 4]), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_mixup_is_the_convex_combination_of_images_and_targets(n: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, targets = floats(n, 5, channels, seed), mixing.one_hot(rng.integers(0, 4, n), 4)
    weights, partners = mixing.draw_weights(rng, n, 0.4), rng.permutation(n)
    mixed, shares = mixing.mixup(images, targets, weights, partners)
    for i in range(n):
        expected = weights[i] * images[i] + (1 - weights[i]) * images[partners[i]]
        np.testing.assert_allclose(mixed[i], expected, atol=1e-5)
        expected = weights[i] * targets[i] + (1 - weights[i]) * targets[partners[i]]
        np.testing.assert_allclose(shares[i], expected, atol=1e-6)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert mixed.dtype == shares.dtype == np.float32


@given(
    n=st.integers(1, 6), side=st.integers(1, 11), channels=st.sampled_from([1, 3, 4]), seed=st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_cutmix_weights_targets_by_the_pixels_that_changed(
    n: int, side: int, channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, side, side, channels))
    targets = mixing.one_hot(np.arange(n), n)  # class = pixel value: each pixel tells where it came from
    drawn = mixing.draw_cutmix(rng, mixing.draw_weights(rng, n, 1.0), side, side)
    mixed, shares = mixing.cutmix(images, targets, drawn, rng.permutation(n))
    for i in range(n):
        counted = np.bincount(mixed[i, :, :, 0].astype(int).ravel(), minlength=n) / side**2
        np.testing.assert_allclose(shares[i], counted, atol=1e-7)
        assert (mixed[i] == mixed[i, :, :, :1]).all()


def test_cutmix_pastes_from_the_partner_as_it_was() -> None:
    images, targets = floats(3, 4), mixing.one_hot(np.arange(3), 3)
    drawn = np.array([[0, 0, 2, 2], [1, 0, 4, 4], [0, 0, 0, 0]])
    mixed, shares = mixing.cutmix(images, targets, drawn, np.array([1, 0, 1]))
    np.testing.assert_array_equal(mixed[0, :2, :2], images[1, :2, :2])
    np.testing.assert_array_equal(mixed[0, 2:], images[0, 2:])
    np.testing.assert_array_equal(mixed[1, 1:], images[0, 1:])  # not what was pasted into image 0
    np.testing.assert_array_equal(mixed[2], images[2])
    np.testing.assert_array_equal(shares, [[0.75, 0.25, 0], [0.75, 0.25, 0], [0, 0, 1]])


def test_cutmix_boxes_have_the_drawn_area_before_the_edge_cuts_them() -> None:
    drawn = mixing.draw_cutmix(np.random.default_rng(0), np.full(5_000, 0.75), 64, 64)
    assert drawn.min() == 0
    assert drawn.max() == 64
    assert boxes.areas(drawn).max() == 32 * 32  # half of each side
    assert boxes.areas(drawn).min() >= 16 * 16  # a centre at a corner leaves a quarter


def test_weights_are_beta_distributed() -> None:
    weights = mixing.draw_weights(np.random.default_rng(0), 50_000, 0.2)
    assert abs(weights.mean() - 0.5) < 0.01
    assert abs(weights.var() - 1 / (4 * (2 * 0.2 + 1))) < 0.005  # of Beta(a, a)


# --- auto ---------------------------------------------------------------------------------------

REFERENCE = {"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}


@pytest.mark.parametrize("policy", REFERENCE)
def test_magnitudes_are_torchvisions(policy: str) -> None:
    space = REFERENCE[policy]._AUGMENTATION_SPACE
    assert set(space) == set(auto.SPANS[policy]) == set(auto.OPERATIONS)
    for name, (magnitudes, signed) in space.items():
        span = auto.SPANS[policy][name]
        assert span.signed == signed, name
        expected = magnitudes(auto.BINS, 224, 224)
        ours = [span.at(level / 30, 224) for level in range(31)]
        if name == "Posterize":
            ours = [round(magnitude) for magnitude in ours]
        np.testing.assert_allclose(
            ours, np.zeros(31) if expected is None else expected, rtol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("operation", auto.OPERATIONS)
def test_operations_are_torchvisions(operation: str, channels: int) -> None:
    policy, image = v2.TrivialAugmentWide(), random_images(1, 24, 24, channels)
    span = auto.SPANS["trivialaugment"][operation]
    for magnitude in [
        span.at(level, 24) * sign for level in (0.1, 0.5, 0.9) for sign in ((1, -1)[: 1 + span.signed])
    ]:
        ours = auto.apply_edits(image.copy(), [(auto.Edit(operation, magnitude),)])[0].squeeze()
        exact = round(magnitude) if operation == "Posterize" else magnitude
        expected = policy._apply_image_or_video_transform(
            Image.fromarray(image[0].squeeze()), operation, exact, policy.interpolation, policy._fill
        )
        np.testing.assert_array_equal(ours, np.asarray(expected), err_msg=f"{operation} {magnitude}")


def test_edits_are_drawn_for_each_image() -> None:
    trivial = auto.draw_edits(np.random.default_rng(0), 14_000, 64, "trivialaugment")
    assert {len(edits) for edits in trivial} == {1}
    counts = np.unique([edits[0].operation for edits in trivial], return_counts=True)[1]
    assert len(counts) == 14
    assert counts.min() > 850  # 1,000 expected, s = 31
    turns = [edits[0].magnitude for edits in trivial if edits[0].operation == "Rotate"]
    assert len(set(turns)) == 61  # 31 bins, the 30 that are not 0 with either sign
    assert abs(np.mean(turns)) < 10
    double = auto.draw_edits(np.random.default_rng(0), 500, 64, "randaugment")
    assert {len(edits) for edits in double} == {2}
    assert {abs(e.magnitude) for edits in double for e in edits if e.operation == "Rotate"} == {9.0}


# --- the whole ----------------------------------------------------------------------------------


def run(
    augmentation: Augmentation,
    images: np.ndarray,
    preprocessing: Preprocessing,
    *,
    seed: int = 0,
    epoch: int = 0,
    step: int = 0,
    side: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    indices = np.arange(len(images))
    mixing = None
    if augmentation.mixes:
        rng = generator(seed, "mixing", epoch, step)
        size = side or preprocessing.side
        mixing = draw_mixing(rng, len(images), size, size, augmentation.mixup, augmentation.cutmix)
    return augment(
        images.copy(),
        indices % 3,
        indices,
        part=part_of(len(images), slice(None), mixing),
        augmentation=augmentation,
        preprocessing=preprocessing,
        classes=3,
        seed=seed,
        epoch=epoch,
        step=step,
        side=side or preprocessing.side,
    )


EVERYTHING = [
    Augmentation(
        pad_crop=2, flip="random", cutout=3, random_erasing=0.5, mixup=0.2, cutmix=1.0, auto="randaugment"
    ),
    Augmentation(random_resized_crop=0.3, flip="alternating", auto="trivialaugment", cutmix=0.5),
]


@pytest.mark.parametrize("augmentation", EVERYTHING)
def test_it_is_a_pure_function_that_touches_no_global_generator(augmentation: Augmentation) -> None:
    images, preprocessing = random_images(6, 15, 15), plain(15)
    first = run(augmentation, images, preprocessing, epoch=2, step=3)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    run(augmentation, images, preprocessing, epoch=5, step=0)
    again = run(augmentation, images, preprocessing, epoch=2, step=3)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert before == after


@pytest.mark.parametrize("augmentation", EVERYTHING)
@pytest.mark.parametrize("change", ["seed", "epoch", "step"])
def test_seed_epoch_and_step_each_change_the_draws(augmentation: Augmentation, change: str) -> None:
    images, preprocessing = random_images(6, 15, 15), plain(15)
    first, other = (run(augmentation, images, preprocessing, **{change: value})[0] for value in (1, 2))
    assert (first != other).any()


@given(
    side=st.integers(2, 13),
    margin=st.integers(0, 4),
    channels=st.sampled_from([1, 3, 4]),
    out=st.integers(1, 16),
    augmentation=st.sampled_from(
        [
            Augmentation(pad_crop=1, flip="random", cutout=2),
            Augmentation(pad_crop=5, padding="zeros", flip="alternating", random_erasing=1.0, cutmix=1.0),
            Augmentation(random_resized_crop=0.2, mixup=0.3),
        ]
    ),
)
@settings(max_examples=60, deadline=None)
def test_any_size_and_channels(
    side: int, margin: int, channels: int, out: int, augmentation: Augmentation
) -> None:
    images = random_images(3, side + margin, side + margin, channels)
    seen, targets = run(augmentation, images, plain(side, channels, side + margin), side=out)
    assert seen.shape == (3, out, out, channels)
    assert seen.dtype == np.float32
    assert seen.flags.c_contiguous
    assert -1e-3 <= seen.min() <= seen.max() <= 255.001
    assert targets.shape == ((3, 3) if augmentation.mixes else (3,))


def test_switching_one_augmentation_on_leaves_the_draws_of_the_others() -> None:
    images, preprocessing = random_images(8, 12, 12), plain(12)
    without, _ = run(Augmentation(pad_crop=3, flip="random"), images, preprocessing)
    hidden, _ = run(Augmentation(pad_crop=3, flip="random", cutout=4), images, preprocessing)
    shown = hidden != 0
    assert 0.5 < shown.mean() < 1
    np.testing.assert_array_equal(hidden[shown], without[shown])


def test_cutout_hides_the_same_share_at_a_smaller_side() -> None:
    images = np.full((400, 32, 32, 3), 255, np.uint8)
    shares = [(run(Augmentation(cutout=8), images, plain(32), side=side)[0] == 0).mean() for side in (32, 16)]
    assert shares[0] == pytest.approx(shares[1], rel=0.05)


def test_mixup_and_cutmix_take_turns_by_chance() -> None:
    images = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None, None] * 20, (9, 16, 16, 3))
    both = Augmentation(mixup=1.0, cutmix=1.0)
    blended = []
    for step in range(60):
        seen, targets = run(both, images, plain(16), step=step)
        np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
        flat = seen.reshape(9, -1)
        blended.append(bool((flat.max(1) - flat.min(1) < 1e-3).all()))  # mixup keeps one colour one colour
    assert 18 < sum(blended) < 42  # s = 3.9


def test_weights_differ_within_a_batch() -> None:
    images = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None, None] * 20, (9, 4, 4, 3))
    _, targets = run(Augmentation(mixup=1.0), images, plain(4))
    assert len(np.unique(targets.max(1).round(6))) > 4


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_normalisation_is_the_one_of_evaluation_to_the_last_bit(channels: int) -> None:
    images = random_images(4, 11, 11, channels)
    preprocessing = Preprocessing(
        channels, 11, 11, (0.47, 0.45, 0.4, 0.3)[:channels], (0.2, 0.23, 0.27, 0.3)[:channels]
    )
    expected = preprocessing(images).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(normalise(images, preprocessing), expected)


def test_generators_of_other_purposes_and_positions_are_independent() -> None:
    drawn = {
        tuple(generator(seed, purpose, *position).integers(0, 2**32, 4).tolist())
        for seed in (0, 1, 2**40)
        for purpose in ("order", "crop")
        for position in [(0,), (0, 0), (0, 1), (1, 0)]
    }
    assert len(drawn) == 3 * 2 * 4
