"""What a shard holds: where each image begins, how long it is, and its label. Made by one pass over the tar's headers.

A sample is what webdataset takes for one: members in a row whose names agree up to the first dot of the last part, such
as `000017.jpg` and `000017.cls`. The image is the member with a suffix of images, the label that in `.cls`, or in a
`.json` under "label" or "class". Anything else, pickles above all, is never read.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data.decoding import MAX_FILE_BYTES
from skipline.data.listing import IMAGE_SUFFIXES, class_name
from skipline.data.shards.places import Place, State, headers_of
from skipline.data.tar_headers import Readable, members
from skipline.storage import parse_json

FORMAT = 1
MAX_LABEL_BYTES = 2**12
MAX_JSON_BYTES = 2**20
LONGEST_LABEL = 1000  # characters
LABELS = ("label", "class", "cls", "class_name")
"""Keys of a `.json` that name the class, the first one counts."""

Label = int | str


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The images of one shard that have a label, in the order in which they lie there.

    Attributes:
        keys: N names, without suffix.
        offsets: (N,) int64, where the image's file begins, in bytes.
        sizes: (N,) int64, its bytes.
        labels: N classes, by number or by name, as the shard has them.
        checks: (N,) int64 CRC-32 of the image files; None where nobody has computed them.
        digest: hexadecimal, differs wherever the content does: SHA-256 of the shard where it is known, else of what the
            headers and labels say.
        unlabelled: images that were left out for lack of a label.
        bare: samples without an image.
    """

    keys: tuple[str, ...]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    labels: tuple[Label, ...]
    checks: npt.NDArray[np.int64] | None
    digest: str
    unlabelled: int = 0
    bare: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format": FORMAT,
            "digest": self.digest,
            "unlabelled": self.unlabelled,
            "bare": self.bare,
            "keys": self.keys,
            "offsets": self.offsets.tolist(),
            "sizes": self.sizes.tolist(),
            "labels": self.labels,
            **({} if self.checks is None else {"crc32": self.checks.tolist()}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], size: int) -> ShardIndex:
        """The inverse of `to_json`, whoever wrote it.

        Args:
            values: plain.
            size: bytes of the shard, which no image may reach beyond.

        Raises:
            ValueError: it is no index of such a shard; says what is wrong.
        """
        if values.get("format") != FORMAT:
            raise ValueError(f"it has the format {values.get('format')!r}, not {FORMAT}")
        try:
            offsets, sizes = (
                np.array(values[key], dtype=np.int64).reshape(-1) for key in ("offsets", "sizes")
            )
            checks = np.array(values["crc32"], dtype=np.int64).reshape(-1) if "crc32" in values else None
            keys, labels = tuple(values["keys"]), tuple(values["labels"])
            unlabelled, bare, digest = int(values["unlabelled"]), int(values["bare"]), str(values["digest"])
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"it lacks values or has wrong ones ({error})") from None
        lengths = {
            len(part) for part in (keys, labels, offsets, sizes, offsets if checks is None else checks)
        }
        if len(lengths) > 1:
            raise ValueError("its lists differ in length")
        if len(sizes) and (min(offsets.min(), sizes.min()) < 0 or sizes.max() > min(size, MAX_FILE_BYTES)):
            raise ValueError("it names images of impossible size or place")
        if (offsets > size - sizes).any():
            raise ValueError("it names images beyond the end of the shard")
        if not all(isinstance(key, str) for key in keys) or not all(map(_is_label, labels)):
            raise ValueError("its keys are not all texts, or its labels not all numbers or texts")
        return cls(keys, offsets, sizes, labels, checks, digest, unlabelled, bare)


@dataclass
class _Sample:
    key: str
    image: tuple[int, int] | None = None
    exact: bool = False
    labels: dict[str, Label | None] = field(default_factory=dict)


def read_through(place: Place, state: State) -> ShardIndex:
    """Index a shard by one pass over it.

    Args:
        place: the shard.
        state: of it; an image beyond its end is refused.

    Raises:
        tarfile.ReadError: it is no whole archive; a short reason.
        ShardError: it cannot be read.
    """
    samples: list[_Sample] = []
    current: _Sample | None = None
    with headers_of(place) as file:
        for member in members(file):
            key, suffix = split_name(member.name)
            if not key or not member.isreg() or member.issparse():
                continue
            if member.offset_data + member.size > state.size or member.size < 0:
                raise tarfile.ReadError(f"it ends in the middle of {class_name(member.name[-80:])}")
            if current is None or current.key != key:
                current = _Sample(key)
                samples.append(current)
            _take(current, suffix, member, file)
    return _indexed(samples)


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix of a member, as webdataset cuts them: at the first dot of the last part; "" for no sample's."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    if not stem or not dot or re.match(r"__[^/]*__($|/)", name):
        return "", ""
    return f"{folder}{slash}{stem}", suffix.lower()


def _take(sample: _Sample, suffix: str, member: tarfile.TarInfo, file: Readable) -> None:
    """Note where the image lies, or read a label."""
    last = suffix.rpartition(".")[2]
    if f".{last}" in IMAGE_SUFFIXES:
        exact = suffix == last  # "a.jpg" is the image of a sample that has "a.mask.png", too
        if sample.image is None or (exact and not sample.exact):
            sample.image, sample.exact = (member.offset_data, member.size), exact
    elif suffix == "cls" and member.size <= MAX_LABEL_BYTES:
        file.seek(member.offset_data)
        sample.labels["cls"] = _of_text(file.read(member.size))
    elif suffix == "json" and member.size <= MAX_JSON_BYTES:
        file.seek(member.offset_data)
        sample.labels["json"] = _of_json(file.read(member.size))


def _indexed(samples: list[_Sample]) -> ShardIndex:
    kept: list[tuple[str, int, int, Label]] = []
    unlabelled = bare = 0
    for sample in samples:
        label = next((sample.labels[k] for k in ("cls", "json") if sample.labels.get(k) is not None), None)
        if sample.image is None:
            bare += 1
        elif label is None:
            unlabelled += 1
        else:
            kept.append((sample.key, *sample.image, label))
    keys, offsets, sizes, labels = zip(*kept, strict=True) if kept else ((), (), (), ())
    digest = hashlib.sha256(json.dumps([keys, offsets, sizes, labels]).encode()).hexdigest()
    return ShardIndex(
        keys=tuple(map(class_name, keys)),
        offsets=np.array(offsets, dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int64),
        labels=labels,
        checks=None,
        digest=digest,
        unlabelled=unlabelled,
        bare=bare,
    )


def _of_text(content: bytes) -> Label | None:
    text = content.decode("utf-8", "replace").strip()
    if re.fullmatch(r"-?\d{1,9}", text):
        return int(text) if int(text) >= 0 else None
    return class_name(text) if 0 < len(text) <= LONGEST_LABEL else None


def _of_json(content: bytes) -> Label | None:
    try:
        values = parse_json(content)
    except ValueError:
        return None
    value = next((values[key] for key in LABELS if key in values), None) if isinstance(values, dict) else None
    if isinstance(value, str):
        return _of_text(value.encode("utf-8", "replace"))
    return value if isinstance(value, int) and _is_label(value) else None


def _is_label(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= LONGEST_LABEL
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def index_name(name: str) -> str:
    """The file beside a shard that holds its index."""
    return str(Path(name).with_suffix(".json").as_posix())
