from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bundle_examples import PLAIN, PREPROCESSING, TopLeftPixel, image_set, random_images
from torch import nn

from skipline.bundle import logits_of
from skipline.data import Preprocessing
from skipline.errors import InputError, ShapeMismatchError, UnknownNameError


def test_the_network_sees_what_the_preprocessing_says() -> None:
    preprocessing = Preprocessing(channels=3, stored=6, side=4, mean=(0.5, 0.0, 0.0), std=(0.5, 1.0, 2.0))
    images = random_images(5, side=6)
    corner = images[:, 1, 1] / 255  # the top left pixel of the centre
    expected = (corner - [0.5, 0.0, 0.0]) / [0.5, 1.0, 2.0]
    assert logits_of(TopLeftPixel(), image_set(images), preprocessing) == pytest.approx(expected, abs=1e-6)


def test_flip_averages_the_logits_of_both_views() -> None:
    images = random_images(5, side=4)
    expected = (images[:, 0, 0] / 255 + images[:, 0, -1] / 255) / 2
    assert logits_of(TopLeftPixel(), image_set(images), PLAIN, tta="flip") == pytest.approx(
        expected, abs=1e-6
    )


def test_flip_shift_weighs_six_views() -> None:
    images = random_images(5, side=4)
    pixel = images / 255
    in_place = (pixel[:, 0, 0] + pixel[:, 0, 3]) / 2  # the corner, and the corner of the mirror image
    # Both shifts bring row 1 to the top, one through the reflected border, the other by itself. The same
    # holds for column 1, and for column 2 in the mirror image.
    shifted = (pixel[:, 1, 1] + pixel[:, 1, 2]) / 2
    measured = logits_of(TopLeftPixel(), image_set(images), PLAIN, tta="flip-shift")
    assert measured == pytest.approx(0.5 * in_place + 0.5 * shifted, abs=1e-6)


def airbench(images: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """The reference, as written in airbench94.py."""

    def infer_mirror(inputs: torch.Tensor) -> torch.Tensor:
        return 0.5 * network(inputs) + 0.5 * network(inputs.flip(-1))

    logits = infer_mirror(images)
    pad, side = 1, images.shape[-1]
    padded = F.pad(images, (pad,) * 4, "reflect")
    translated = [padded[:, :, 0:side, 0:side], padded[:, :, 2 : side + 2, 2 : side + 2]]
    shifted = torch.stack([infer_mirror(inputs) for inputs in translated]).mean(0)
    return 0.5 * logits + 0.5 * shifted


def test_flip_shift_equals_airbench(network: nn.Module) -> None:
    images = random_images(5)
    network.eval()
    with torch.no_grad():
        expected = airbench(PREPROCESSING(images), network).numpy()
    measured = logits_of(network, image_set(images), PREPROCESSING, tta="flip-shift")
    assert measured == pytest.approx(expected, abs=1e-5)


def test_the_batch_size_does_not_matter(network: nn.Module) -> None:
    images = image_set(random_images(7))
    whole = logits_of(network, images, PREPROCESSING)
    assert whole.dtype == np.float32
    assert whole.shape == (7, 3)
    assert logits_of(network, images, PREPROCESSING, batch_size=3) == pytest.approx(whole, abs=1e-5)


def test_bf16_is_close_and_comes_back_as_fp32(network: nn.Module) -> None:
    images = image_set(random_images(4))
    exact = logits_of(network, images, PREPROCESSING)
    rounded = logits_of(network, images, PREPROCESSING, precision="bf16")
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    assert rounded == pytest.approx(exact, abs=0.05 * float(np.abs(exact).max()))


def test_every_module_gets_its_own_mode_back_and_nothing_else_changes(network: nn.Module) -> None:
    network.train()
    network.layer1.eval()  # as with a frozen body
    modes = [module.training for module in network.modules()]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    strides = [p.stride() for p in network.parameters()]
    generator = torch.get_rng_state()
    logits_of(network, image_set(random_images(4)), PREPROCESSING, tta="flip-shift", precision="bf16")
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert [p.stride() for p in network.parameters()] == strides
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in network.parameters())


def test_the_mode_comes_back_after_an_error(network: nn.Module) -> None:
    network.train()
    with pytest.raises(ShapeMismatchError):
        logits_of(network, image_set(random_images(2)), replace(PREPROCESSING, channels=3, stored=24))
    broken = nn.Sequential(network, nn.Linear(7, 7)).train()
    with pytest.raises(RuntimeError):
        logits_of(broken, image_set(random_images(2)), PREPROCESSING)
    assert all(module.training for module in broken.modules())


def test_evaluation_mode_is_used(network: nn.Module) -> None:
    images = image_set(random_images(4))
    network.train()
    alone = logits_of(
        network, replace(images, images=images.images[:1], labels=images.labels[:1]), PREPROCESSING
    )
    together = logits_of(network, images, PREPROCESSING)
    assert together[0] == pytest.approx(alone[0], abs=1e-5)  # batch statistics would make neighbours matter


def test_progress_ends_at_the_number_of_images() -> None:
    calls: list[tuple[str, int, int]] = []
    logits_of(
        TopLeftPixel(),
        image_set(random_images(5, side=4)),
        PLAIN,
        batch_size=2,
        progress=lambda *c: calls.append(c),
    )
    assert calls == [("evaluating test", 2, 5), ("evaluating test", 4, 5), ("evaluating test", 5, 5)]


def test_images_stored_otherwise_are_refused() -> None:
    with pytest.raises(
        ShapeMismatchError,
        match=r"the images are \(C, H, W\) = \(3, 20, 20\), .* expects \(3, 4, 4\): open the source",
    ):
        logits_of(TopLeftPixel(), image_set(random_images(2)), PLAIN)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(InputError, match="there are no images in the test split"):
        logits_of(TopLeftPixel(), image_set(random_images(2)[:0]), PLAIN)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    images = image_set(random_images(2, side=4))
    with pytest.raises(
        UnknownNameError, match=r"no test-time augmentation is called 'flips'\. Did you mean flip"
    ):
        logits_of(TopLeftPixel(), images, PLAIN, tta="flips")
    with pytest.raises(UnknownNameError, match=r"no precision is called 'fp16'\. Did you mean"):
        logits_of(TopLeftPixel(), images, PLAIN, precision="fp16")


def test_large_images_go_in_smaller_batches() -> None:
    preprocessing = replace(PLAIN, stored=256, side=256)
    sizes: list[int] = []

    class Counting(TopLeftPixel):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            sizes.append(len(images))
            return super().forward(images)

    logits_of(Counting(), image_set(random_images(20, side=256)), preprocessing)
    assert sizes == [16, 4]
