"""Images that occur twice, and images that resemble each other, inside and between splits.

Exact: the same pixels as stored. Near: average hashes fewer than 4 bits apart. An average hash is 64 bits: the image is
averaged down to 8 x 8 grey cells, and each bit says whether its cell is lighter than their mean.

The hash alone matches too much in large sets: every dark animal on a bright meadow has the same 64 bits, and of the
295,000 pairs that it finds among 60,000 photos of 32 x 32 pixels, nearly all are strangers. So a pair counts only if
the images averaged down to 16 x 16 in colour also correlate by 0.95 (422 pairs there, all of one class; at 0.9, a
quarter of the pairs are of two classes). Images without detail, whose cells hardly differ, are left out: their bits are
noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from skipline.data.imageset import ImageSet
from skipline.data.progress import Progress

FEWER_BITS_THAN = 4
CORRELATION = 0.95
FLAT = 4.0
"""Standard deviation of the 8 x 8 cells, in grey levels of 255, below which an image has no detail."""
SMALLEST = 16
"""Side in pixels below which images hold too little for a hash."""
EXAMPLES = 20
CHUNK = 2**24  # bytes of pixels

_BANDS = (13, 13, 13, 13, 12)


@dataclass(frozen=True)
class Pair:
    """Two images that are the same or nearly so.

    Attributes:
        first: file, or split and position where there are no files.
        second: likewise.
        exact: whether the pixels are equal.
        splits: the splits of the two.
        labels: the class names of the two.
    """

    first: str
    second: str
    exact: bool
    splits: tuple[str, str]
    labels: tuple[str, str]


@dataclass(frozen=True)
class Duplicates:
    """How many images are not independent of others.

    Attributes:
        exact_within: images equal to an earlier one of the same split, by split.
        exact_between: test or validation images equal to a training image.
        near_within: images that resemble another one of the same split without being equal, by split.
        near_between: test or validation images that resemble a training image without being equal.
        conflicting: images that are equal to one of another class.
        low_detail: images left out of the search for resemblance.
        searched_near: whether resemblance was looked for; not in images smaller than 16 pixels.
        examples: up to 20 pairs, those between splits first.
    """

    exact_within: dict[str, int]
    exact_between: int
    near_within: dict[str, int]
    near_between: int
    conflicting: int
    low_detail: int
    searched_near: bool
    examples: tuple[Pair, ...]


def find_duplicates(sets: Sequence[ImageSet], progress: Progress) -> Duplicates:
    """Search all splits of a data set.

    Args:
        sets: the splits, training first.
        progress: told about images.
    """
    split = np.repeat(np.arange(len(sets)), [len(s) for s in sets])  # (N,)
    labels = np.concatenate([s.labels for s in sets])  # (N,)
    digests, codes, thumbnails, flat = _describe(sets, progress)
    tally = _Tally(sets, split, labels)

    seen: dict[bytes, int] = {}
    original = np.array(
        [seen.setdefault(digest, row) for row, digest in enumerate(digests)]
    )  # (N,) earliest equal
    for other in np.flatnonzero(original != np.arange(len(split))):
        tally.equal(int(original[other]), int(other))
    searched = min(sets[0].images.shape[1:3]) >= SMALLEST
    if searched:
        rows = np.flatnonzero((original == np.arange(len(split))) & ~flat)
        for left, right in close_pairs(codes[rows]):
            a, b = np.minimum(rows[left], rows[right]), np.maximum(rows[left], rows[right])
            alike = _correlation(thumbnails, a, b) >= CORRELATION
            tally.resembling(a[alike], b[alike])
    return tally.result(int(flat.sum()), searched)


def close_pairs(
    codes: npt.NDArray[np.uint64],
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Every pair of hashes fewer than 4 bits apart, each once, without comparing all with all.

    Three differing bits touch at most three of five bands, so such a pair agrees in two whole bands at least: for each
    of the ten choices of two bands, only hashes that agree in them are compared.

    Args:
        codes: (N,) 64-bit hashes.

    Yields:
        Two arrays of indices, each as long as there are pairs in this portion; at most N.
    """
    edges = np.cumsum((0, *_BANDS))
    bands = [np.uint64(((1 << width) - 1) << int(low)) for width, low in zip(_BANDS, edges, strict=False)]
    masks = [a | b for a, b in combinations(bands, 2)]
    for number, mask in enumerate(masks):
        keys = codes & mask
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        lag = 1
        left = np.flatnonzero(keys[1:] == keys[:-1])
        while len(left):
            i, j = order[left], order[left + lag]
            apart = codes[i] ^ codes[j]
            keep = bit_count(apart) < FEWER_BITS_THAN
            for earlier in masks[
                :number
            ]:  # a pair is reported by the first choice of bands that it agrees in
                keep &= (apart & earlier) != 0
            if keep.any():
                yield i[keep], j[keep]
            lag += 1
            left = left[: np.searchsorted(left, len(keys) - lag)]
            left = left[keys[left + lag] == keys[left]]


