"""Left and right exchanged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def draw_flips(rng: np.random.Generator, count: int) -> npt.NDArray[np.bool_]:
    """(N,) True with probability one half."""
    return rng.random(count) < 0.5


def alternating_flips(indices: npt.NDArray[np.int64], seed: int, epoch: int) -> npt.NDArray[np.bool_]:
    """Flip every image in every second epoch.

    Jordan 2024 (arXiv:2404.00498, section 3.6): chance decides for each image in epoch 0; from then on
    flipped and plain views alternate, so that any two successive epochs show both, where independent draws
    repeat the same view half of the time.

    Args:
        indices: (N,) of the images in their data set.
        seed: decides, together with the index, about epoch 0.
        epoch: from 0.

    Returns:
        (N,) True where the image is flipped in this epoch.
    """
    start = _scrambled(np.array([seed % 2**64], np.uint64))
    first = _scrambled(indices.astype(np.uint64) ^ start) >> np.uint64(63)  # (N,) 0 or 1
    flipped: npt.NDArray[np.bool_] = (first + np.uint64(epoch)) % np.uint64(2) == 1
    return flipped


def flip(images: npt.NDArray[np.uint8], flipped: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Mirror some images in place.

    Args:
        images: (N, H, W, C), writable.
        flipped: (N,) True where to mirror.

    Returns:
        The same array.
    """
    chosen = images[flipped]
    mirrored = np.empty_like(chosen)
    for channel in range(images.shape[3]):  # channel by channel: 4 x faster than reversing pixels of C bytes
        mirrored[..., channel] = chosen[:, :, ::-1, channel]
    images[flipped] = mirrored
    return images


def _scrambled(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64, the mixing step of Steele et al. 2014: every output bit depends on every input bit."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: npt.NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return scrambled
