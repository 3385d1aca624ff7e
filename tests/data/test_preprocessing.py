from __future__ import annotations

import json

import numpy as np
import torch
from torchvision.transforms import v2

from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

PREPROCESSING = Preprocessing(channels=3, stored=16, side=12, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def test_agrees_with_torchvision():
    tensor = torch.from_numpy(images()).permute(0, 3, 1, 2)
    expected = v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)(v2.CenterCrop(12)(tensor).float() / 255)
    result = PREPROCESSING(images())
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_images_that_are_mapped_read_only_are_taken_and_left_alone():
    whole = Preprocessing(channels=3, stored=16, side=16, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    mapped = images()
    mapped.flags.writeable = False
    torch.testing.assert_close(whole(mapped), whole(images()))  # a warning of torch's would be an error here
    np.testing.assert_array_equal(mapped, images())


def test_survives_json():
    assert Preprocessing.from_json(json.loads(json.dumps(PREPROCESSING.to_json()))) == PREPROCESSING