def bit_count(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The number of ones in each 64-bit value (Hacker's Delight, figure 5-2); NumPy 1 has no function for it."""
    u = np.uint64
    values = values - ((values >> u(1)) & u(0x5555555555555555))
    values = (values & u(0x3333333333333333)) + ((values >> u(2)) & u(0x3333333333333333))
    values = (values + (values >> u(4))) & u(0x0F0F0F0F0F0F0F0F)
    counts: npt.NDArray[np.uint64] = (values * u(0x0101010101010101)) >> u(56)
    return counts


def average_hash(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
    """Average hashes and how much there is to hash.

    Args:
        images: (N, H, W, C) uint8.

    Returns:
        (N,) 64-bit hashes and (N,) standard deviations of the 8 x 8 cells in grey levels.
    """
    cells = _averaged(images, 8).mean(axis=1).reshape(len(images), 64)  # (N, C, 8, 8) -> (N, 64)
    bits = cells > cells.mean(axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0], cells.std(axis=1)


def _describe(
    sets: Sequence[ImageSet], progress: Progress
) -> tuple[list[bytes], npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """For every image its digest, hash, (16, 16, C) thumbnail as bytes, and whether it is flat."""
    total = sum(len(s) for s in sets)
    channels = sets[0].images.shape[3]
    digests: list[bytes] = []
    codes = np.empty(total, dtype=np.uint64)
    thumbnails = np.empty((total, channels * 256), dtype=np.uint8)
    flat = np.empty(total, dtype=np.bool_)
    step = max(1, CHUNK // int(np.prod(sets[0].images.shape[1:])))
    row = 0
    for images in sets:
        for start in range(0, len(images), step):
            chunk = np.ascontiguousarray(images.images[start : start + step])
            rows = slice(row, row + len(chunk))
            digests += [hashlib.sha256(image).digest() for image in chunk]
            codes[rows], deviation = average_hash(chunk)
            flat[rows] = deviation < FLAT
            thumbnails[rows] = _averaged(chunk, 16).reshape(len(chunk), -1).round()
            row += len(chunk)
            progress("comparing images", row, total)
    return digests, codes, thumbnails, flat


def _averaged(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """(N, H, W, C) uint8 -> (N, C, side, side), each cell the mean of its pixels."""
    tensor = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    averaged: npt.NDArray[np.float32] = F.adaptive_avg_pool2d(tensor, side).numpy()
    return averaged


def _correlation(
    thumbnails: npt.NDArray[np.uint8], a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """(P,) Pearson correlation of the thumbnails of P pairs."""
    result = np.empty(len(a), dtype=np.float32)
    for start in range(0, len(a), 8192):
        part = slice(start, start + 8192)
        x, y = thumbnails[a[part]].astype(np.float32), thumbnails[b[part]].astype(np.float32)
        x -= x.mean(axis=1, keepdims=True)
        y -= y.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        result[part] = (x * y).sum(axis=1) / np.maximum(norms, 1e-6)
    return result


class _Tally:
    """Counts pairs as they come; only examples are kept."""

    def __init__(
        self, sets: Sequence[ImageSet], split: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]
    ) -> None:
        self._sets, self._split, self._labels = sets, split, labels
        self._starts = np.cumsum([0] + [len(s) for s in sets])
        self._groups: dict[int, list[int]] = {}
        self._near_within = np.zeros(len(split), dtype=np.bool_)
        self._near_between = np.zeros(len(split), dtype=np.bool_)
        self._between: list[Pair] = []
        self._within: list[Pair] = []

    def equal(self, original: int, other: int) -> None:
        self._groups.setdefault(original, [original]).append(other)
        self._keep(original, other, exact=True)

    def resembling(self, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> None:
        within = self._split[a] == self._split[b]
        self._near_within[a[within]] = self._near_within[b[within]] = True
        trained = self._split[a] == 0  # a < b, so it is in the earlier split
        self._near_between[b[~within & trained]] = True
        for order in (np.flatnonzero(~within), np.flatnonzero(within)):
            for i, j in zip(a[order[:EXAMPLES]], b[order[:EXAMPLES]], strict=True):
                self._keep(int(i), int(j), exact=False)

    def _keep(self, a: int, b: int, *, exact: bool) -> None:
        examples = self._between if self._split[a] != self._split[b] else self._within
        if len(examples) < EXAMPLES:
            names = (self._name(a), self._name(b))
            splits = (self._sets[self._split[a]].split, self._sets[self._split[b]].split)
            classes = self._sets[0].classes
            labels = (classes[self._labels[a]], classes[self._labels[b]])
            examples.append(Pair(*names, exact, splits, labels))

    def _name(self, row: int) -> str:
        images = self._sets[self._split[row]]
        place = row - int(self._starts[self._split[row]])
        return images.files[place] if images.files else f"{images.split}[{place}]"

    def result(self, low_detail: int, searched: bool) -> Duplicates:
        exact_within = {s.split: 0 for s in self._sets}
        exact_between = conflicting = 0
        for group in self._groups.values():
            splits = self._split[group]
            for part, images in enumerate(self._sets):
                exact_within[images.split] += max(0, int((splits == part).sum()) - 1)
            exact_between += int((splits != 0).sum()) if (splits == 0).any() else 0
            conflicting += len(group) if len(set(self._labels[group])) > 1 else 0
        return Duplicates(
            exact_within=exact_within,
            exact_between=exact_between,
            near_within={
                s.split: int(self._near_within[self._split == i].sum()) for i, s in enumerate(self._sets)
            },
            near_between=int(self._near_between.sum()),
            conflicting=conflicting,
            low_detail=low_detail,
            searched_near=searched,
            examples=tuple((self._between + self._within)[:EXAMPLES]),
        )
